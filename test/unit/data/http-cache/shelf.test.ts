/** Two workers share a memory, and each asks the tiers by itself: what one of them was told of a write holds for both. */
import { expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { guardTier } from '../../../../src/data/cache/guard.ts'
import { createMemory } from '../../../../src/data/cache/memory.ts'
import { createTiered } from '../../../../src/data/cache/tiered.ts'
import { Shelf, type Wanted } from '../../../../src/data/http-cache/shelf.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

it('a tier that has not heard of a write yet gives nothing from before it', async () => {
  const clock = new FakeClock()
  const tier = new FakeTier({ clock })
  const memory = createMemory({ maxBytes: 1024 * 1024, clock })
  const worker = () => {
    const cache = createTiered({ memory, tiers: [guardTier(tier, { clock, readTimeout: 25 })], clock })
    const shelf = new Shelf({ cache, memory: 'memory', clock })
    const wanted = (): Wanted =>
      ({
        url: digestOf('url'),
        seed: digestOf('seed'),
        sent: digestOf(''),
        headers: [],
        shared: true,
        writable: true,
        began: cache.mark(),
        at: clock.wall(),
      }) as unknown as Wanted
    return { cache, shelf, wanted }
  }
  const [one, other] = [worker(), worker()]
  const url = one.wanted().url
  const made = { status: 200, headers: [], body: Buffer.from('old'), upstreamMs: 1, version: '' }
  const keeping = { createdAt: clock.wall(), ttlMs: 60_000, restMs: 0, names: [] }
  one.shelf.keep(one.wanted(), made, { node: undefined, keeping })
  await eventually(() => expect(tier.kept.size).toBe(2))
  const found = async ({ shelf, wanted }: typeof one) =>
    (await shelf.far(wanted(), shelf.near(wanted()))).shelved
  expect(await found(other)).toBeDefined()

  clock.advance(10)
  tier.fault = () => 'hang'
  const before = tier.calls
  void one.shelf.written(url, { shared: true, lifeMs: 60_000 })
  await eventually(() => expect(tier.calls).toBe(before + 2))
  tier.fault = () => 'none'
  expect(tier.kept.has(url)).toBe(true)
  expect(await found(one)).toBeUndefined()
  expect(await found(other)).toBeUndefined()
})
