/** Tenants that wait for one pool: who is next, who pays, and whose call is dropped. */
import { describe, expect, it } from 'vitest'
import type { TenantShare } from '../../../../../src/core/tenant-share.ts'
import { FairQueue } from '../../../../../src/data/balance/fair/fair-queue.ts'
import type { FairEntry } from '../../../../../src/data/balance/fair/flow.ts'
import { Accounts, createShareTable } from '../../../../../src/data/balance/fair/share-table.ts'
import { eligibilityOf } from '../../../../../src/data/balance/fair/turns.ts'

const CAPACITY = { meanServiceMs: 1, medianServiceMs: 1, limits: 10 }

const share = (tenant: string, of: Partial<TenantShare> = {}): TenantShare => ({
  tenant,
  weight: 1,
  priority: 1,
  floor: 0,
  ...of,
})

function open(maxDepth = 10_000) {
  const accounts = new Accounts(createShareTable(8, 1), { workers: 1, worker: 0, column: 0, pool: 1 })
  const dropped: string[] = []
  const queue = new FairQueue<string>(accounts, (item, why) => dropped.push(`${item} ${why}`), {
    maxDepth,
    maxWaitMs: 1e9,
    targetMs: 1e9,
  })
  const enter = (item: string, by: TenantShare) => {
    const result = queue.enter(item, { share: by }, { now: 0, capacity: CAPACITY })
    return 'entry' in result ? result.entry : result.refused
  }
  const serve = (cost = 1) => {
    const entry = queue.take(0, 0) as FairEntry<string>
    queue.serve(entry, [{ share: entry.flow.share, cost }])
    return entry.item
  }
  return { accounts, queue, dropped, enter, serve }
}

/** How often each name was served. */
function counts(names: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(names, (name) => name)].map(([name, all]) => [name, all.length]))
}

describe('the fair queue', () => {
  it('serves tenants by their weights, in every stretch', () => {
    const { enter, serve } = open()
    const [a, b] = [share('a', { weight: 3 }), share('b')]
    for (let call = 0; call < 400; call++) for (const by of [a, b]) enter(by.tenant, by)
    for (let stretch = 0; stretch < 10; stretch++)
      expect(counts(Array.from({ length: 40 }, () => serve()))).toEqual({ a: 30, b: 10 })
  })

  it('gives all to the one who waits, and owes nothing to who begins to wait', () => {
    const { enter, serve } = open()
    const [a, b] = [share('a'), share('b')]
    for (let call = 0; call < 100; call++) enter('a', a)
    for (let call = 0; call < 50; call++) serve()
    for (let call = 0; call < 20; call++) enter('b', b)
    expect(counts(Array.from({ length: 40 }, () => serve()))).toEqual({ a: 20, b: 20 })
  })

  it('charges a load to who it is for, and not to who it waits for', () => {
    const { queue, enter, serve } = open()
    const [a, b] = [share('a'), share('b')]
    for (let call = 0; call < 20; call++) for (const by of [a, b]) enter(by.tenant, by)
    const first = queue.take(0, 0) as FairEntry<string>
    queue.serve(first, [{ share: b, cost: 5 }])
    expect(first.item).toBe('a')
    expect(Array.from({ length: 8 }, () => serve()).join('')).toBe('aaaaaaba')
  })

  it('serves a higher class first, and one in a hundred of a lower class all the same', () => {
    const { enter, serve } = open()
    const [critical, sheddable] = [share('c', { priority: 0 }), share('s', { priority: 2 })]
    for (let call = 0; call < 1_000; call++) for (const by of [critical, sheddable]) enter(by.tenant, by)
    expect(counts(Array.from({ length: 1_000 }, () => serve()))).toEqual({ c: 990, s: 10 })
  })

  it('puts a call that is promoted among those of the higher class', () => {
    const { queue, enter, serve } = open()
    enter('early', share('c', { priority: 0 }))
    enter('standard', share('a'))
    serve()
    serve()
    enter('standard', share('a'))
    const late = enter('promoted', share('s', { priority: 2 })) as FairEntry<string>
    queue.promote(late, share('c', { priority: 0 }))
    expect([serve(), serve()]).toEqual(['promoted', 'standard'])
    expect(queue.depth).toBe(0)
  })

  it('passes over a tenant whose calls cannot be served, and puts them back at their places', () => {
    const { queue, enter, serve } = open()
    const a = share('a')
    for (const item of ['a1', 'a2', 'a3']) enter(item, a)
    enter('b1', share('b'))
    queue.pass(queue.take(0, 0) as FairEntry<string>, 1)
    expect(serve()).toBe('b1')
    expect(queue.take(0, 0)).toBeUndefined()
    queue.resume()
    expect([serve(), serve(), serve()]).toEqual(['a1', 'a2', 'a3'])
  })
})

