/** Callers at the admin port: keys, tokens and certificates with a grant, and everything that is none, over TLS. */
import { createHmac } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { tokenHash } from '../../src/control/admin/auth.ts'
import type { KeyPair } from '../../src/lib/tls/material.ts'
import { createAuthority } from '../support/authority.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { AUDIENCE, startIssuer, type TestIssuer } from '../support/issuer.ts'

const authority = createAuthority()
const file = (name: string, text: string) => {
  const path = join(authority.folder, name)
  writeFileSync(path, text)
  return path
}
const ops = newKey({ name: 'ops', tenant: 'ops', subject: 'ann' })
const bot = newKey({ name: 'bot', tenant: 'ops', subject: 'bot' })
const mobile = newKey({ name: 'mobile', tenant: 'mobile' })
const filed = newKey({ name: 'filed', tenant: 'ops', subject: 'filed' })
const certified = authority.issue('/OU=ops/CN=certified', 'DNS:ops.example')
const plain = authority.issue('/OU=mobile/CN=plain', 'DNS:mobile.example')
let issuer: TestIssuer
let gateway: RunningGateway

beforeAll(async () => {
  issuer = await startIssuer()
  await issuer.add('k')
  const served = authority.issue('/CN=localhost', 'DNS:localhost,IP:127.0.0.1')
  const pair = `{ cert: ${file('a.pem', served.cert)}, key: ${file('a.key', served.key)} }`
  gateway = await startGateway({
    yaml: `
server: { workers: 1 }
auth:
  keys: [${[ops, bot, mobile].map(({ line }) => line.slice(2)).join(', ')}]
  keysFile: ${file('keys.yaml', filed.line)}
  jwt: [{ issuer: "${issuer.issuer}", audience: ${AUDIENCE}, jwks: "${issuer.jwks}", tenant: claim.team, tenants: ["*"] }]
  mtls: { tenant: subject.ou, subject: subject.cn, tenants: ["*"] }
  trustedProxies: { from: [127.0.0.1], tenant: x-auth-tenant, tenants: ["*"] }
tenants: { mobile: {} }
admin:
  tls: { certificates: [${pair}], clientCa: ${file('ca-clients.pem', authority.ca)}, clientAuth: optional }
  tokens: [{ name: old, hash: "${tokenHash('old-token')}", scopes: [read] }]
  auth:
    claim: claim.roles
    grants:
      - { tenant: ops, subject: ann, scopes: [read, purge] }
      - { tenant: ops, subject: certified, scopes: [tenants] }
pools: { main: { health: { path: off } } }
routes: [{ name: main, pool: main }]
`,
  })
  // The keys of the issuer are fetched in the background.
  await eventually(async () =>
    expect(await status('GET', READ, [auth(await issuer.token({ roles: ['infergate:read'] }))])).toBe(200),
  )
})
afterAll(async () => {
  await gateway.stop()
  await issuer.close()
})

const READ = '/api/v1/pools'
const PURGE = '/api/v1/cache/purge'
const TENANTS = '/api/v1/tenants'
const auth = (secret: string) => `Authorization: Bearer ${secret}`

interface Said {
  readonly status: number
  readonly challenge: string | undefined
  readonly text: string
}

