/** What tenants may have, on a process as its users run it: models, backends, rates, and nobody's answers but their own. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { exchange } from '../support/raw.ts'
import { instances } from '../support/settings.ts'

const tenants = ['gold', 'plain', 'slow', 'narrow', 'stray'] as const
const keys = Object.fromEntries(
  tenants.map((tenant) => [tenant, newKey({ name: tenant, tenant })]),
) as Record<(typeof tenants)[number], { key: string; line: string }>
let backends: ScriptedBackend[]
let gateway: RunningGateway

const yaml = () => `
server: { workers: 2 }
auth:
  keys:
${tenants.map((tenant) => `    ${keys[tenant].line}`).join('\n')}
  trustedProxies: { from: [127.0.0.1], tenant: x-auth-tenant, subject: x-auth-user, tenants: ["p-*"] }
  forward: true
tenants:
  gold: { backends: { tier: gold }, models: [sum, "embed-*"] }
  plain: {}
  slow: { rate: { requests: 20/s, burst: 500ms } }
  narrow: { concurrency: 1, rate: { rows: 5/h, burst: 1h } }
  "p-1": {}
pools:
  main:
    backends:
      - { url: "${backends[0]?.url}", labels: { tier: gold } }
      - { url: "${backends[1]?.url}", labels: { tier: silver } }
    health: { interval: 200ms }
routes:
  - { name: own, match: { tenant: plain, path: "/v1/models/own*" }, pool: main, cache: { scope: tenant } }
  - { name: unasked, match: { path: "/v1/models/unasked*" }, pool: main, auth: off, cache: { scope: tenant } }
  - { name: managed, match: { path: "/v2/repository/*" }, pool: main, manage: true, models: any }
  - { name: torchserve, match: { path: "/predictions/*" }, pool: main, protocol: torchserve, cache: { vary: [], heedBackend: false } }
  - { name: opaque, match: { path: "/opaque/*" }, pool: main, protocol: opaque, cache: {} }
  - { name: main, pool: main, cache: { rows: always, scope: tenant }, batch: { maxRows: 8 } }
`

/** Answers what stands in its request, and who has asked. */
const script: ScriptedBackend['script'] = ({ headers, body, path }, response) => {
  const who = String(headers.authorization ?? headers['x-auth-tenant'])
  response.setHeader('content-type', 'application/json')
  if (path.startsWith('/v2'))
    return void response.end(
      JSON.stringify({
        model_name: 'sum',
        model_version: '1',
        outputs: [{ name: who, datatype: 'FP32', shape: [1], data: [1] }],
      }),
    )
  if (!path.startsWith('/v1')) {
    if (path.startsWith('/opaque')) response.setHeader('cache-control', 'max-age=60')
    return void response.end(JSON.stringify(who))
  }
  const { instances: rows } = JSON.parse(body.toString()) as { instances: unknown[] }
  response.end(JSON.stringify({ predictions: rows.map(() => who) }))
}

beforeAll(async () => {
  backends = [await startBackend(script), await startBackend(script)]
  gateway = await startGateway({ yaml: yaml() })
  await gateway.ready('main', 2)
})
afterAll(async () => {
  await gateway.stop()
  await Promise.all(backends.map((backend) => backend.close()))
})

const bearer = (tenant: (typeof tenants)[number]) => ({ authorization: `Bearer ${keys[tenant].key}` })
const SUM = '/v1/models/sum:predict'

describe('may have', () => {
  it('its models, and no others, and nothing of which the model is not known', async () => {
    expect((await gateway.post(SUM, instances(1), bearer('gold'))).status).toBe(200)
    const refused = await gateway.post('/v1/models/other:predict', instances(1), bearer('gold'))
    expect(refused.status).toBe(403)
    expect(refused.headers['www-authenticate']).toMatch(/error="insufficient_scope"/)
    // The same head once more, which the door knows by now.
    expect((await gateway.post('/v1/models/other:predict', instances(1), bearer('gold'))).status).toBe(403)
    expect((await gateway.post('/opaque/x', 'x', bearer('gold'))).status).toBe(403)
    expect((await gateway.get('/v2/health/ready', bearer('gold'))).status).toBe(200)
  })

  it('backends with its labels', async () => {
    const before = backends.map(({ asked }) => asked.length)
    for (let row = 100; row < 110; row++) await gateway.post(SUM, instances(row), bearer('gold'))
    expect((backends[0]?.asked.length ?? 0) - (before[0] ?? 0)).toBe(10)
    expect(backends[1]?.asked.length).toBe(before[1])
  })

  it('nothing, where the settings name it nowhere', async () => {
    expect((await gateway.post(SUM, instances(1), bearer('stray'))).status).toBe(403)
  })

  it('routes of its own', async () => {
    expect((await gateway.post('/v1/models/own:predict', instances(1), bearer('plain'))).status).toBe(200)
    expect(await gateway.metric('infergate_calls_total', { route: 'own' })).toBe(1)
  })

  it('calls that manage a server where the route says so', async () => {
    const load = '/repository/models/sum/load'
    expect((await gateway.post(`/v2${load}`, {}, bearer('plain'))).status).toBe(200)
    expect((await gateway.post('/v2/systemsharedmemory/region/a/register', {}, bearer('plain'))).status).toBe(
      403,
    )
    expect((await gateway.post('/opaque/x', 'x', bearer('plain'))).status).toBe(200)
  })
})

it('callers whom a route does not ask have answers of their own, also with the scope of a tenant', async () => {
  const ask = async (who: string) => {
    const answer = await gateway.post('/v1/models/unasked:predict', instances(1), { authorization: who })
    return [answer.text, String(answer.headers['cache-status'])]
  }
  for (const who of ['Bearer one', 'Bearer two']) {
    expect(await ask(who)).toEqual([expect.stringContaining(who), expect.stringContaining('stored')])
    expect(await ask(who)).toEqual([expect.stringContaining(who), expect.stringContaining('hit')])
  }
})

