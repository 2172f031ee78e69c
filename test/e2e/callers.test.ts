/** Callers and their identities, on a process as its users run it: keys, tokens, proxies, and everything that is none of these. */
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { AUDIENCE, startIssuer, type TestIssuer } from '../support/issuer.ts'
import { exchange } from '../support/raw.ts'
import { instances, PREDICT } from '../support/settings.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-callers-'))
const keysFile = join(folder, 'keys.yaml')
const one = newKey({ name: 'one', tenant: 'mobile', subject: 'app' })
const filed = newKey({ name: 'filed', tenant: 'web' })
let issuer: TestIssuer
let backend: Awaited<ReturnType<typeof startBackend>>
let gateway: RunningGateway

const yaml = (more = '') => `
server: { workers: 2 }
log: { level: debug }
auth:
  keys:
    ${one.line}
  keysFile: ${keysFile}
  jwt:
    - issuer: ${issuer.issuer}
      audience: ${AUDIENCE}
      jwks: ${issuer.jwks}
      tenant: claim.team
      tenants: [research, "team-*"]
${more}
pools: { main: { backends: [{ url: "${backend.url}" }], health: { interval: 200ms } } }
routes:
  - { name: open, match: { path: "/opaque/open*" }, pool: main, protocol: opaque, auth: off }
  - { name: some, match: { path: "/opaque/some*" }, pool: main, protocol: opaque, auth: optional }
  - { name: main, pool: main, cache: { rows: never } }
`

beforeAll(async () => {
  issuer = await startIssuer()
  for (const alg of ['RS256', 'PS256', 'EdDSA', 'ES256']) await issuer.add(`k-${alg}`, alg)
  backend = await startBackend()
  writeFileSync(keysFile, `${filed.line}\n`)
  gateway = await startGateway({ yaml: yaml() })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway.stop()
  await Promise.all([backend.close(), issuer.close()])
  rmSync(folder, { recursive: true, force: true })
})

const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
const ask = (headers: Record<string, string>, row = 1) => gateway.post(PREDICT, instances(row), headers)

/** A request by the fast door, or, with a field that is not plain to it, by that of node:http. */
function raw(fields: readonly string[], { door = 'fast', target = PREDICT } = {}) {
  const body = JSON.stringify(instances(1))
  const lines = [
    `POST ${target} HTTP/1.1`,
    'Host: gateway',
    ...(door === 'http' ? ['TE: trailers'] : []),
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...fields,
  ]
  return exchange(gateway.port, `${lines.join('\r\n')}\r\n\r\n${body}`)
}

describe('who is let in', () => {
  it('callers with a key, in any of three fields, and with a token in any signature', async () => {
    expect((await ask(bearer(one.key))).status).toBe(200)
    expect((await ask({ 'x-api-key': one.key })).headers['cache-status']).toMatch(/hit/)
    expect((await ask({ 'API-Key': one.key })).headers['cache-status']).toMatch(/hit/)
    expect((await ask(bearer(filed.key))).headers['cache-status']).toMatch(/stored/)
    for (const alg of ['RS256', 'PS256', 'EdDSA', 'ES256'])
      expect((await ask(bearer(await issuer.token({}, { kid: `k-${alg}` })))).status).toBe(200)
  })

  it('on one connection with those who are not: each has its own answer, whoever came before', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const secrets = [one.key, 'wrong', filed.key] as const
    // Each often enough to be known, and behind each other one.
    for (const i of [0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 2, 2, 1, 0, 2, 1, 2, 0] as const) {
      const headers = { 'content-type': 'application/json', ...bearer(secrets[i]) }
      const asked = { method: 'POST', body: instances(70), headers, agent }
      const { status, json } = await call(gateway.port, PREDICT, asked)
      expect(status).toBe(i === 1 ? 401 : 200)
      if (i !== 1) expect(json).toEqual({ predictions: [70] })
    }
    agent.destroy()
  })

  it('a new token of the same subject keeps its cache, and another subject has its own', async () => {
    expect((await ask(bearer(await issuer.token({ sub: 'bob' })), 7)).headers['cache-status']).toMatch(
      /stored/,
    )
    expect(
      (await ask(bearer(await issuer.token({ sub: 'bob', jti: '2' })), 7)).headers['cache-status'],
    ).toMatch(/hit/)
    expect((await ask(bearer(await issuer.token({ sub: 'eve' })), 7)).headers['cache-status']).toMatch(
      /stored/,
    )
  })

  it('no credential reaches the backend, nor one that a proxy would write, whatever its spelling', async () => {
    backend.asked.length = 0
    const token = await issuer.token({ sub: 'carl' })
    expect((await ask({ ...bearer(token), cookie: 'a=b', X_Forwarded_User: 'root' }, 9)).status).toBe(200)
    const [asked] = backend.asked
    expect(Object.keys(asked?.headers ?? {})).not.toContain('authorization')
    expect(JSON.stringify(asked?.headers)).not.toMatch(/a=b|root/)
  })

  it('routes that ask nobody, or those who want to say it', async () => {
    backend.script = ({ headers }, response) => void response.end(String(headers.authorization))
    expect((await gateway.post('/opaque/open-1', 'x', bearer('of the backend'))).text).toBe(
      'Bearer of the backend',
    )
    expect((await gateway.post('/opaque/some-1', 'x')).status).toBe(200)
    expect((await gateway.post('/opaque/some-1', 'x', bearer('wrong'))).status).toBe(401)
    backend.script = summing
  })
})

