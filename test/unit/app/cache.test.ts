/** What the settings say of the memory tier, and what becomes of it. */
import { expect, it } from 'vitest'
import { memoryBytes, readyBytes } from '../../../src/app/cache.ts'
import { parseSettings } from '../../../src/config/load.ts'
import { createMemory } from '../../../src/data/cache/memory/memory.ts'
import { systemClock } from '../../../src/lib/clock.ts'

it.each(['64KiB', '65KiB', '100KiB', '1MiB'])(
  'a memory of %s, which the settings allow, can be made',
  (size) => {
    const tiers = [{ name: 'memory', type: 'memory', maxBytes: size }]
    const parsed = parseSettings(
      JSON.stringify({ cache: { tiers }, pools: { a: {} }, routes: [{ pool: 'a' }] }),
      'gate.yaml',
      {},
    )
    if ('problems' in parsed) throw new Error('the settings are refused')
    const maxBytes = memoryBytes(parsed.settings)
    expect(() => createMemory({ maxBytes, clock: systemClock })).not.toThrow()
    expect(readyBytes(parsed.settings)).toBeGreaterThanOrEqual(0)
  },
)
