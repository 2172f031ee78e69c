/** The scripts beside `npm run bench` say how they are called, and what is wrong with how they were. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const run = (script: string, ...args: string[]) =>
  spawnSync(
    process.execPath,
    [fileURLToPath(new URL(`../../../bench/${script}`, import.meta.url)), ...args],
    {
      encoding: 'utf8',
    },
  )

test.each(['pool.ts', 'large.ts', 'costs.ts', 'sim/balance.ts'])('bench/%s --help', (script) => {
  const { status, stdout, stderr } = run(script, '--help')
  expect([status, stderr]).toEqual([0, ''])
  expect(stdout).toContain(`node bench/${script}`)
})

test('a mistake on the line is told in a line', () => {
  const { status, stderr } = run('pool.ts', '--nope')
  expect(status).toBe(1)
  expect(stderr).toBe("Unknown option '--nope'; --help lists the options\n")
})