const truncated = (text: string) => text.slice(0, -5)

/** Every wrong credential, as the lines of the fields that bear it. */
const WRONG: readonly (readonly [string, () => Promise<readonly string[]> | readonly string[]])[] = [
  ['none', () => []],
  ['an unknown key', () => ['Authorization: Bearer ig_unknown']],
  ['a truncated key', () => [`Authorization: Bearer ${truncated(one.key)}`]],
  ['another scheme', () => [`Authorization: Basic ${one.key}`]],
  ['a key without its scheme', () => [`Authorization: ${one.key}`]],
  ['an empty key', () => ['X-Api-Key: ']],
  ['a key in other letters', () => [`Authorization: Bearer ${one.key.toUpperCase()}`]],
  ['its hash for a key', () => [`Authorization: Bearer ${/[0-9a-f]{64}/.exec(one.line)?.[0]}`]],
  ['a scheme in small letters with a wrong key', () => [`aUTHORIZATION: bearer ${truncated(one.key)}`]],
  [
    'two Authorization fields',
    () => [`Authorization: Bearer ${one.key}`, `authorization: Bearer ${one.key}`],
  ],
  ['two fields, of which one is right', () => [`x-api-key: ${one.key}`, 'X-API-KEY: ig_wrong']],
  ['two keys', () => [`Authorization: Bearer ${one.key}`, `x-api-key: ${filed.key}`]],
  ['two in one field', () => [`Authorization: Bearer ${one.key}, Bearer ${one.key}`]],
  ['a field that some servers take for another', () => [`X_Api_Key: ${one.key}`]],
  ['an expired token', async () => [auth(await issuer.token({}, { expiresIn: -60 }))]],
  ['a token that never expires', async () => [auth(await issuer.token({}, { expiresIn: null }))]],
  ['a token of tomorrow', async () => [auth(await issuer.token({}, { notBefore: 3600 }))]],
  ['another audience', async () => [auth(await issuer.token({ aud: 'other' }))]],
  ['another issuer', async () => [auth(await issuer.token({ iss: 'https://other.example/' }))]],
  ['no tenant', async () => [auth(await issuer.token({ team: undefined }))]],
  ['a tenant that is a list', async () => [auth(await issuer.token({ team: ['research'] }))]],
  ['the tenant "*"', async () => [auth(await issuer.token({ team: '*' }))]],
  ['an empty subject', async () => [auth(await issuer.token({ sub: '' }))]],
  ['a tenant beyond the issuer', async () => [auth(await issuer.token({ team: 'mobile' }))]],
  ['a key nobody publishes', async () => [auth(await issuer.token({}, { header: { kid: 'other' } }))]],
  ['alg swapped for none', async () => [auth(await forged({ alg: 'none' }, () => ''))]],
  ['alg swapped for HMAC under the public key', async () => [auth(await hmac())]],
  ['a truncated token', async () => [auth(truncated(await issuer.token()))]],
  ['a token with other claims', async () => [auth(await altered())]],
]
const auth = (secret: string) => `Authorization: Bearer ${secret}`
const json64 = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

async function forged(header: object, sign: (text: string) => string): Promise<string> {
  const [, claims] = (await issuer.token()).split('.')
  const text = `${json64(header)}.${claims}`
  return `${text}.${sign(text)}`
}

async function hmac(): Promise<string> {
  const { keys } = await issuer.set()
  const secret = JSON.stringify(keys.find(({ kid }) => kid === 'k-RS256'))
  return forged({ alg: 'HS256', kid: 'k-RS256' }, (text) =>
    createHmac('sha256', secret).update(text).digest('base64url'),
  )
}

async function altered(): Promise<string> {
  const [header, claims = '', signature] = (await issuer.token()).split('.')
  const other = { ...(JSON.parse(Buffer.from(claims, 'base64url').toString()) as object), sub: 'root' }
  return `${header}.${json64(other)}.${signature}`
}