/** `fields`: as lines, in any number and spelling. */
function ask(method: string, path: string, fields: readonly string[] = [], pair?: KeyPair): Promise<Said> {
  const body = method === 'POST' ? '{"all":true}' : ''
  const lines = [
    ...fields,
    'Host: localhost',
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ]
  const headers = lines.flatMap((line) => [
    line.slice(0, line.indexOf(':')),
    line.slice(line.indexOf(':') + 2),
  ])
  const { adminPort: port } = gateway
  const to = { host: '127.0.0.1', port, servername: 'localhost', ca: authority.ca, agent: false as const }
  return new Promise((resolve, reject) => {
    const sent = request({ ...to, ...pair, method, path, headers }, (response) => {
      let text = ''
      response.on('data', (bytes: Buffer) => (text += bytes.toString()))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          challenge: response.headers['www-authenticate'],
          text,
        }),
      )
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
const status = async (...asked: Parameters<typeof ask>) => (await ask(...asked)).status

describe('who has a grant', () => {
  it('by a key: what the grant says, and nothing else', async () => {
    expect(await status('GET', READ, [auth(ops.key)])).toBe(200)
    expect(await status('GET', READ, [`X-Api-Key: ${ops.key}`])).toBe(200)
    expect(await status('POST', PURGE, [auth(ops.key)])).toBe(200)
    const refused = await ask('GET', TENANTS, [auth(ops.key)])
    expect([refused.status, refused.challenge]).toEqual([403, expect.stringContaining('insufficient_scope')])
    expect(gateway.logs.findLast(({ event }) => event === 'admin.write')).toMatchObject({ who: 'ops/ann' })
  })

  it('by a claim of a token, in the words of this gateway alone', async () => {
    const roles = async (given: unknown) => [auth(await issuer.token({ roles: given }))]
    expect(await status('GET', READ, await roles('openid infergate:read'))).toBe(200)
    expect(await status('POST', PURGE, await roles(['infergate:admin']))).toBe(200)
    for (const given of [
      'read admin',
      ['admin'],
      'infergate:root',
      'xinfergate:read',
      { a: 'infergate:read' },
      7,
      null,
    ])
      expect(await status('GET', READ, await roles(given))).toBe(403)
  })

  it('by a certificate', async () => {
    expect(await status('GET', TENANTS, [], certified)).toBe(200)
    expect(await status('GET', READ, [], certified)).toBe(403)
  })

  it('and tokens of the admin port are as they were', async () => {
    expect(await status('GET', READ, [auth('old-token')])).toBe(200)
    expect(await status('POST', PURGE, [auth('old-token')])).toBe(403)
    expect(await status('GET', READ, [auth('old-token')], plain)).toBe(200)
  })
})

describe('who has none may nothing', () => {
  it.each([
    ['a key of another tenant', [auth(mobile.key)]],
    ['another subject of the same', [auth(bot.key)]],
    ['a key of the file', [auth(filed.key)]],
  ])('%s', async (_, fields) => {
    for (const [method, path] of [
      ['GET', READ],
      ['GET', TENANTS],
      ['GET', '/metrics'],
      ['POST', PURGE],
    ] as const)
      expect(await status(method, path, fields)).toBe(403)
  })

  it('a certificate without a grant, whatever key comes with it', async () => {
    expect(await status('GET', READ, [], plain)).toBe(403)
    expect(await status('GET', READ, [auth(ops.key)], plain)).toBe(401)
  })
})

const json64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
const roles = { roles: 'infergate:admin' }

/** A token with another head, signed by what a thief may have. */
async function forged(header: object, sign: (text: string) => string): Promise<string> {
  const [, claims] = (await issuer.token(roles)).split('.')
  const text = `${json64(header)}.${claims}`
  return `${text}.${sign(text)}`
}
const hmac = async () => {
  const secret = JSON.stringify((await issuer.set()).keys[0])
  return forged({ alg: 'HS256', kid: 'k' }, (text) =>
    createHmac('sha256', secret).update(text).digest('base64url'),
  )
}

it.each<[string, () => Promise<readonly string[]> | readonly string[]]>([
  ['nothing', () => []],
  ['an unknown key', () => [auth('ig_unknown-and-long-enough')]],
  ['a truncated key', () => [auth(ops.key.slice(0, -3))]],
  ['another scheme', () => [`Authorization: Basic ${ops.key}`]],
  ['two Authorization fields', () => [auth(ops.key), auth(ops.key)]],
  ['a token of the admin port and a key', () => [auth('old-token'), auth(ops.key)]],
  ['two keys', () => [auth(ops.key), `X-Api-Key: ${bot.key}`]],
  ['a field that some servers take for another', () => [`X_Api_Key: ${ops.key}`]],
  ['a field of proxies', () => ['X-Auth-Tenant: ops']],
  ['an expired token', async () => [auth(await issuer.token(roles, { expiresIn: -60 }))]],
  ['another audience', async () => [auth(await issuer.token({ ...roles, aud: 'other' }))]],
  ['another issuer', async () => [auth(await issuer.token({ ...roles, iss: 'https://other/' }))]],
  ['alg none', async () => [auth(await forged({ alg: 'none' }, () => ''))]],
  ['alg swapped for HMAC', async () => [auth(await hmac())]],
  ['a truncated token', async () => [auth((await issuer.token(roles)).slice(0, -5))]],
])('is refused, and neither echoed nor logged: %s', async (_, made) => {
  const fields = await made()
  for (const [method, path] of [
    ['GET', READ],
    ['POST', PURGE],
  ] as const) {
    const said = await ask(method, path, fields)
    expect(said.status).toBe(401)
    expect(said.challenge).toMatch(/^Bearer realm="infergate"/)
    for (const secret of fields.flatMap((line) => /[\w.-]{20,}/.exec(line) ?? []))
      expect(said.text + JSON.stringify(gateway.logs)).not.toContain(secret)
  }
})

it('a key in the query is none, and is not logged', async () => {
  expect(await status('GET', `${READ}?token=${ops.key}`)).toBe(401)
  expect(JSON.stringify(gateway.logs)).not.toContain(ops.key)
})

it('a grant that a reload takes away is gone', async () => {
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace('subject: ann, scopes', 'subject: eve, scopes'))
  await eventually(async () => expect(await status('GET', READ, [auth(ops.key)])).toBe(403))
})
