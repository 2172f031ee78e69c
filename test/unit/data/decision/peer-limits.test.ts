/** What gateways tell each other: requests that run, and how much is said of many tenants. */
import { describe, expect, it } from 'vitest'
import { accountOf } from '../../../../src/data/decision/account-places.ts'
import { allocateLimits, LimitTable } from '../../../../src/data/decision/limit-table.ts'
import { PeerLimits } from '../../../../src/data/decision/peer-limits.ts'

const rate = { count: 100, perMs: 1000 }
const account = accountOf('a')

function gateway(clock: { now: number }, places = 64) {
  const bytes = allocateLimits(1, places)
  const viewer = { worker: 0, now: () => clock.now }
  return { bytes, table: new LimitTable(bytes, viewer), peers: new PeerLimits(bytes, viewer) }
}

describe('requests that run', () => {
  it('are counted at all gateways, each of which has its part of what is free', () => {
    const clock = { now: 0 }
    const [a, b] = [gateway(clock), gateway(clock)]
    for (const { peers } of [a, b]) peers.rejoin(2)
    const told = () => {
      clock.now += 100
      const reports = [a, b].map(({ peers }, i) => ({
        gateway: `${i}`,
        ...(peers.take() ?? { used: [], running: [] }),
      }))
      a.peers.hear(2, reports.slice(1))
      b.peers.hear(2, reports.slice(0, 1))
    }
    const fill = ({ table }: typeof a) => {
      const places: number[] = []
      for (let place = table.enter(account, 8); place !== undefined; place = table.enter(account, 8))
        places.push(place)
      return places
    }
    const places = fill(a)
    expect(places).toHaveLength(4)
    expect(fill(b)).toHaveLength(4)
    for (let i = 0; i < 2; i++) told()
    expect([fill(a), fill(b)]).toEqual([[], []])
    for (const place of places) a.table.leave(place)
    for (let i = 0; i < 4; i++) told()
    expect(fill(b).length).toBeGreaterThanOrEqual(2)
    // Of a gateway that is gone nothing runs.
    for (let i = 0; i < 12; i++) {
      clock.now += 100
      a.peers.hear(1, [])
    }
    expect(fill(a)).toHaveLength(8)
  })

  it('are divided where the others are not heard', () => {
    const { table, peers } = gateway({ now: 0 })
    peers.rejoin(4)
    expect(peers.part()).toBe(0.25)
    for (let i = 0; i < 2; i++) expect(table.enter(account, 8)).toBeDefined()
    expect(table.enter(account, 8)).toBeUndefined()
    // One may always.
    expect(table.enter(accountOf('b'), 1)).toBeDefined()
  })
})

it('of ten thousand tenants those are told that used something, two thousand at a time', () => {
  const clock = { now: 0 }
  const { table, peers } = gateway(clock, 32_768)
  for (let i = 0; i < 10_000; i++) table.charge(accountOf(`tenant ${i}`), { rate, burst: 1000, cost: 1 })
  const counts: number[] = []
  for (let report = peers.take(); report; report = peers.take()) counts.push(report.used.length / 4)
  expect(Math.max(...counts)).toBe(2_000)
  // Two that cannot find a place beside the others may share one.
  expect(counts.reduce((sum, each) => sum + each)).toBeGreaterThan(9_900)
  table.charge(accountOf('tenant 5'), { rate, burst: 1000, cost: 1 })
  expect(peers.take()?.used).toHaveLength(4)
  expect(peers.take()).toBeUndefined()
})
