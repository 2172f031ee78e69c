import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TenantShare } from '../../../../src/core/tenant-share.ts'
import { Clients } from '../../../../src/data/backend/clients.ts'
import type { Permit, PermitRequest } from '../../../../src/data/backend/permit.ts'
import { BackendPool } from '../../../../src/data/backend/pool.ts'
import { createOutlierState } from '../../../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, inflightOf, type LoadTable } from '../../../../src/data/balance/table.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

let clock: FakeClock
let table: LoadTable
let clients: Clients
let pool: BackendPool

beforeEach(() => {
  clock = new FakeClock()
  table = createLoadTable(4)
  clients = new Clients({
    connections: 1,
    connectTimeoutMs: 100,
    bodyTimeoutMs: 100,
    refuse: () => undefined,
  })
  pool = new BackendPool(
    { name: 'p', table, state: createOutlierState(4), clients, clock, random: () => 0.5 },
    {
      policy: 'peak-ewma',
      retry: { max: 2, budget: {} },
      hedge: {},
      outlier: {},
      limit: { mode: 'declared' },
      queue: {},
      isFromZero: false,
    },
  )
  const backend = { id: 'b', slot: 0, generation: 1, url: 'http://127.0.0.1:1', models: [], weight: 1 }
  const readySince = clock.wall() - 60_000
  pool.apply({
    pool: 'p',
    revision: 1,
    backends: [{ ...backend, concurrency: 1, state: 'ready', reason: '', readySince }],
  })
})
afterEach(() => clients.close())

const need = (deadlineMs = 1_000): PermitRequest => ({
  model: undefined,
  version: undefined,
  key: undefined,
  deadline: clock.now() + deadlineMs,
  signal: new AbortController().signal,
})

/** A call that was answered after so long. */
function answered(ms: number): void {
  const permit = pool.enter(need(), []) as Permit
  clock.advance(ms)
  pool.leave(permit, ms, 'ok')
}

describe('a hedge that lost', () => {
  it('holds its place for as long as the backend is known to take, and then gives it to who waits', async () => {
    answered(100)
    const lost = pool.enter(need(), []) as Permit
    clock.advance(20)
    pool.leave(lost, 20, 'lost')
    const next = pool.enter(need(), [])
    expect(next).toBeInstanceOf(Promise)
    clock.advance(79)
    expect(pool.status().queued).toBe(1)
    clock.advance(1)
    expect((await next).backend.id).toBe('b')
    expect(inflightOf(table, 0)).toBe(1)
  })

  it('that took longer than any call before is let go at once', () => {
    answered(10)
    const lost = pool.enter(need(), []) as Permit
    clock.advance(40)
    pool.leave(lost, 40, 'lost')
    clock.advance(0)
    expect(inflightOf(table, 0)).toBe(0)
  })
})

it('a call whose caller has left gives its place to the next', async () => {
  answered(100)
  const left = pool.enter(need(), []) as Permit
  const next = pool.enter(need(), [])
  clock.advance(20)
  pool.leave(left, 20, 'cancelled')
  expect((await next).since).toBe(clock.now())
})

