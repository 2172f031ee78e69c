/** What the process memory costs, measured from outside in a process of its own by the bench itself. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const bench = join(import.meta.dirname, '../../bench/micro/arena.ts')

it('I20: grows by no more than its bytes, costs under 250 B an entry, and keeps the hot thousand', async () => {
  const args = ['--expose-gc', bench, '1000000', '300', 'arena']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const row: Record<string, number> = JSON.parse(stdout)
  expect(row['held']).toBe(1_000_000)
  expect(row['RSS / maxBytes']).toBeLessThanOrEqual(1.2)
  expect(row['overhead B/entry']).toBeLessThan(250)
  expect(row['hot left of 1000']).toBe(1_000)
})
