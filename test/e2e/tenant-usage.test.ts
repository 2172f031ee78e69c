/** What tenants have used, as an operator reads it: over the workers, by tier and reason, kept over a reload, for who may read it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { tokenHash } from '../../src/control/admin/auth.ts'
import { startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { startRedis } from '../support/servers.ts'
import { instances } from '../support/settings.ts'

const mobile = newKey({ name: 'mobile', tenant: 'mobile' })
const web = newKey({ name: 'web', tenant: 'web' })
const stray = newKey({ name: 'stray', tenant: 'somebody' })
let backend: Awaited<ReturnType<typeof startBackend>>
let redis: Awaited<ReturnType<typeof startRedis>>
let gateway: RunningGateway

const yaml = () => `
server: { workers: 2 }
admin:
  tokens:
    - { name: bills, hash: "${tokenHash('bills')}", scopes: [tenants] }
    - { name: eyes, hash: "${tokenHash('eyes')}", scopes: [read] }
auth: { keys: [${[mobile, web, stray].map(({ line }) => line.slice(2)).join(', ')}] }
tenants:
  mobile: { models: [sum] }
  web: { rate: { rows: 4/h, burst: 1h } }
  idle: {}
  "*": {}
cache: { tiers: [{ name: memory, type: memory }, { name: redis, type: redis, url: "${redis.url}" }] }
pools: { main: { backends: [{ url: "${backend.url}" }], health: { interval: 200ms } } }
routes: [{ name: main, pool: main, cache: { rows: always } }]
`

beforeAll(async () => {
  redis = await startRedis()
  backend = await startBackend(summing)
  gateway = await startGateway({ yaml: yaml() })
  await eventually(async () => expect((await ask(stray, instances(0))).status).toBe(200))
})
afterAll(async () => {
  await gateway.stop()
  await Promise.all([backend.close(), redis.stop()])
})

const SUM = '/v1/models/sum:predict'
const ask = ({ key }: { key: string }, body: unknown, path = SUM) =>
  gateway.post(path, body, { authorization: `Bearer ${key}` })
const read = (path: string, token = 'bills') =>
  call(gateway.adminPort, path, { headers: { authorization: `Bearer ${token}` } })

it('counts calls, hits by tier, rows asked, saved and sent, and refusals by reason', async () => {
  expect((await ask(mobile, instances(1, 2, 3, 3))).status).toBe(200)
  for (let i = 0; i < 4; i++) expect((await ask(mobile, instances(1, 2, 3, 3))).status).toBe(200)
  expect((await ask(mobile, instances(3, 4))).status).toBe(200)
  expect((await ask(mobile, instances(1), '/v1/models/other:predict')).status).toBe(403)
  expect((await ask(web, instances(5, 6, 7, 8))).status).toBe(200)
  expect((await ask(web, instances(9))).status).toBe(429)
  expect((await gateway.post(SUM, instances(1))).status).toBe(401)

  const { json } = await read('/api/v1/tenants')
  const { tenants, unidentified } = json as { tenants: { tenant: string }[]; unidentified: object }
  expect(tenants.map(({ tenant }) => tenant)).toEqual(['mobile', 'web', 'idle', '*'])
  expect(tenants[0]).toEqual({
    tenant: 'mobile',
    calls: { partial: 2, hit: 4, none: 1 },
    hits: { memory: 4 },
    rows: { hit: 17, join: 0, miss: 4, dup: 1 },
    tokens: {},
    savedTokens: {},
    refused: { forbidden: 1 },
  })
  expect(tenants[1]).toMatchObject({
    calls: { miss: 1, none: 1 },
    rows: { hit: 0, miss: 4 },
    refused: { rows: 1 },
  })
  expect(tenants[2]).toMatchObject({ calls: {}, rows: { miss: 0 } })
  expect(unidentified).toEqual({ unauthenticated: 1 })
})

it('a tenant that is not named counts under "*", and its own name is nowhere', async () => {
  const { json } = await read('/api/v1/tenants/*')
  expect(json).toMatchObject({ tenant: '*', calls: { miss: 1 } })
  expect((await read('/api/v1/tenants/somebody')).status).toBe(404)
  const all = await read('/api/v1/tenants')
  const metrics = await call(gateway.adminPort, '/metrics', eyes)
  expect(all.text + metrics.text).not.toContain('somebody')
})

const eyes = { headers: { authorization: 'Bearer eyes' } }

it('is for the scope "tenants", which is for nothing else', async () => {
  expect((await read('/api/v1/tenants', 'eyes')).status).toBe(403)
  expect((await read('/api/v1/pools')).status).toBe(403)
  expect((await read('/api/v1/tenants', 'none')).status).toBe(401)
})

it('is kept over a reload, and so is what a tenant has used that is named no more', async () => {
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace('  web: {', '  later: {}\n  web2: {'))
  await eventually(async () => expect((await read('/api/v1/tenants/later')).status).toBe(200))
  expect(gateway.logs.findLast(({ event }) => event === 'config.reloaded')).toMatchObject({
    changed: ['tenants.web (gone)', 'tenants.later (new)', 'tenants.web2 (new)'],
  })
  expect((await read('/api/v1/tenants/mobile')).json).toMatchObject({ hits: { memory: 4 } })
  expect((await read('/api/v1/tenants/web')).json).toMatchObject({ refused: { rows: 1 } })
})

it('is in the metrics, by the names of the settings', async () => {
  const { text } = await call(gateway.adminPort, '/metrics', eyes)
  expect(text).toContain('infergate_tenant_calls_total{tenant="mobile",cache="hit"} 4')
  expect(text).toContain('infergate_tenant_hits_total{tenant="mobile",tier="memory"} 4')
  expect(text).toContain('infergate_tenant_rows_total{tenant="mobile",result="miss"} 4')
  expect(text).toContain('infergate_tenant_refused_total{tenant="",reason="unauthenticated"} 1')
})

it('infergate tenants shows a table, one tenant, or the answer itself', async () => {
  const admin = ['--admin', `http://127.0.0.1:${gateway.adminPort}`]
  const env = { INFERGATE_TOKEN: 'bills' }
  const all = await runInfergate(['tenants', ...admin], env)
  expect(all.stdout).toMatch(
    /^TENANT +CALLS +HITS +ROWS +SENT +SAVED +REFUSED\nmobile +7 +memory 4 +22 +4 +18 \(82 %\) +forbidden 1\n/,
  )
  expect(all.stdout).toMatch(/refused before it was known who they are: unauthenticated 1\n$/)
  const one = await runInfergate(['tenants', 'mobile', '--json', ...admin], env)
  expect(JSON.parse(one.stdout)).toMatchObject({ tenant: 'mobile', hits: { memory: 4 } })
  const none = await runInfergate(['tenants', 'nobody', ...admin], env)
  expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/names? no tenant "nobody"/)])
})

it('begins anew with the process, and tells a hit in Redis from one in memory', async () => {
  await gateway.restart()
  // A row that is asked for before Redis is connected is fetched again, and is in memory from then on.
  const rows = [1, 2, 3, 4]
  await eventually(async () => {
    await ask(mobile, instances(rows.shift() ?? 4))
    expect((await read('/api/v1/tenants/mobile')).json).toMatchObject({ hits: { redis: 1 } })
  })
})