describe.each(['fast', 'http'])('at the door %s', (door) => {
  it.each(WRONG)('is refused: %s', async (name, fields) => {
    const lines = await fields()
    backend.asked.length = 0
    for (let again = 0; again < 2; again++) {
      const { status, head, body } = await raw(lines, { door })
      expect(status).toBe(name === 'a tenant beyond the issuer' ? 403 : 401)
      // RFC 6750, section 3: neither value may have a quote or a backslash within it.
      expect(head).toMatch(
        /\r\nWWW-Authenticate: Bearer realm="infergate"(?:, error="\w+", error_description="[ !#-[\]-~]+")?\r\n/,
      )
      if (name !== 'none')
        expect(head).toMatch(/error="(?:invalid_token|invalid_request|insufficient_scope)"/)
      expect(JSON.parse(body)).toHaveProperty('error')
      for (const secret of lines.flatMap((line) => /[\w.-]{20,}/.exec(line) ?? []))
        expect(head + body).not.toContain(secret)
    }
    expect(backend.asked).toEqual([])
  })

  it.each(['api_key', 'api-key', 'x-api-key', 'access_token', 'authorization', 'token'])(
    'is refused: a key in the query, as %s',
    async (name) => {
      const { status, head, body } = await raw([], { door, target: `${PREDICT}?${name}=${one.key}` })
      expect(status).toBe(401)
      expect(head + body).not.toContain(one.key)
    },
  )

  it('field names and the scheme may be written in any letters', async () => {
    for (const line of [
      `AUTHORIZATION: BEARER ${one.key}`,
      `authorization: bearer ${one.key}`,
      `X-aPi-KeY: ${one.key}`,
    ])
      expect((await raw([line], { door })).status).toBe(200)
  })
})

it('is refused in the dialect that is spoken', async () => {
  expect((await gateway.post('/v2/models/m/infer', {})).json).toHaveProperty('error')
  expect((await gateway.post('/predictions/m', {})).json).toMatchObject({ code: 401 })
  expect((await gateway.post('/opaque/x', 'x')).json).toMatchObject({ status: 401, code: 'unauthenticated' })
})

it('writes no credential to its log', async () => {
  await ask(bearer('a-wrong-key-that-nobody-may-read'))
  await ask(bearer(one.key))
  await raw([], { target: `${PREDICT}?api_key=${one.key}` })
  const token = await issuer.token({}, { expiresIn: -60 })
  await ask(bearer(token))
  expect(JSON.stringify(gateway.logs) + gateway.stderr()).not.toContain(token.slice(0, 40))
  const said = JSON.stringify(gateway.logs) + gateway.stderr()
  expect(said).not.toContain('a-wrong-key-that-nobody-may-read')
  expect(said).not.toContain(one.key)
})

describe('what changes while it runs', () => {
  it('keys of the file, as it changes', async () => {
    const later = newKey({ name: 'later', tenant: 'web', subject: 'later' })
    writeFileSync(keysFile, `${filed.line}\n${later.line}\n`)
    await eventually(async () => expect((await ask(bearer(later.key))).status).toBe(200))
    expect(gateway.logs.findLast(({ event }) => event === 'auth.keys')).toMatchObject({
      keys: 2,
      added: ['later'],
      removed: [],
      changed: [],
    })
    writeFileSync(keysFile, '- { name: broken }\n')
    await eventually(() => expect(gateway.logs.some(({ event }) => event === 'auth.file')).toBe(true))
    expect((await ask(bearer(later.key))).status).toBe(200)
    writeFileSync(keysFile, `${filed.line}\n`)
    // On connections that are open as well, and with answers that are in memory.
    await eventually(async () => expect((await ask(bearer(later.key))).status).toBe(401))
  })

  it('a key that the issuer adds, at once', async () => {
    await issuer.add('k-new')
    await eventually(
      async () =>
        expect((await ask(bearer(await issuer.token({ sub: 'new' }, { kid: 'k-new' })))).status).toBe(200),
      { timeoutMs: 20_000 },
    )
  }, 30_000)

  it('nothing where the issuer is away', async () => {
    issuer.down(true)
    expect((await ask(bearer(await issuer.token({ sub: 'away' })))).status).toBe(200)
    const before = issuer.fetched
    for (let i = 0; i < 20; i++)
      await ask(bearer(await issuer.token({ jti: `${i}` }, { header: { kid: `no-${i}` } })))
    expect(issuer.fetched - before).toBeLessThanOrEqual(1)
    issuer.down(false)
  })

  it('settings, and a keysFile that is not there refuses them', async () => {
    writeFileSync(
      gateway.file,
      readFileSync(gateway.file, 'utf8').replace(keysFile, join(folder, 'none.yaml')),
    )
    await eventually(async () => expect((await gateway.ask('/readyz')).text).toMatch(/auth\.keysFile/))
    expect((await ask(bearer(filed.key))).status).toBe(200)
  })
})

it('keys new prints a key and its line', async () => {
  const { code, stdout } = await runInfergate(['keys', 'new', '--name', 'x', '--tenant', 'mobile'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ig_[\w-]{43}\n- \{ name: "x", hash: "sha256:[0-9a-f]{64}", tenant: "mobile" \}\n$/)
  expect((await runInfergate(['keys', 'new', '--name', 'x', '--tenant', '*'])).code).toBe(1)
})
