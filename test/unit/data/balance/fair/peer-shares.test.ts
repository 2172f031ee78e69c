/** What other gateways have served, and whose tag grows by it. */
import { expect, it } from 'vitest'
import { PeerShares } from '../../../../../src/data/balance/fair/peer-shares.ts'
import { Accounts, createShareTable } from '../../../../../src/data/balance/fair/share-table.ts'

const share = (tenant: string, weight = 1) => ({ tenant, weight, priority: 1, floor: 0 })

function gateway(column: number) {
  const table = createShareTable(8, 1)
  const accounts = (pool: number) =>
    new Accounts(table, { workers: 1, worker: 0, column: column + pool, pool })
  return { accounts, peers: new PeerShares(table) }
}

it('is told once, by weight, for each pool', () => {
  const [x, y] = [gateway(0), gateway(2)]
  const tag = (pool: number, tenant: string) => y.accounts(pool).tag(y.accounts(pool).of(share(tenant)))
  for (const pool of [1, 2]) y.accounts(pool).enter(y.accounts(pool).of(share('a')))
  x.accounts(1).charge(share('a', 2), 10)
  x.accounts(1).charge(share('a', 2), 2)
  const served = x.peers.take()
  expect(served).toHaveLength(3)
  expect(x.peers.take()).toEqual([])
  y.peers.hear(served)
  expect(tag(1, 'a')).toBe(6)
  expect(tag(2, 'a')).toBe(0)
  // What was heard is no news for others.
  expect(y.peers.take()).toEqual([])
})

it('of a tenant that nobody knows here opens no account', () => {
  const [x, y] = [gateway(0), gateway(0)]
  for (let i = 0; i < 5_000; i++) x.accounts(1).charge(share(`t${i}`), 1)
  y.peers.hear(x.peers.take())
  expect(y.peers.take()).toEqual([])
  expect(y.accounts(1).tag(y.accounts(1).of(share('t1')))).toBe(0)
})

it('is at most two thousand accounts at a time, and nothing of before when it is forgotten', () => {
  // One pool has as many accounts as its table has places.
  const table = createShareTable(1_024, 1)
  const accounts = new Accounts(table, { workers: 1, worker: 0, column: 0, pool: 1 })
  const peers = new PeerShares(table)
  for (let i = 0; i < 5_000; i++) accounts.charge(share(`t${i}`), 1)
  expect(peers.take()).toHaveLength(6_000)
  peers.forget()
  expect(peers.take()).toEqual([])
})
