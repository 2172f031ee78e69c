/** Client certificates as identities, over TLS with a client of Node's: which name is the tenant, what is refused at the handshake and what behind it. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import type { KeyPair } from '../../src/lib/tls/material.ts'
import { createAuthority } from '../support/authority.ts'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

const authority = createAuthority()
const foreign = createAuthority()
const file = (name: string, text: string) => {
  const path = join(authority.folder, name)
  writeFileSync(path, text)
  return path
}
const NAMES = 'DNS:dns-team.example,URI:spiffe://example/uri-team'
const own = authority.issue('/OU=ou-team/CN=cn-team', NAMES)
const stolen = authority.issue('/OU=ou-team/CN=stolen', NAMES)
const stranger = foreign.issue('/OU=ou-team/CN=cn-team', NAMES)
const same = newKey({ name: 'same', tenant: 'ou-team', subject: 'app' })
const other = newKey({ name: 'other', tenant: 'other' })
let backend: Awaited<ReturnType<typeof startBackend>>
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend()
  const served = authority.issue('/CN=localhost', 'DNS:localhost,IP:127.0.0.1')
  const server = { cert: file('server.pem', served.cert), key: file('server.key', served.key) }
  gateway = await startGateway({
    yaml: `
server:
  workers: 2
  tls:
    certificates: [{ cert: ${server.cert}, key: ${server.key} }]
    clientCa: ${file('clients.pem', authority.ca)}
    clientAuth: optional
    crl: ${file('revoked.pem', authority.revoke())}
auth:
  keys: [${same.line.slice(2)}, ${other.line.slice(2)}]
  mtls: { tenant: subject.ou, tenants: ["*-team", "*-team.example", "spiffe://example/*"] }
tenants: { ou-team: {}, cn-team: {}, dns-team.example: {}, "spiffe://example/uri-team": {}, other: {} }
pools: { main: { backends: [{ url: "${backend.url}" }], health: { interval: 200ms } } }
routes: [{ name: main, pool: main, cache: {} }]
`,
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway.stop()
  await backend.close()
})

/** A connection with this certificate; rejects where the handshake, or what follows it in TLS 1.3, fails. */
async function connect(pair?: KeyPair, session?: Buffer): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    port: gateway.port,
    host: '127.0.0.1',
    servername: 'localhost',
    ca: authority.ca,
    ...pair,
    ...(session && { session }),
  })
  await once(socket, 'secureConnect')
  return socket
}

/** Asks on a connection; the door of node:http takes requests with a field that the fast one leaves to it. */
async function ask(socket: tls.TLSSocket, fields: readonly string[] = [], door = 'fast'): Promise<string> {
  const body = JSON.stringify(instances(1))
  const head = [
    `POST ${PREDICT} HTTP/1.1`,
    'Host: localhost',
    ...(door === 'http' ? ['TE: trailers'] : []),
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
    ...fields,
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  return answerOn(socket)
}

/** The next answer, whole. Rejects where the connection ends instead, with an alert or without. */
function answerOn(socket: tls.TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const ended = (error?: unknown) => reject(error instanceof Error ? error : new Error('closed'))
    const arrived = (bytes: Buffer) => {
      text += bytes.toString()
      const end = text.indexOf('\r\n\r\n')
      const length = /\r\ncontent-length: (\d+)/i.exec(text)?.[1]
      if (end < 0 || text.length < end + 4 + Number(length)) return
      for (const [event, listener] of listeners) socket.off(event, listener)
      resolve(text)
    }
    const listeners = [
      ['data', arrived],
      ['error', ended],
      ['close', ended],
    ] as const
    for (const [event, listener] of listeners) socket.on(event, listener)
  })
}

async function askOnce(pair?: KeyPair, fields: readonly string[] = [], door = 'fast'): Promise<string> {
  const socket = await connect(pair)
  try {
    return await ask(socket, fields, door)
  } finally {
    socket.destroy()
  }
}
const statusOf = (answer: string) => Number(answer.slice(9, 12))

async function callsOf(tenant: string): Promise<number> {
  const { json } = await gateway.ask(`/api/v1/tenants/${encodeURIComponent(tenant)}`)
  const { calls } = json as { calls: Record<string, number> }
  return Object.values(calls).reduce((a, b) => a + b, 0)
}

