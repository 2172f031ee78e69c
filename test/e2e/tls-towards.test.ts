/** TLS towards backends and Redis: authorities, names and a certificate of our own, as the settings have them. */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Authority, createAuthority } from '../support/authority.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { freePort, type RedisServer, startRedis } from '../support/servers.ts'

const BACKEND = 'models.example'
const REDIS = 'cache.example'

let authority: Authority
let redis: RedisServer
let redisPort: number
const file = (name: string) => join(authority.folder, name)

/** Certificate and key as files of these names. */
function install(name: string, names: string): { readonly cert: string; readonly key: string } {
  const pair = authority.issue(`/CN=${name}`, names)
  const files = { cert: file(`${name}.crt`), key: file(`${name}.key`) }
  writeFileSync(files.cert, pair.cert)
  writeFileSync(files.key, pair.key)
  return files
}

beforeAll(async () => {
  authority = createAuthority()
  const { cert, key } = install('redis', `DNS:${REDIS}`)
  redisPort = await freePort()
  const tls = ['--tls-port', `${redisPort}`, '--tls-cert-file', cert, '--tls-key-file', key]
  redis = await startRedis({
    args: [...tls, '--tls-auth-clients', 'no', '--tls-ca-cert-file', file('ca.pem')],
  })
})
afterAll(() => redis.stop())

/** A model server that asks for a certificate of our authority, and says whose it got. */
async function startSecureBackend(): Promise<string> {
  const { cert, key } = authority.issue('/CN=models', `DNS:${BACKEND}`)
  const options = { cert, key, ca: authority.ca, requestCert: true, rejectUnauthorized: true }
  const server = createServer(options, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate()
    response.setHeader('content-type', 'application/json')
    request.resume().on('end', () => response.end(JSON.stringify({ predictions: [subject.CN] })))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterAll(() => void (server.closeAllConnections(), server.close()))
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a pool and a Redis tier have the certificates of their settings', async () => {
  const url = await startSecureBackend()
  const own = install('gateway', 'DNS:gateway.example')
  const tls = { ca: file('ca.pem'), ...own, serverName: BACKEND }
  const health = { path: '/v1/models/m', interval: '100ms' }
  const backends = [{ url }]
  const gateway = await startGateway({
    yaml: {
      server: { listen: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0' },
      cache: {
        tiers: [
          {
            name: 'redis',
            type: 'redis',
            url: `rediss://127.0.0.1:${redisPort}`,
            tls: { ca: file('ca.pem'), serverName: REDIS },
          },
        ],
      },
      pools: {
        good: { backends, health, tls },
        strange: { backends, health: { path: 'off' }, tls: { ...own, serverName: BACKEND } },
        otherName: { backends, health: { path: 'off' }, tls: { ...tls, serverName: 'other.example' } },
      },
      routes: [
        { name: 'good', match: { path: '/v1/models/good:predict' }, pool: 'good', cache: { rows: 'never' } },
        { name: 'strange', match: { path: '/v1/models/strange:predict' }, pool: 'strange' },
        { name: 'other', match: { path: '/v1/models/other:predict' }, pool: 'otherName' },
      ],
    },
  })
  await gateway.ready('good')
  const ask = (model: string) => gateway.post(`/v1/models/${model}:predict`, { instances: [1] })

  expect(await ask('good')).toMatchObject({ status: 200, text: '{"predictions":["gateway"]}' })
  await eventually(async () => expect((await ask('good')).headers['cache-status']).toMatch(/hit.*redis/))
  for (const model of ['strange', 'other']) {
    const refused = await ask(model)
    expect(refused.status).toBe(502)
    expect(refused.headers['proxy-status']).toMatch(/tls_certificate_error|certificate/)
  }
})

test('a Redis whose certificate is for another name is refused at the start, with the fix', async () => {
  const tls = { ca: file('ca.pem'), serverName: 'other.example' }
  const tiers = [{ name: 'redis', type: 'redis' as const, url: `rediss://127.0.0.1:${redisPort}`, tls }]
  const starting = startGateway({
    yaml: {
      cache: { tiers },
      pools: { none: { health: { path: 'off' } } },
      routes: [{ pool: 'none' }],
    },
  })
  await expect(starting).rejects.toThrow(/certificate/)
})