describe('tenants', () => {
  const share = (tenant: string, of: Partial<TenantShare> = {}): TenantShare => ({
    tenant,
    ...{ weight: 1, priority: 1, floor: 0 },
    ...of,
  })
  const fill = () => pool.enter(need(), []) as Permit

  it('take turns with the place, whatever each has queued', async () => {
    answered(1)
    const running = [fill()]
    const [a, b] = [share('a'), share('b')]
    const order: string[] = []
    for (const by of [a, a, a, b, b])
      void (pool.enter({ ...need(), share: by }, []) as Promise<Permit>).then((permit) => {
        order.push(by.tenant)
        running.push(permit)
      })
    for (let turn = 0; turn < 5; turn++) {
      clock.advance(1)
      pool.leave(running.pop() as Permit, 1, 'ok')
      await Promise.resolve()
    }
    expect(order).toEqual(['a', 'b', 'a', 'b', 'a'])
  })

  it('move a load forward that a caller of a higher class has joined', async () => {
    answered(1)
    const running = fill()
    const [standard, critical] = [share('a'), share('c', { priority: 0 })]
    void pool.enter({ ...need(), share: standard }, [])
    const joined: PermitRequest & { share: TenantShare } = { ...need(), share: share('s', { priority: 2 }) }
    const permit = pool.enter(joined, [])
    joined.share = critical
    joined.onPromoted?.()
    clock.advance(1)
    pool.leave(running, 1, 'ok')
    expect((await permit).since).toBe(clock.now())
    expect(joined.onPromoted).toBeUndefined()
  })

  const tuning = { policy: 'peak-ewma', retry: { max: 2, budget: {} }, hedge: undefined, outlier: {} }
  const shared = (shares: readonly TenantShare[]) =>
    pool.configure({ ...tuning, limit: { mode: 'declared' }, queue: {}, isFromZero: false, shares })
  /** A backend of each tier, with so many places. */
  const tiers = (places: Readonly<Record<string, number>>) => {
    const readySince = clock.wall() - 60_000
    const rest = { generation: 1, models: [], weight: 1, state: 'ready', reason: '', readySince } as const
    const backends = Object.entries(places).map(([tier, concurrency], slot) => ({
      ...{ ...rest, id: tier, slot, url: `http://127.0.0.1:${slot + 1}`, concurrency, labels: { tier } },
    }))
    pool.apply({ pool: 'p', revision: 2, backends })
  }
  const asking = (by: TenantShare) => pool.enter({ ...need(), share: by, labels: by.labels }, [])
  const running = (entered: Permit | Promise<Permit>) => Promise.race([entered, Promise.resolve('waits')])

  it('that wait for some backends hold up nobody at the others, and are held up by nobody', async () => {
    tiers({ gold: 1, silver: 1 })
    const [gold, silver] = [{ tier: 'gold' }, { tier: 'silver' }]
    const first = await asking(share('g', { labels: gold }))
    const waiting = Array.from({ length: 200 }, (_, at) => asking(share(`g${at % 50}`, { labels: gold })))
    const own = (await running(asking(share('s', { labels: silver })))) as Permit
    expect(own.backend.id).toBe('silver')
    const next = asking(share('s', { labels: silver }))
    pool.leave(own, 1, 'ok')
    expect((await next).backend.id).toBe('silver')
    expect(await running(waiting[0] as Promise<Permit>)).toBe('waits')
    pool.leave(first, 1, 'ok')
    expect((await waiting[0])?.backend.id).toBe('gold')
  })

  it('have their floors where they may be served, and leave the rest to others', async () => {
    tiers({ gold: 2, silver: 1 })
    const own = share('own', { floor: 1, labels: { tier: 'gold' } })
    shared([own])
    const others = [asking(share('a')), asking(share('a')), asking(share('a'))]
    const got = await Promise.all(others.map(running))
    expect(got.map((permit) => (permit === 'waits' ? permit : (permit as Permit).backend.id)).sort()).toEqual(
      ['gold', 'silver', 'waits'],
    )
    expect(((await running(asking(own))) as Permit).backend.id).toBe('gold')
  })

  it('leave one place to the others, whatever the floors are', async () => {
    tiers({ gold: 3 })
    const own = share('own', { floor: 8 })
    shared([own])
    expect(await running(asking(share('a')))).toBeTypeOf('object')
    expect(await running(asking(share('a')))).toBe('waits')
    expect(await running(asking(own))).toBeTypeOf('object')
  })

  it('leave a place free for one that has it as its floor', async () => {
    tiers({ b: 2 })
    const own = share('own', { floor: 1 })
    shared([own])
    const first = await asking(share('a'))
    const other = asking(share('a'))
    expect(other).toBeInstanceOf(Promise)
    const permit = await asking(own)
    expect(permit.backend.id).toBe('b')
    pool.leave(permit, 1, 'ok')
    await Promise.resolve()
    expect([pool.status().queued, inflightOf(table, 0)]).toEqual([1, 1])
    shared([])
    pool.tick()
    expect((await other).backend.id).toBe('b')
    pool.leave(first, 1, 'ok')
  })
})

describe('the latency of an answer that streams', () => {
  const stream = (firstMs: number, ms: number, ending: 'ok' | 'cancelled') => {
    const permit = pool.enter(need(60_000), []) as Permit
    permit.firstMs = firstMs
    clock.advance(ms)
    pool.leave(permit, ms, ending)
  }

  it('is the time to its first piece, and its length is the time of service', () => {
    for (let n = 0; n < 5; n++) stream(30, 5_000, 'ok')
    expect(pool.status().backends[0]?.latencyMs).toBe(30)
    expect(table.ewmaMs[0]).toBe(30)
    expect(pool.serviceMs(0.5)).toBeGreaterThan(4_000)
  })

  it('says nothing of a caller who leaves in the middle', () => {
    stream(30, 100, 'ok')
    stream(30, 20_000, 'cancelled')
    expect(table.ewmaMs[0]).toBe(30)
  })
})
