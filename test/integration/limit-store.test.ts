/** What gateways tell each other through a real Redis of their tenants' limits. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLimitStore, type LimitStore } from '../../src/control/limits/limit-store.ts'
import type { SharedStore } from '../../src/core/shared.ts'
import { createRedisStore } from '../../src/data/cache/tiers/redis.ts'
import { eventually } from '../support/eventually.ts'
import { redisSays, startRedis, type TestServer } from '../support/servers.ts'

let redis: TestServer
let shared: SharedStore
let store: LimitStore

beforeAll(async () => {
  redis = await startRedis()
  shared = createRedisStore({ name: 'redis', url: redis.url })
  store = createLimitStore(shared)
  await eventually(async () => expect(store.connected).toBe(true))
})
afterAll(async () => {
  shared.close()
  await redis.stop()
})

const ask = (gateway: string, number: number, more: Partial<Parameters<LimitStore['exchange']>[0]> = {}) =>
  store.exchange({ gateway, number, report: undefined, quotas: [], last: undefined, ...more })
const quota = { high: 1, low: -1, period: '2026-11-30', until: Date.now() + 60_000, used: 3, known: 0 }

it('passes on each report once, to the others, and knows who is there', async () => {
  const { sequence: last } = await ask('a', 1)
  expect((await ask('b', 1, { report: 'of-b', last })).reports).toEqual([])
  const twice = await ask('b', 1, { report: 'of-b', last })
  expect(twice.sequence).toBe(last + 1)
  const { reports, gateways } = await ask('a', 2, { last, report: 'of-a' })
  expect(reports).toEqual([{ gateway: 'b', text: 'of-b' }])
  expect(gateways).toBe(2)
  await store.leave('b')
  expect((await ask('a', 3)).gateways).toBe(1)
})

it('keeps the newest reports alone, and nothing for long', async () => {
  const { sequence: last } = await ask('a', 10)
  for (let i = 0; i < 80; i++) await ask('b', 10 + i, { report: `${i}` })
  const { reports } = await ask('a', 11, { last })
  expect(reports.map(({ text }) => Number(text))).toEqual(Array.from({ length: 64 }, (_, i) => i + 16))
  for (const name of ['gateways', 'sequence', 'reports'])
    expect(await redisSays(redis.port, `PTTL ig1:shared:{limits}:${name}`)).toMatch(/^:[1-9]/)
})

it('counts a quota once for each request, and as much as was known where the count is lost', async () => {
  expect((await ask('a', 20, { quotas: [quota] })).totals).toEqual([3])
  expect((await ask('a', 20, { quotas: [quota] })).totals).toEqual([3])
  expect((await ask('b', 20, { quotas: [quota, { ...quota, period: '2026-11' }] })).totals).toEqual([6, 3])
  await redisSays(redis.port, 'FLUSHALL')
  expect((await ask('a', 21, { quotas: [{ ...quota, known: 6 }] })).totals).toEqual([9])
  expect((await ask('b', 21, { quotas: [{ ...quota, known: 6, used: 1 }] })).totals).toEqual([10])
  expect(await redisSays(redis.port, 'HGET ig1:shared:{limits}:quota:2026-11-30 00000001ffffffff')).toMatch(
    /10/,
  )
  expect(await redisSays(redis.port, 'PTTL ig1:shared:{limits}:quota:2026-11-30')).toMatch(/^:[1-9]/)
})

it.each(['nan', 'inf', 'x', '-5'])('takes %s for no count, and goes on with what was known', async (text) => {
  await redisSays(redis.port, `HSET ig1:shared:{limits}:quota:2026-11-30 00000001ffffffff ${text}`)
  const number = 30 + ['nan', 'inf', 'x', '-5'].indexOf(text)
  expect((await ask('a', number, { quotas: [{ ...quota, known: 6 }] })).totals).toEqual([9])
})

describe('where something else lies', () => {
  let number = 100
  const put = async (name: string, command: string) => {
    await redisSays(redis.port, 'FLUSHALL')
    await redisSays(redis.port, command.replace('KEY', `ig1:shared:{limits}:${name}`))
  }
  const inDays = { ...quota, period: '2026-11-30' }
  const inMonths = { ...quota, period: '2026-11' }

  it.each([
    ['gateways', 'SET KEY x', /holds at ig1:shared:\{limits\}:gateways is no hash/],
    ['sequence', 'RPUSH KEY x', /holds at .*:sequence is no string/],
    ['reports', 'HSET KEY a b', /holds at .*:reports is no zset/],
  ])('as %s: nobody is heard, and quotas are counted', async (name, command, said) => {
    await put(name, command)
    const { isHeard, problems, totals } = await ask('a', ++number, { report: 'r', quotas: [inDays] })
    expect([isHeard, problems, totals]).toEqual([false, [expect.stringMatching(said)], [3]])
    expect((await ask('b', ++number, { quotas: [inDays] })).totals).toEqual([6])
    await redisSays(redis.port, `DEL ig1:shared:{limits}:${name}`)
    expect(await ask('a', ++number)).toMatchObject({ isHeard: true, problems: [] })
  })

  it('as the counts of a day: each gateway counts that for itself, and all else goes on', async () => {
    await put('quota:2026-11-30', 'SADD KEY x')
    const { sequence: last } = await ask('a', ++number)
    const answer = await ask('b', ++number, { report: 'r', quotas: [{ ...inDays, known: 5 }, inMonths] })
    expect(answer).toMatchObject({ isHeard: true, totals: [8, 3] })
    expect(answer.problems).toEqual([expect.stringMatching(/holds at .*:quota:2026-11-30 is no hash/)])
    expect((await ask('a', ++number, { last, quotas: [inMonths] })).totals).toEqual([6])
    expect((await ask('a', ++number, { last })).reports).toEqual([{ gateway: 'b', text: 'r' }])
  })

  it.each(['x', '1.5', '-3', '9223372036854775807', ''])(
    'as the number of reports, %j: it is none',
    async (text) => {
      await put('sequence', `SET KEY "${text}"`)
      const { sequence: last } = await ask('a', ++number)
      await ask('b', ++number, { report: 'r', last })
      expect((await ask('a', ++number, { last })).reports).toEqual([{ gateway: 'b', text: 'r' }])
    },
  )

  it('reports are heard once, also where only their number was lost', async () => {
    await redisSays(redis.port, 'FLUSHALL')
    await ask('a', ++number)
    for (let i = 0; i < 5; i++) await ask('b', ++number, { report: `old-${i}` })
    await redisSays(redis.port, 'DEL ig1:shared:{limits}:sequence')
    let { sequence: last } = await ask('a', ++number, { last: 5 })
    const heard: string[] = []
    for (let i = 0; i < 3; i++) {
      await ask('b', ++number, { report: `new-${i}` })
      const { reports, sequence } = await ask('a', ++number, { last })
      last = sequence
      heard.push(...reports.map(({ text }) => text))
    }
    expect(heard).toEqual(['new-0', 'new-1', 'new-2'])
  })

  it('a gateway of the future is not there: the clock of Redis was set back', async () => {
    await put('gateways', `HSET KEY ghost "${Date.now() + 3_600_000} 5"`)
    expect((await ask('a', ++number)).gateways).toBe(1)
  })
})

it('is one command a round', async () => {
  const commands = async () =>
    Number(/total_commands_processed:(\d+)/.exec(await redisSays(redis.port, 'INFO stats'))?.[1])
  const evals = async () =>
    Number(/cmdstat_eval:calls=(\d+)/.exec(await redisSays(redis.port, 'INFO commandstats'))?.[1])
  const [before, all] = [await evals(), await commands()]
  for (let i = 0; i < 10; i++) await ask('a', 40 + i, { report: 'r', quotas: [quota] })
  expect((await evals()) - before).toBe(10)
  // What the script itself asks: 15 each, by the sum.
  expect((await commands()) - all).toBeLessThanOrEqual(10 * 18 + 5)
})
