/** Warming where callers have identities: a call is asked again for the caller that it was kept of, and for nobody else. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { MEMORY, PREDICT, settings } from '../support/settings.ts'

let backends: readonly ScriptedBackend[] = []
let gateway: RunningGateway
const admin = 'an-admin-token-of-the-test-0123456789'
const traffic = 'a-traffic-token-of-the-test-0123456789'
const hashOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`

beforeAll(async () => {
  backends = await Promise.all([startBackend(), startBackend()])
  const base = settings({ tiers: [MEMORY] })
  const pool = (i: number) => ({
    backends: [{ url: backends[i]?.url ?? '' }],
    health: { path: 'off' as const },
  })
  gateway = await startGateway({
    yaml: {
      ...base,
      admin: {
        tokens: [
          { name: 'admin', hash: hashOf(admin), scopes: ['admin'] },
          { name: 'traffic', hash: hashOf(traffic), scopes: ['traffic', 'read'] },
        ],
      },
      auth: {
        keys: ['mobile', 'web'].map((tenant) => ({
          name: tenant,
          hash: hashOf(`key-of-${tenant}`),
          tenant,
          subject: 'app',
        })),
      },
      tenants: { mobile: { rate: { requests: '1000/s', rows: '1/h' } }, web: {} },
      pools: { v1: pool(0), v2: pool(1) },
      routes: [
        {
          name: 'ranker',
          split: [
            { pool: 'v1', weight: 1 },
            { pool: 'v2', weight: 0 },
          ],
          cache: { rows: 'never' },
          warm: {},
        },
      ],
    },
  })
  await eventually(async () => expect((await askAs('web', 0)).status).toBe(200))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all(backends.map((backend) => backend.close()))
})

const askAs = (tenant: string, input: number) =>
  gateway.post(PREDICT, { instances: [[input]] }, { authorization: `Bearer key-of-${tenant}` })
const asking = (token: string, method: string, body?: unknown) => ({
  method,
  headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
  ...(body === undefined ? {} : { body }),
})

async function warmed(spec: unknown, requests?: readonly unknown[]) {
  const { json } = await gateway.ask('/api/v1/warm', asking(admin, 'POST', spec))
  const { id } = json as { id: string }
  if (requests)
    await gateway.ask(`/api/v1/warm/${id}/requests`, asking(admin, 'POST', { requests, end: true }))
  return eventually(async () => {
    const got = await gateway.ask(`/api/v1/warm/${id}`, asking(admin, 'GET'))
    const { state, progress } = got.json as { state: string; progress: unknown }
    expect(state).toBe('done')
    return progress
  })
}

it('keeps the answers for the caller of the call, without its credentials, and outside of its limits', async () => {
  expect((await askAs('mobile', 7)).status).toBe(200)
  expect((await askAs('mobile', 8)).status).toBe(429)
  // The call of the tenant, and the first of the other.
  expect(await warmed({ route: 'ranker', pool: 'v2' })).toMatchObject({ stored: 2, failed: 0 })
  const asked = backends[1]?.asked ?? []
  for (const { headers } of asked) expect(headers).not.toHaveProperty('authorization')
  await gateway.ask('/api/v1/routes/ranker', asking(admin, 'PATCH', { weights: { v1: 0, v2: 1 } }))
  const own = await askAs('mobile', 7)
  expect(own.headers['cache-status']).toMatch(/; hit; /)
  const other = await askAs('web', 7)
  expect(other.headers['cache-status']).toMatch(/fwd=miss/)
})

it('asks for a recorded caller, and not for one whose credentials went on, or that is no more', async () => {
  const sent = (principal: string) => ({
    method: 'POST',
    path: PREDICT,
    headers: [{ name: 'content-type', value: 'application/json' }],
    body: Buffer.from(JSON.stringify({ instances: [[99]] })).toString('base64'),
    principal,
  })
  const given = [sent('t3:web3:app'), sent('heCtdigest'), sent('t4:gone3:app'), sent('t3:web3:appheCtdigest')]
  expect(await warmed({ route: 'ranker', source: 'requests', pool: 'v2' }, given)).toMatchObject({
    stored: 1,
    skipped: { credentials: 2, tenant: 1 },
  })
  expect((await askAs('web', 99)).headers['cache-status']).toMatch(/; hit; /)
})

it('takes calls of others from nobody but an administrator', async () => {
  const started = await gateway.ask(
    '/api/v1/warm',
    asking(traffic, 'POST', { route: 'ranker', source: 'requests' }),
  )
  expect(started.status).toBe(202)
  const { id } = started.json as { id: string }
  const refused = await gateway.ask(
    `/api/v1/warm/${id}/requests`,
    asking(traffic, 'POST', { requests: [], end: true }),
  )
  expect(refused.status).toBe(403)
  await gateway.ask(`/api/v1/warm/${id}`, asking(traffic, 'DELETE'))
})
