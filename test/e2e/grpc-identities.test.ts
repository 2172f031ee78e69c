/** Tokens and client certificates over HTTP/2 with TLS: gRPC and JSON are told who asks stream by stream, not by connection alone. */
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import http2 from 'node:http2'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { KeyPair } from '../../src/lib/tls/material.ts'
import { createAuthority } from '../support/authority.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { AUDIENCE, startIssuer, type TestIssuer } from '../support/issuer.ts'
import type { Message } from '../support/oip-messages.ts'
import { METHODS, type OipServer, startOipServer } from '../support/oip-server.ts'

const authority = createAuthority()
const file = (name: string, text: string) => {
  const path = join(authority.folder, name)
  writeFileSync(path, text)
  return path
}
const ours = authority.issue('/OU=robots/CN=one', 'DNS:one.example')
const revoked = authority.issue('/OU=robots/CN=lost', 'DNS:lost.example')
const nobody = authority.issue('/OU=strangers/CN=two', 'DNS:two.example')

let issuer: TestIssuer
let server: OipServer
let gateway: RunningGateway

beforeAll(async () => {
  issuer = await startIssuer()
  await issuer.add('first')
  server = await startOipServer()
  const { cert, key } = authority.issue('/CN=localhost', 'DNS:localhost,IP:127.0.0.1')
  gateway = await startGateway({
    yaml: `
server:
  workers: 2
  tls:
    certificates: [{ cert: ${file('server.pem', cert)}, key: ${file('server.key', key)} }]
    clientCa: ${file('clients.pem', authority.ca)}
    clientAuth: optional
    crl: ${file('revoked.pem', authority.revoke(revoked))}
auth:
  jwt:
    - { issuer: "${issuer.issuer}", audience: [${AUDIENCE}], jwks: "${issuer.jwks}", tenant: claim.team, algorithms: [ES256] }
  mtls: { tenant: subject.ou, tenants: [robots, strangers] }
tenants: { research: {}, sales: {}, robots: {} }
pools: { main: { backends: [{ grpc: "${server.url}" }], health: { interval: 200ms } } }
routes: [{ name: main, pool: main, cache: { scope: tenant, rows: never } }]
`,
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  server?.close()
  await issuer?.close()
})

type Told = readonly [status: string, value?: number | undefined]
interface Connection {
  /** Asks one question on the connection; `token`: left out, none is shown. */
  ask(value: number, token?: string): Promise<Told>
  close(): void
}

function byGrpc(pair?: KeyPair): Connection {
  const own = pair && ([Buffer.from(pair.key), Buffer.from(pair.cert)] as const)
  const client = new grpc.Client(
    `localhost:${gateway.port}`,
    grpc.credentials.createSsl(Buffer.from(authority.ca), ...(own ?? [])),
    { 'grpc.use_local_subchannel_pool': 1 },
  )
  const { path, requestSerialize, responseDeserialize } = METHODS.ModelInfer
  return {
    close: () => client.close(),
    ask(value, token) {
      const metadata = new grpc.Metadata()
      if (token) metadata.set('authorization', `Bearer ${token}`)
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 1], contents: { fp32_contents: [value] } }]
      return new Promise((resolve) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          { model_name: 'double', inputs },
          metadata,
          (error, message?: Message) => {
            const [y] = (message?.['outputs'] ?? []) as { contents: { fp32_contents: number[] } }[]
            resolve(error ? [grpc.status[error.code]] : ['OK', y?.contents.fp32_contents[0]])
          },
        )
      })
    },
  }
}

