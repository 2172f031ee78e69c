/** Two workers share a memory, and each asks the tiers by itself: what one of them was told of a write holds for both. */
import { expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import { createMemory } from '../../../../src/data/cache/memory/memory.ts'
import { createTiered } from '../../../../src/data/cache/tiered.ts'
import { guardTier } from '../../../../src/data/cache/tiers/guard.ts'
import { type HttpLookup, VariantStore } from '../../../../src/data/http-cache/variant-store.ts'
import { eventually } from '../../../support/eventually.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'

function setUp() {
  const clock = new FakeClock()
  const tier = new FakeTier({ clock })
  const newMemory = () => createMemory({ maxBytes: 1024 * 1024, clock })
  const worker = (memory = newMemory()) => {
    const cache = createTiered({ memory, tiers: [guardTier(tier, { clock, readTimeout: 25 })], clock })
    const store = new VariantStore({ cache, memory: 'memory', clock })
    const lookup = (): HttpLookup =>
      ({
        url: digestOf('url'),
        seed: digestOf('seed'),
        sent: digestOf(''),
        headers: [],
        shared: true,
        writable: true,
        began: cache.mark(),
        at: clock.wall(),
      }) as unknown as HttpLookup
    return { cache, store, lookup }
  }
  const keeping = { createdAt: clock.wall(), ttlMs: 60_000, restMs: 0, names: [] }
  return { clock, tier, newMemory, worker, url: digestOf('url'), keeping }
}

const response = (text: string) => ({
  status: 200,
  headers: [],
  body: Buffer.from(text),
  costMs: 1,
  version: '',
})

it('a tier that has not heard of a write yet gives nothing from before it', async () => {
  const { clock, tier, newMemory, worker, url, keeping } = setUp()
  const memory = newMemory()
  const [one, other] = [worker(memory), worker(memory)]
  const made = response('old')
  one.store.keep(one.lookup(), made, { node: undefined, keeping })
  await eventually(() => expect(tier.kept.size).toBe(2))
  const found = async ({ store, lookup }: typeof one) =>
    (await store.fromTiers(lookup(), store.fromMemory(lookup()))).stored
  expect(await found(other)).toBeDefined()

  clock.advance(10)
  tier.fault = () => 'hang'
  const before = tier.calls
  void one.store.written(url, { shared: true, lifeMs: 60_000 })
  await eventually(() => expect(tier.calls).toBe(before + 2))
  tier.fault = () => 'none'
  expect(tier.kept.has(url)).toBe(true)
  expect(await found(one)).toBeUndefined()
  expect(await found(other)).toBeUndefined()
})

it('a write of another gateway counts, also after the clock was set back behind the last one', async () => {
  const { clock, tier, worker, url, keeping } = setUp()
  const [one, other] = [worker(), worker()]
  const write = async ({ store, lookup }: typeof one, text: string) => {
    await store.written(url, { shared: true, lifeMs: 60_000 })
    clock.advance(10)
    const { node } = store.fromMemory(lookup())
    store.keep(lookup(), response(text), { node, keeping: { ...keeping, createdAt: clock.wall() } })
    await eventually(() =>
      expect([...tier.kept.values()].some(({ value }) => Buffer.from(value).includes(text))).toBe(true),
    )
  }
  await write(one, 'of-one')
  clock.stepWall(-3_600_000)
  // What a gateway has removed itself it does not read back for a moment.
  clock.advance(10_000)
  await write(other, 'of-other')
  const { node } = one.store.fromMemory(one.lookup())
  const { stored } = await one.store.fromTiers(one.lookup(), { node, stored: undefined })
  expect(Buffer.from(stored?.entry.body ?? []).toString()).toBe('of-other')
})
