/** A backend gets another version under its address: a route that keeps a sample is warmed at once, beside one that does not. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type DeployingServer, startDeploying } from '../support/deploying.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { settings, TWO } from '../support/settings.ts'

const KEYS = 60
/** Each server has a route and a pool of its own. */
let servers: readonly DeployingServer[] = []
let gateway: RunningGateway

beforeAll(async () => {
  servers = await Promise.all([startDeploying(), startDeploying()])
  const base = settings({ server: TWO })
  const pool = (i: number) => ({ backends: [{ url: servers[i]?.url ?? '' }], health: { interval: '200ms' } })
  gateway = await startGateway({
    yaml: {
      ...base,
      pools: { warm: pool(0), cold: pool(1) },
      routes: [
        {
          name: 'warm',
          match: { headers: { 'x-way': 'warm' } },
          pool: 'warm',
          cache: { rows: 'never' },
          warm: { keep: '1MiB', rate: '300/s' },
        },
        { name: 'cold', pool: 'cold', cache: { rows: 'never' } },
      ],
    },
  })
  await Promise.all(['warm', 'cold'].map((name) => gateway.ready(name)))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all(servers.map((server) => server.close()))
})

/** Asks every key, and returns the answers and what the cache did. */
const askAll = (way: string) =>
  Promise.all(
    Array.from({ length: KEYS }, async (_, key) => {
      const { json, headers } = await gateway.post(
        '/v1/models/m:predict',
        { instances: [key] },
        { 'x-way': way },
      )
      const { predictions } = json as { predictions: string[] }
      return { answer: predictions[0], status: `${headers['cache-status']}` }
    }),
  )

it('the first callers of a new version find its answers, and each was asked for once', async () => {
  for (const way of ['warm', 'cold'])
    await eventually(async () => {
      for (const { status } of await askAll(way)) expect(status).toMatch(/; hit; /)
    })
  // They begin anew together, while the warming is under way or about to begin.
  for (const server of servers) server.content = server.version = 2
  await eventually(async () => {
    const { length } = servers[0]?.asked.filter((asked) => asked.startsWith('2 ')) ?? []
    expect(length).toBeGreaterThan(0)
  })
  const during = await askAll('warm')
  expect(during.map(({ answer }) => answer)).toEqual(Array.from({ length: KEYS }, (_, key) => `2/${key}`))
  await eventually(() => expect(gateway.logs.some(({ event }) => event === 'warm.version')).toBe(true))
  const asked = servers[0]?.asked.filter((one) => one.startsWith('2 ')) ?? []
  expect(asked.length).toBe(new Set(asked).size)
  expect(asked.length).toBe(KEYS)
  for (const { status } of await askAll('warm')) expect(status).toMatch(/; hit; /)
  const cold = await askAll('cold')
  expect(cold.filter(({ status }) => status.includes('; hit; '))).toEqual([])
})

it('without a caller, all that callers ask is there', async () => {
  const [server] = servers
  if (!server) throw new Error('no server')
  const stored = () => gateway.metric('infergate_warm_calls_total', { outcome: 'stored', route: 'warm' })
  const before = await stored()
  server.content = server.version = 3
  await eventually(async () => expect((await stored()) - before).toBe(KEYS))
  for (const { answer, status } of await askAll('warm')) {
    expect(answer).toMatch(/^3\//)
    expect(status).toMatch(/; hit; /)
  }
})