function byHttp2(pair?: KeyPair): Connection {
  const session = http2.connect(`https://localhost:${gateway.port}`, { ca: authority.ca, ...pair })
  session.on('error', () => {})
  const body = (value: number) =>
    JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] }] })
  return {
    close: () => session.destroy(),
    async ask(value, token) {
      try {
        const stream = session.request({
          ...{ ':method': 'POST', ':path': '/v2/models/double/infer', 'content-type': 'application/json' },
          ...(token && { authorization: `Bearer ${token}` }),
        })
        stream.end(body(value))
        // A session that fails before it is connected closes its streams without an error.
        const begun = Promise.race([once(stream, 'response'), once(stream, 'close')])
        const [head] = (await begun) as [http2.IncomingHttpHeaders?]
        if (!head) return ['closed']
        let text = ''
        for await (const chunk of stream) text += String(chunk)
        const { outputs } = JSON.parse(text) as { outputs?: { data: number[] }[] }
        return [String(head[':status']) === '200' ? 'OK' : String(head[':status']), outputs?.[0]?.data[0]]
      } catch {
        return ['closed']
      }
    },
  }
}

const DOORS = [
  ['gRPC', byGrpc, { unknown: 'UNAUTHENTICATED', forbidden: 'PERMISSION_DENIED', closed: 'UNAVAILABLE' }],
  ['JSON', byHttp2, { unknown: '401', forbidden: '403', closed: 'closed' }],
] as const

/** Questions that no other test asks. */
let fresh = 1000
describe.each(DOORS)('%s over HTTP/2 with TLS', (_, open, said) => {
  async function on<T>(pair: KeyPair | undefined, ask: (ask: Connection['ask']) => Promise<T>): Promise<T> {
    const connection = open(pair)
    try {
      return await ask((...question) => connection.ask(...question))
    } finally {
      connection.close()
    }
  }

  it('tokens are those of their streams, many tenants at once on one connection', async () => {
    const value = fresh++
    const [research, sales, late, stranger] = await Promise.all([
      issuer.token(),
      issuer.token({ team: 'sales' }),
      issuer.token({}, { expiresIn: -3600 }),
      issuer.token({ team: 'nobody' }),
    ])
    const { asked } = server
    const before = asked.length
    const told = await on(undefined, async (ask) => {
      const first = await Promise.all(
        [research, sales, late, undefined, stranger].map((token) => ask(value, token)),
      )
      // Hits, under heads that are known by now.
      const again = await Promise.all([research, sales, late, undefined].map((token) => ask(value, token)))
      return [...first, ...again]
    })
    const passed = ['OK', 2 * value]
    const unknown = [said.unknown]
    const outcomes = told.map(([status, answer]) => (answer === undefined ? [status] : [status, answer]))
    expect(outcomes).toEqual([
      ...[passed, passed, unknown, unknown, [said.forbidden]],
      ...[passed, passed, unknown, unknown],
    ])
    // Each tenant has an answer of its own.
    expect(asked.length - before).toBe(2)
  })

  it('a client certificate is who asks, on each stream of its connection', async () => {
    const value = fresh++
    const { asked } = server
    const before = asked.length
    const told = await on(ours, (ask) => Promise.all([ask(value), ask(value), ask(value)]))
    expect(told).toEqual([1, 2, 3].map(() => ['OK', 2 * value]))
    expect(asked.length - before).toBe(1)
    // Not shared with those who prove something else.
    const token = await issuer.token()
    expect(await on(undefined, (ask) => ask(value, token))).toEqual(['OK', 2 * value])
    expect(asked.length - before).toBe(2)
    expect((await on(undefined, (ask) => ask(value)))[0]).toBe(said.unknown)
    expect((await on(nobody, (ask) => ask(value)))[0]).toBe(said.forbidden)
  })

  it('a certificate beside the token of another tenant is refused, and a revoked one opens no stream', async () => {
    const token = await issuer.token()
    const value = fresh++
    const told = await on(ours, async (ask) => [await ask(value), await ask(value, token), await ask(value)])
    expect(told.map(([status]) => status)).toEqual(['OK', said.unknown, 'OK'])
    expect((await on(revoked, (ask) => ask(value)))[0]).toBe(said.closed)
  })
})