describe.each(['fast', 'http'])('at the door %s', (door) => {
  it('a certificate is an identity, and none is none', async () => {
    const before = await callsOf('ou-team')
    expect(statusOf(await askOnce(own, [], door))).toBe(200)
    expect(await callsOf('ou-team')).toBe(before + 1)
    const refused = await askOnce(undefined, [], door)
    expect(statusOf(refused)).toBe(401)
    expect(refused).toMatch(/\r\nWWW-Authenticate: Bearer realm="infergate"\r\n/)
  })

  it.each<[string, string, number]>([
    ['two names of the kind', '/OU=a-team/OU=b-team/CN=x', 401],
    ['no name of the kind', '/CN=x', 401],
    ['the name "*"', '/OU=*/CN=x', 401],
    ['a tenant beyond what certificates may name', '/OU=other/CN=x', 403],
    ['a tenant that the settings do not name', '/OU=unknown-team/CN=x', 403],
  ])('is refused: a certificate with %s', async (_, subject, status) => {
    const pair = authority.issue(subject, NAMES)
    const answers = [await askOnce(pair, [], door), await askOnce(pair, [], door)]
    expect(answers.map(statusOf)).toEqual([status, status])
  })

  it('a certificate and a credential must name the same tenant', async () => {
    const bearer = ({ key }: { key: string }) => [`Authorization: Bearer ${key}`]
    // The door of node:http closes a connection with a refusal that goes out before the body was read.
    const kept = door === 'fast' ? await connect(own) : undefined
    const say = (fields: readonly string[]) => (kept ? ask(kept, fields) : askOnce(own, fields, door))
    expect(statusOf(await say(bearer(same)))).toBe(200)
    expect(statusOf(await say(bearer(other)))).toBe(401)
    expect(statusOf(await say(['Authorization: Bearer ig_wrong']))).toBe(401)
    // What a request before it has proved or not is nothing to the next.
    expect(statusOf(await say([]))).toBe(200)
    kept?.destroy()
  })
})

it('the same head on another connection proves nothing there', async () => {
  const [proved, without] = [await connect(own), await connect()]
  for (let i = 0; i < 3; i++) {
    expect(statusOf(await ask(proved))).toBe(200)
    expect(statusOf(await ask(without))).toBe(401)
  }
  proved.destroy()
  without.destroy()
})

it('a certificate of another authority ends the handshake, though none would be let in', async () => {
  await expect(askOnce(stranger)).rejects.toThrow(/alert|ECONNRESET|unknown|closed|hang up/i)
})

it('a resumed session is still the client of its certificate', async () => {
  const first = await connect(own)
  const session = new Promise<Buffer>((resolve) => first.once('session', resolve))
  expect(statusOf(await ask(first))).toBe(200)
  const second = await connect(own, await session)
  expect(statusOf(await ask(second))).toBe(200)
  first.destroy()
  second.destroy()
})

it.each([
  ['subject.cn', 'cn-team'],
  ['san.dns', 'dns-team.example'],
  ['san.uri', 'spiffe://example/uri-team'],
])('%s is the tenant where the settings say so', async (name, tenant) => {
  const text = readFileSync(gateway.file, 'utf8')
  writeFileSync(gateway.file, text.replace(/mtls: \{ tenant: [a-z.]+/, `mtls: { tenant: ${name}`))
  await eventually(async () => {
    expect(statusOf(await askOnce(own))).toBe(200)
    expect(await callsOf(tenant)).toBeGreaterThan(0)
  })
})

it('a revoked certificate ends the handshake once the list is read, and a resumed session of it as well', async () => {
  const before = await connect(stolen)
  const session = new Promise<Buffer>((resolve) => before.once('session', resolve))
  expect(statusOf(await ask(before))).toBe(200)
  file('revoked.pem', authority.revoke(stolen))
  await eventually(
    async () => await expect(askOnce(stolen)).rejects.toThrow(/alert|ECONNRESET|revoked|closed/i),
  )
  await expect(connect(stolen, await session).then(ask)).rejects.toThrow(/alert|ECONNRESET|revoked|closed/i)
  expect(statusOf(await askOnce(own))).toBe(200)
  before.destroy()
})