describe('no more than', () => {
  it('its rate, of all workers together', async () => {
    const all = await Promise.all(
      Array.from({ length: 60 }, () => gateway.post(SUM, instances(1), bearer('slow'))),
    )
    const refused = all.filter(({ status }) => status === 429)
    const let_in = all.length - refused.length
    expect(let_in).toBeGreaterThanOrEqual(10)
    expect(let_in).toBeLessThan(55)
    expect(refused[0]?.headers).toMatchObject({
      'retry-after': '1',
      ratelimit: '"requests";r=0;t=1',
      'ratelimit-policy': '"requests";q=20;w=1',
    })
    await eventually(async () =>
      expect((await gateway.post(SUM, instances(1), bearer('slow'))).status).toBe(200),
    )
  })

  it('its rows, of which hits are none', async () => {
    expect((await gateway.post(SUM, instances(1, 2, 3), bearer('narrow'))).status).toBe(200)
    expect((await gateway.post(SUM, instances(4, 5, 6), bearer('narrow'))).status).toBe(200)
    const refused = await gateway.post(SUM, instances(7), bearer('narrow'))
    expect(refused.status).toBe(429)
    expect(refused.headers['ratelimit-policy']).toBe('"rows";q=5;w=3600')
    expect((await gateway.post(SUM, instances(1, 6), bearer('narrow'))).status).toBe(200)
  })

  it('what a reload gives it', async () => {
    const text = readFileSync(gateway.file, 'utf8')
    writeFileSync(gateway.file, text.replace('rows: 5/h', 'rows: 500/s'))
    await eventually(async () =>
      expect((await gateway.post(SUM, instances(8), bearer('narrow'))).status).toBe(200),
    )
  })

  it('its requests at a time', async () => {
    let answer: (() => void) | undefined
    const held = new Promise<void>((resolve) => (answer = resolve))
    for (const backend of backends) backend.script = (...asked) => void held.then(() => script(...asked))
    const before = backends.reduce((sum, { asked }) => sum + asked.length, 0)
    const first = gateway.post(SUM, instances(900), bearer('narrow'))
    await eventually(() =>
      expect(backends.reduce((sum, { asked }) => sum + asked.length, 0)).toBe(before + 1),
    )
    expect((await gateway.post(SUM, instances(901), bearer('narrow'))).status).toBe(429)
    answer?.()
    expect((await first).status).toBe(200)
    for (const backend of backends) backend.script = script
    await eventually(async () =>
      expect((await gateway.post(SUM, instances(902), bearer('narrow'))).status).toBe(200),
    )
  })
})

describe('a trusted proxy', () => {
  it('names the caller, within its bounds, and once', async () => {
    const proxied = (tenant: string, more = {}) =>
      gateway.post(SUM, instances(1), { 'x-auth-tenant': tenant, 'x-auth-user': 'u', ...more })
    expect((await proxied('p-1')).json).toEqual({ predictions: ['p-1'] })
    expect((await proxied('plain')).status).toBe(403)
    expect((await proxied('p-1', bearer('plain'))).status).toBe(401)
    expect((await proxied('p-1', { X_Auth_Tenant: 'plain' })).status).toBe(401)
  })

  it('is nobody else', async () => {
    const text = readFileSync(gateway.file, 'utf8')
    writeFileSync(gateway.file, text.replace('from: [127.0.0.1]', 'from: [10.1.2.3]'))
    await eventually(async () =>
      expect(
        (await gateway.post(SUM, instances(1), { 'x-auth-tenant': 'p-1', 'x-auth-user': 'u' })).status,
      ).toBe(401),
    )
    for (const name of ['x-auth-tenant', 'X-Auth-Tenant', 'X_Auth_Tenant']) {
      const { asked } = backends[0] as ScriptedBackend
      asked.length = 0
      await gateway.post(SUM, instances(Math.random()), { ...bearer('gold'), [name]: 'p-1' })
      expect(JSON.stringify(asked.at(-1)?.headers)).not.toContain('p-1')
    }
  })
})

describe.each(['fast', 'http'])('I5: at the door %s', (door) => {
  const tensor = { inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }] }
  it.each([
    ['tfserving', '/v1/models/sum:predict', instances(42)],
    ['rows of a batch', '/v1/models/sum:predict', instances(42, 43, 44)],
    ['oip', '/v2/models/sum/infer', tensor],
    ['torchserve', '/predictions/sum', { x: 1 }],
    ['opaque', '/opaque/same', { x: 1 }],
  ])('two tenants that ask the same never share an answer: %s', async (_, path, body) => {
    const text = JSON.stringify(body)
    const ask = async (tenant: 'plain' | 'slow') => {
      const { key } = keys[tenant]
      const extra = door === 'http' ? 'TE: trailers\r\n' : ''
      const head = `POST ${path} HTTP/1.1\r\nHost: g\r\n${extra}Authorization: Bearer ${key}\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n`
      const reply = await exchange(gateway.port, head + text)
      return { ...reply, key }
    }
    for (let round = 0; round < 3; round++) {
      const all = await Promise.all([ask('plain'), ask('slow'), ask('plain')])
      for (const { status, body: said, key } of all) {
        if (status === 429) continue
        expect(status).toBe(200)
        expect(said).toContain(key)
      }
      if (round > 0) expect(all[0]?.head).toMatch(/Cache-Status: infergate; (?:hit|fwd=.*collapsed|fwd=)/)
    }
  })
})