describe('tenants that may have different places', () => {
  const gold = { tier: 'gold' }

  it('wait in lines of their own: those whose places are taken are asked for once, however many they are', () => {
    const { queue, enter } = open()
    for (let tenant = 0; tenant < 500; tenant++) enter('gold', share(`g${tenant}`, { labels: { ...gold } }))
    enter('floor', share('f', { floor: 1 }))
    enter('any', share('a'))
    const asked: string[] = []
    const taken = queue.take(0, 0, ({ tenant, labels }) => {
      asked.push(tenant)
      return labels === undefined && tenant !== 'f'
    })
    expect(taken?.item).toBe('any')
    expect(asked).toEqual(['g0', 'f', 'a'])
    expect(queue.take(0, 0, () => false)).toBeUndefined()
    expect(queue.depth).toBe(501)
  })

  it('share what both may have by their tags, whichever line they stand in', () => {
    const { enter, serve } = open()
    const [any, some] = [share('any', { weight: 3 }), share('some', { labels: gold })]
    for (let call = 0; call < 100; call++) for (const by of [any, some]) enter(by.tenant, by)
    expect(counts(Array.from({ length: 40 }, () => serve()))).toEqual({ any: 30, some: 10 })
  })

  it('are told apart by what they may have, however it is written', () => {
    const of = (more: Partial<TenantShare>, tenant = 'a') => eligibilityOf(share(tenant, more))
    expect(of({ weight: 3, priority: 0 })).toBe(0)
    expect(of({ labels: { a: '1', b: '2' } }, 'x')).toBe(of({ labels: { b: '2', a: '1' } }, 'y'))
    const all = [
      of({}),
      of({ labels: gold }),
      of({ floor: 1 }),
      of({ floor: 1 }, 'b'),
      of({ labels: { a: '1' } }),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})

describe('a full queue', () => {
  it('spares a call of the lowest class first, then of the longest queue for its weight', () => {
    const { enter, dropped } = open(8)
    const [a, b, s] = [share('a', { weight: 3 }), share('b'), share('s', { priority: 2 })]
    for (let call = 0; call < 4; call++) enter(`s${call}`, s)
    for (let call = 0; call < 4; call++) enter(`b${call}`, b)
    expect(enter('s4', s)).toBe('full')
    for (let call = 0; call < 4; call++) expect(enter(`a${call}`, a)).toBeTypeOf('object')
    expect(dropped).toEqual(['s3 full', 's2 full', 's1 full', 's0 full'])
    expect(enter('b4', b)).toBe('full')
    for (let call = 4; call < 6; call++) expect(enter(`a${call}`, a)).toBeTypeOf('object')
    expect(dropped.slice(4)).toEqual(['b3 full', 'b2 full'])
    expect(enter('a6', a)).toBe('full')
  })
})

describe('accounts', () => {
  it('are as many as there is room for: tenants beyond it share them', () => {
    const { accounts, queue, enter, serve } = open(20_000)
    for (let tenant = 0; tenant < 10_000; tenant++) enter(`${tenant}`, share(`t${tenant}`))
    expect(queue.depth).toBe(10_000)
    const served = new Set(Array.from({ length: 10_000 }, () => serve()))
    expect(served.size).toBe(10_000)
    const known = accounts.of(share('t1'))
    expect(accounts.of(share('t1'))).toBe(known)
  })

  it('do not count the waiting calls of a worker that has ended', async () => {
    const { forgetShares } = await import('../../../../../src/data/balance/fair/share-table.ts')
    const table = createShareTable(8, 2)
    const [first, second] = [0, 1].map(
      (worker) => new Accounts(table, { workers: 2, worker, column: 3, pool: 1 }),
    ) as [Accounts, Accounts]
    const account = first.of(share('a'))
    expect(second.of(share('a'))).toBe(account)
    first.enter(account)
    second.enter(account)
    expect(first.waiting(account)).toBe(2)
    forgetShares(table, 2, 1)
    expect(first.waiting(account)).toBe(1)
  })
})
