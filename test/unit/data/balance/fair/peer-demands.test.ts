/** Who waits at which gateway, and what part of a pool a gateway may use by that. */
import { expect, it } from 'vitest'
import { PeerDemands } from '../../../../../src/data/balance/fair/peer-demands.ts'
import { PoolPart } from '../../../../../src/data/balance/fair/pool-part.ts'
import { Accounts } from '../../../../../src/data/balance/fair/share-table.ts'
import { columnOf, createLoadTable, incarnationOf } from '../../../../../src/data/balance/table.ts'
import { FakeClock } from '../../../../support/fake-clock.ts'

const share = (tenant: string, weight = 1) => ({ tenant, weight, priority: 1, floor: 0 })

function gateway(name: string, clock: FakeClock, others: readonly string[] = []) {
  const table = createLoadTable(8, 2)
  // At each gateway a pool has a column of its own.
  for (const other of others) columnOf(table, other)
  const now = () => clock.now()
  const demands = new PeerDemands({ ...table, now })
  const pool = (of: string, places = 4) => {
    const column = columnOf(table, of) ?? 0
    const accounts = new Accounts(table.shares, { workers: 2, worker: 1, column, pool: incarnationOf(of, 0) })
    const part = new PoolPart(table.parts, column, now)
    part.publish(places, 0)
    return { accounts, part }
  }
  return { name, demands, pool }
}

type Gateway = ReturnType<typeof gateway>

function wait(
  { accounts }: ReturnType<Gateway['pool']>,
  tenant: Parameters<Accounts['of']>[0],
  calls = 9,
): void {
  for (let call = 0; call < calls; call++) accounts.enter(accounts.of(tenant))
}

/** Both say who waits, and hear each other. */
function exchange(one: Gateway, other: Gateway): void {
  const [mine, its] = [one.demands.take(), other.demands.take()]
  if (its) one.demands.hear(other.name, its)
  if (mine) other.demands.hear(one.name, mine)
  for (const { name, demands } of [one, other]) demands.agree({ gateway: name, now: 1_796_000_000_000 })
}

function pair() {
  const clock = new FakeClock()
  const [x, y] = [gateway('x', clock, ['o', 'q']), gateway('y', clock)]
  return { clock, x, y, atX: x.pool('p'), atY: y.pool('p') }
}

it('divide a pool while calls wait for it at both, and only then', () => {
  const { clock, x, y, atX, atY } = pair()
  wait(atX, share('a', 3))
  exchange(x, y)
  expect([atX.part.most, atY.part.most]).toEqual([Infinity, Infinity])
  expect(x.demands.isDividing).toBe(false)
  wait(atY, share('b'))
  exchange(x, y)
  expect([atX.part.most, atY.part.most]).toEqual([3, 1])
  expect([x.pool('q').part.most, x.demands.isDividing]).toEqual([Infinity, true])
  for (let call = 0; call < 9; call++) atY.accounts.leave(atY.accounts.of(share('b')))
  // It may wait again the next moment.
  clock.advance(100)
  exchange(x, y)
  expect(atX.part.most).toBe(3)
  clock.advance(500)
  exchange(x, y)
  expect([atX.part.most, atY.part.most]).toEqual([Infinity, Infinity])
  // The others have heard that nobody waits.
  expect(y.demands.take()).toBeUndefined()
})

it('have all places again a second after the others were heard', () => {
  const { clock, x, y, atX, atY } = pair()
  wait(atX, share('a'))
  wait(atY, share('b'))
  exchange(x, y)
  expect(atX.part.most).toBe(2)
  clock.advance(1_001)
  expect([atX.part.most, x.demands.isDividing]).toEqual([Infinity, false])
  x.demands.take()
  x.demands.agree({ gateway: 'x', now: 1_796_000_001_000 })
  expect(atX.part.most).toBe(Infinity)
})

it('leave out tenants that may use some backends only, and pools without a limit', () => {
  const { x, y, atX, atY } = pair()
  wait(atX, { ...share('a'), labels: { tier: 'gold' } })
  wait(atY, share('b'))
  exchange(x, y)
  expect([atX.part.most, atY.part.most]).toEqual([Infinity, Infinity])
  const [freeAtX, freeAtY] = [x.pool('free', Infinity), y.pool('free', Infinity)]
  wait(freeAtX, share('a'))
  wait(freeAtY, share('b'))
  exchange(x, y)
  expect(freeAtX.part.most).toBe(Infinity)
})

it('count calls that have no use for free places for what they have', () => {
  const { clock, x, y, atX, atY } = pair()
  clock.advance(1)
  wait(atX, share('a'))
  wait(atY, share('b'))
  atX.part.useless()
  exchange(x, y)
  expect([atX.part.most, atY.part.most]).toEqual([1, 3])
})

it('pass over what makes no sense in a report', () => {
  const { x, y, atX, atY } = pair()
  wait(atX, share('a'))
  wait(atY, share('b'))
  exchange(x, y)
  const pool = incarnationOf('p', 0) >>> 0
  x.demands.hear('y', [1, 2, pool, 9, 1, 1, 1, 1, 2, pool, 1, 0, 1, 1, 1, 2, pool, 1, 1, 0, 1])
  x.demands.agree({ gateway: 'x', now: 1_796_000_000_000 })
  expect(atX.part.most).toBe(Infinity)
})
