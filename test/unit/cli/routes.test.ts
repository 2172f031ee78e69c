/** `infergate routes`: what it refuses before it asks a gateway. */
import { afterEach, expect, it, vi } from 'vitest'
import { run } from '../../../src/cli/index.ts'

afterEach(() => {
  vi.restoreAllMocks()
  process.exitCode = undefined
})

it.each(['v1=x', 'v1', '=1', 'v1=-1'])('says what is wrong with the weight %s', async (weight) => {
  const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await run(['node', 'infergate', 'routes', 'weights', 'ranker', weight])
  expect(errors.mock.calls).toEqual([
    [`infergate: "${weight}" is no weight: write POOL=NUMBER, such as v2=10\n`],
  ])
  expect(process.exitCode).toBe(1)
})
