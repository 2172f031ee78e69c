// What a call is counted as, where it is sent to several pools.
import { expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import {
  bodyOf,
  createWorld,
  json,
  predictions,
  type TestGateway,
  type WorldOptions,
} from '../../../support/pipeline.ts'

/** A gateway whose first pool is broken, so that another one answers. */
function broken(options: WorldOptions) {
  const world = createWorld({
    ...options,
    fallback: ['busy', 'spare'],
    script: ({ pool, instances }) =>
      pool === 'spare' ? predictions(instances) : json('{"error": "x"}', [], 503),
  })
  const gateway = world.gateways[0] as TestGateway
  const ask = async (rows: readonly number[], headers: readonly string[] = []) => {
    const { status } = await world.run(gateway.ask(bodyOf(rows), { headers }))
    return status
  }
  return { world, ask }
}

const LIMITS = {
  rate: { rate: { rows: { count: 4, perMs: 3_600_000 }, burst: 3_600_000 } },
  quota: { quota: { rows: { count: 4, per: 'day' } } },
} as const

it.each(['rate', 'quota'] as const)(
  'a call pays once for its rows, by a %s, whatever pools it was sent to',
  async (unit) => {
    const hash = `sha256:${Buffer.from(digestOf('k'), 'latin1').toString('hex')}`
    const { world, ask } = broken({ keys: [{ hash, tenant: 'a' }], tenants: { a: LIMITS[unit] } })
    const headers = ['authorization', 'Bearer k']
    expect(await ask([1, 2], headers)).toBe(200)
    expect(await ask([3, 4], headers)).toBe(200)
    expect(world.asked.map(({ pool }) => pool)).toEqual(['main', 'busy', 'spare', 'main', 'busy', 'spare'])
    expect(await ask([5], headers)).toBe(429)
    expect(world.asked).toHaveLength(6)
  },
)

it('a `no-cache` beyond the budget of its caller is ignored in every pool', async () => {
  // Of this many workers each allows a caller one `no-cache`, and another one after five calls.
  const { world, ask } = broken({ workers: 20 })
  const noCache = ['cache-control', 'no-cache']
  for (let i = 0; i < 4; i++) expect(await ask([1], noCache)).toBe(200)
  expect(world.asked.filter(({ pool }) => pool === 'spare')).toHaveLength(1)
})
