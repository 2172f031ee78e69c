import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../src/core/key.ts'
import type { StoreOptions } from '../../../../src/data/cache/tiered.ts'
import { guardTier } from '../../../../src/data/cache/tiers/guard.ts'
import { sha1Of } from '../../../../src/data/cache/tiers/lease-tier.ts'
import { type LeasedLoad, Leases, leasesPay } from '../../../../src/data/flight/leases.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { FakeTier } from '../../../support/fake-tier.ts'
import { settled } from '../../../support/settled.ts'

const [a, b] = [digestOf('a'), digestOf('b')]

function setup() {
  const clock = new FakeClock()
  const tier = new FakeTier({ clock })
  const { leases } = guardTier(tier, { clock, readTimeout: 20, writeTimeout: 50 })
  if (!leases) throw new Error('the fake tier has leases')
  const fetched: Digest[][] = []
  const rights: StoreOptions[] = []
  const own = new Leases({ leases, clock, ttlMs: 300, token: () => 'own' })
  const cancel = new AbortController()
  const load = (digests: readonly Digest[], more: Partial<LeasedLoad> = {}) =>
    own.load({
      digests,
      signal: cancel.signal,
      deadline: clock.now() + 1_000,
      found: () => true,
      fetch: async (rows, { storing }) => {
        fetched.push([...rows])
        for (const row of rows) rights.push(storing(row))
      },
      ...more,
    })
  const hold = (digest: Digest, by: string, ms = 60_000) =>
    tier.held.set(digest, { token: by, until: clock.now() + ms })
  return { clock, tier, fetched, rights, load, hold, cancel }
}

describe('leases', () => {
  it('fetches at once what is granted, and what is held when it is freed', async () => {
    const { clock, tier, fetched, rights, load, hold } = setup()
    hold(b, 'other')
    const done = load([a, b])
    await turn()
    expect(fetched).toEqual([[a]])
    tier.held.delete(b)
    await settled(clock, done)
    expect(fetched).toEqual([[a], [b]])
    expect(rights.map(({ lease }) => lease?.token)).toEqual(['own', 'own'])
  })

  it('waits for two holders of a row, one after the other, and for no third', async () => {
    const { clock, fetched, rights, load, hold } = setup()
    hold(a, 'first')
    const done = load([a])
    for (const [n, by] of ['second', 'third'].entries()) {
      for (let ms = 0; ms < 100; ms++) {
        await turn()
        clock.advance(1)
      }
      expect([n, fetched]).toEqual([n, []])
      hold(a, by)
    }
    await settled(clock, done)
    expect([fetched, rights]).toEqual([[[a]], [{ memoryOnly: true }]])
  })

  it('leases a row whose value is of no use as if there were none', async () => {
    const { tier, fetched, load } = setup()
    const stale = Buffer.from('stale')
    tier.kept.set(a, { value: stale, until: Number.POSITIVE_INFINITY })
    const shown: string[] = []
    await load([a], {
      found: (_, value) => {
        shown.push(sha1Of(value))
        return false
      },
    })
    expect([shown, fetched]).toEqual([[sha1Of(stale)], [[a]]])
  })

  it('gives back the lease of what was fetched and not stored', async () => {
    const { tier, load } = setup()
    await load([a, b], { fetch: async (_, { storing }) => void storing(b) })
    await turn()
    expect([...tier.held.keys()]).toEqual([b])
  })

  it('gives back the lease of a write that was lost', async () => {
    const { tier, rights, load } = setup()
    await load([a])
    expect([...tier.held.keys()]).toEqual([a])
    rights[0]?.lease?.onUnwritten()
    await turn()
    expect(tier.held.size).toBe(0)
  })

  it('adds no more than the budget where the tier hangs, and nothing where there is none left', async () => {
    const { clock, tier, fetched, rights, load } = setup()
    tier.fault = () => 'hang'
    expect((await settled(clock, load([a], { budgetMs: 7 }))).tookMs).toBeLessThanOrEqual(7)
    expect((await settled(clock, load([b], { budgetMs: 0.5 }))).tookMs).toBe(0)
    expect([fetched, rights]).toEqual([
      [[a], [b]],
      [{}, {}],
    ])
  })

  it('stops waiting at the deadline, and when nobody waits any more', async () => {
    const { clock, load, hold, cancel } = setup()
    hold(a, 'other')
    hold(b, 'other')
    const late = load([a]).catch((error: Error) => error.message)
    expect((await settled(clock, late)).value).toMatch(/another gateway/)
    const left = load([b]).catch((error: Error) => error.message)
    await turn()
    cancel.abort(new Error('left'))
    expect(await left).toBe('left')
  })

  it.each([
    ['auto', undefined, true],
    ['auto', 20, false],
    ['auto', 21, true],
    ['always', 1, true],
    ['never', 1_000, false],
  ] as const)('pay where the route says %s and the median is %s: %s', (mode, median, wanted) => {
    expect(leasesPay(mode, median)).toBe(wanted)
  })
})
