/** What `--help` says of defaults, and what else only tells. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { run } from '../../../src/cli/index.ts'

let out = ''
beforeEach(() => {
  out = ''
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

it.each(['serve', 'bench', 'logs', 'explain', 'purge', 'model-server'])(
  '%s shows no default that says nothing',
  async (command) => {
    await run(['node', 'infergate', command, '--help'])
    expect(out).toMatch(/^Usage: infergate /)
    expect(out).not.toMatch(/default: (?:\[\]|\{\})/)
  },
)

it('gives durations with their unit', async () => {
  await run(['node', 'infergate', 'bench', '--help'])
  expect(out).toMatch(/--warm-up .*default: 1s\)/)
  expect(out).toMatch(/--timeout [^-]*default:\s+10s\)/)
})

it('tells the forms of a profile', async () => {
  await run(['node', 'infergate', 'bench', '--profile', 'help'])
  expect(out).toContain('constant:RATE@TIME')
  expect(process.exitCode).toBeUndefined()
})
