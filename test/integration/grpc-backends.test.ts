/** Backends with an address for gRPC: which calls go there, what is repeated elsewhere, and how their health is found. */
import { afterEach, describe, expect, it } from 'vitest'
import type { Backend, Transport } from '../../src/core/backend.ts'
import type { Call } from '../../src/core/call.ts'
import type { GatewayError } from '../../src/core/errors.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import { collected } from '../../src/data/backend/incoming.ts'
import { BackendPool } from '../../src/data/backend/pool.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, inflightOf } from '../../src/data/balance/table.ts'
import type { Matched } from '../../src/data/route/routes.ts'
import { createDispatch } from '../../src/data/upstream/dispatch.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { withPrefix } from '../../src/protocol/grpc/message.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import { MessageWriter } from '../../src/protocol/protobuf/writer.ts'
import { startBackend } from '../support/backend.ts'
import { SELF_SIGNED } from '../support/certificate.ts'
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'
import { call as ask } from '../support/http.ts'
import { type Asked, answerGrpc, bodyOf, type Http2Backend, http2Backend } from '../support/http2-backend.ts'
import { silentObserver } from '../support/observer.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

async function grpcServer(answer: (asked: Asked) => unknown, port = 0): Promise<Http2Backend> {
  const made = await http2Backend(answer, { port })
  closers.push(() => made.close())
  return made
}

const echo = async ({ stream }: Asked) => answerGrpc(stream, await bodyOf(stream))

const SLOTS = 8

/** A pool of these backends, and what sends calls to it. */
function pooled(addresses: readonly Pick<Backend, 'url' | 'grpc'>[]) {
  const wheel = new Wheel(systemClock)
  const options = {
    connections: Infinity,
    connectTimeoutMs: 5000,
    bodyTimeoutMs: 5000,
    refuse: () => undefined,
  }
  const clients = new Clients(options, wheel)
  closers.push(async () => {
    await clients.close()
    wheel.close()
  })
  const table = createLoadTable(SLOTS)
  const parts = {
    name: 'p',
    table,
    state: createOutlierState(SLOTS),
    clients,
    clock: systemClock,
    random: Math.random,
  }
  const pool = new BackendPool(parts, {
    policy: 'round-robin',
    retry: { max: 3, budget: {} },
    outlier: {},
    limit: { mode: 'declared' },
    queue: {},
    hedge: undefined,
    isFromZero: false,
  })
  const backends = addresses.map(
    (at, slot): Backend => ({
      ...at,
      id: `b${slot}`,
      slot,
      generation: 1,
      models: [],
      weight: 1,
      state: 'ready',
      reason: '',
      readySince: 0,
    }),
  )
  let revision = 0
  const show = () => pool.apply({ pool: 'p', revision: ++revision, backends: [...backends] })
  show()
  const dispatch = createDispatch({
    pool: () => pool,
    random: Math.random,
    observer: silentObserver,
    clock: systemClock,
    stalled: () => 0,
  })
  const send = async (transport: Transport, body = 'hello') => {
    const headers = ['content-type', transport === 'grpc' ? 'application/grpc+proto' : 'application/json']
    const bytes = Buffer.from(body)
    const call: Call = {
      id: '1',
      method: 'POST',
      path: '/s/M',
      query: '',
      headers,
      host: 'h',
      peer: '',
      principal: '',
      target: undefined,
      body: bytes,
      deadline: performance.now() + 20_000,
      signal: new Cancel(),
    }
    const route = { name: 'r', pool: 'p', pure: false } as Matched['route']
    const matched = { route, protocol: opaque, target: { verb: '', prediction: false } } as unknown as Matched
    const request = {
      body: bytes,
      contentLength: undefined,
      headers,
      key: undefined,
      signal: call.signal,
      collectBytes: 0,
    }
    const { reply, backend } = await dispatch(call, matched, request)
    const { bytes: got } = await collected(reply.body as Uint8Array, 1e6)
    return { text: Buffer.from(got).toString(), backend: backend.id, trailers: reply.trailers?.() }
  }
  return {
    pool,
    send,
    inflight: (slot: number) => inflightOf(table, slot),
    /** As the control plane tells it. */
    set(slot: number, change: Partial<Backend>) {
      backends[slot] = { ...(backends[slot] as Backend), ...change }
      show()
    },
  }
}

describe('a backend with two addresses', () => {
  it('gets each call at the address of its transport, and is one backend', async () => {
    const grpc = await grpcServer(echo)
    const http = await startBackend((_, response) => void response.end('http'))
    closers.push(() => http.close())
    const { pool, send, inflight } = pooled([{ url: http.url, grpc: grpc.url }])
    expect(await send('grpc')).toMatchObject({ text: 'hello', trailers: ['grpc-status', '0'] })
    expect(await send('http')).toMatchObject({ text: 'http' })
    expect(grpc.streams).toHaveLength(1)
    expect(http.asked).toHaveLength(1)
    expect(inflight(0)).toBe(0)
    expect(pool.hasTransport('grpc') && pool.hasTransport('http')).toBe(true)
  })

  it('is chosen only by calls that it has an address for', async () => {
    const grpc = await grpcServer(echo)
    const http = await startBackend((_, response) => void response.end('http'))
    closers.push(() => http.close())
    const { send } = pooled([{ url: http.url }, { grpc: grpc.url }, { url: http.url }])
    for (let i = 0; i < 6; i++) expect(await send('grpc')).toMatchObject({ backend: 'b1' })
    for (let i = 0; i < 6; i++) expect((await send('http')).backend).not.toBe('b1')
  })

  it('says what the pool does not take', async () => {
    const { pool, send } = pooled([{ url: 'http://127.0.0.1:1' }])
    const error: GatewayError = await send('grpc').then(
      () => expect.unreachable(),
      (failure: unknown) => failure as GatewayError,
    )
    expect(error).toMatchObject({ code: 'noTransport', fault: { status: 501 } })
    expect(error.message).toContain('"p" takes gRPC')
    expect(pool.hasTransport('grpc')).toBe(false)
    expect(pool.hasTransport('http')).toBe(true)
    expect(pooled([]).pool.hasTransport('grpc')).toBe(true)
  })

  it('a refused stream is repeated elsewhere, though the route is not pure', async () => {
    const refusing = await grpcServer(({ stream }) => stream.close(7))
    const well = await grpcServer(echo)
    const { send } = pooled([{ grpc: refusing.url }, { grpc: well.url }])
    for (let i = 0; i < 8; i++) expect(await send('grpc')).toMatchObject({ text: 'hello', backend: 'b1' })
    expect(refusing.streams.length).toBeGreaterThan(0)
  })

  it('four backends restart in turn under load, and no call fails', async () => {
    const servers = await Promise.all(Array.from({ length: 4 }, () => grpcServer(echo)))
    const { send, set } = pooled(servers.map(({ url }) => ({ grpc: url })))
    const done = new AbortController()
    let calls = 0
    const one = async () => {
      while (!done.signal.aborted) {
        expect((await send('grpc')).text).toBe('hello')
        calls++
      }
    }
    const load = Promise.all(Array.from({ length: 16 }, one))
    const more = async (some: number) => {
      const before = calls
      await eventually(() => expect(calls).toBeGreaterThan(before + some))
    }
    await more(200)
    for (const [slot, server] of servers.entries()) {
      const drained = server.drain()
      // The control plane hears of it a little later.
      await more(20)
      set(slot, { state: 'draining' })
      await drained
      await grpcServer(echo, server.port)
      set(slot, { state: 'ready', generation: 2 })
      await more(200)
    }
    done.abort()
    await load
  })
})

describe('health and versions', () => {
  const framed = (message: MessageWriter) => withPrefix(message.join(5))
  const answers = (script: Record<string, MessageWriter | number>) =>
    grpcServer(({ stream, headers }) => {
      const answer = script[headers[':path'] ?? ''] ?? 12
      if (typeof answer === 'number')
        stream.respond(
          { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': String(answer) },
          { endStream: true },
        )
      else answerGrpc(stream, framed(answer))
    })
  const HEALTH = '/grpc.health.v1.Health/Check'
  const READY = '/inference.GRPCInferenceService/ServerReady'
  const STATUS = '/tensorflow.serving.ModelService/GetModelStatus'
  const yes = () => new MessageWriter().varint(1, 1)

  async function start(options: ControlPlaneOptions): Promise<ControlPlane> {
    const plane = await startControlPlane(options)
    closers.push(() => plane.close())
    return plane
  }
  const stateOf = async (grpc: string, path: 'auto' | `/${string}` = 'auto', state = 'ready') => {
    const backends = [{ grpc, models: [{ name: 'm' }] }]
    const plane = await start({
      pools: [{ name: 'ranker', backends }],
      health: { path, intervalMs: 20, unhealthyAfter: 1, timeoutMs: 5000 },
    })
    return eventually(() => {
      const found = plane.registry.view('ranker')?.backends[0]
      expect(found?.state).toBe(state)
      return found?.reason
    })
  }

  it.each([
    ['the health service', { [HEALTH]: yes() }, `${HEALTH} answered grpc-status 0`],
    ['readiness, where there is no health service', { [READY]: yes() }, `${READY} answered grpc-status 0`],
    [
      'the status of a model',
      { [STATUS]: new MessageWriter().message(1, new MessageWriter().varint(1, 3).varint(2, 30)) },
      `${STATUS} answered grpc-status 0`,
    ],
    ['accepting connections, where nothing is known', {}, 'accepts connections'],
  ])('is ready by %s', async (_, script, reason) => {
    const server = await answers(script)
    expect(await stateOf(server.url)).toContain(reason)
  })

  it('is not ready where it says so, or fails', async () => {
    const notServing = await answers({ [HEALTH]: new MessageWriter().varint(1, 2) })
    expect(await stateOf(notServing.url, 'auto', 'unhealthy')).toContain('answered that it is not ready')
    const unready = await answers({ [READY]: new MessageWriter() })
    expect(await stateOf(unready.url, 'auto', 'unhealthy')).toContain(
      `${READY} answered that it is not ready`,
    )
    const unavailable = await answers({ [HEALTH]: 14 })
    expect(await stateOf(unavailable.url, 'auto', 'unhealthy')).toContain('grpc-status 14')
  })

  it('is asked by the method that the settings name', async () => {
    const server = await answers({ '/my.v1.Service/Alive': new MessageWriter() })
    expect(await stateOf(server.url, '/my.v1.Service/Alive')).toContain('Alive answered grpc-status 0')
    expect(await stateOf(server.url, '/my.v1.Service/Other', 'unhealthy')).toContain('grpc-status 12')
  })

  it('is asked over TLS, whose certificate counts', async () => {
    const server = await http2Backend(({ stream }) => answerGrpc(stream, framed(yes())), { tls: SELF_SIGNED })
    closers.push(() => server.close())
    const pools = [{ name: 'ranker', backends: [{ grpc: server.url }] }]
    const states = async (ca: string | undefined, state: string) => {
      const tls = { ca, identity: undefined, serverName: undefined, isVerified: true }
      const health = { intervalMs: 20, unhealthyAfter: 1, timeoutMs: 5000, tls }
      const plane = await start({ pools, health })
      await eventually(() => expect(plane.registry.view('ranker')?.backends[0]?.state).toBe(state))
      return plane.registry.view('ranker')?.backends[0]?.reason
    }
    expect(await states(SELF_SIGNED.cert, 'ready')).toContain('grpc-status 0')
    expect(await states(undefined, 'unhealthy')).toContain('certificate is not accepted')
  })

  it('is not ready where it does not answer, or speaks HTTP/1.1', async () => {
    const mute = await grpcServer(() => {})
    const slow = await start({
      pools: [{ name: 'ranker', backends: [{ grpc: mute.url }] }],
      health: { intervalMs: 20, unhealthyAfter: 1, timeoutMs: 100 },
    })
    await eventually(() =>
      expect(slow.registry.view('ranker')?.backends[0]?.reason).toContain('no answer within 100 ms'),
    )
    const http = await startBackend()
    closers.push(() => http.close())
    expect(await stateOf(http.url, 'auto', 'unhealthy')).toContain('probe: ')
  })

  it('registers with both addresses, and what may not be called is refused for either', async () => {
    const plane = await start({})
    const path = '/api/v1/pools/ranker/backends/one'
    const put = (body: object) => ask(plane.port, path, { method: 'PUT', body })
    const grpc = await answers({ [HEALTH]: yes() })
    expect((await put({ grpc: grpc.url, epoch: 1 })).status).toBe(201)
    expect((await put({ grpc: `${grpc.url}/`, epoch: 1 })).status).toBe(200)
    const other = await put({ url: 'http://127.0.0.1:1', grpc: grpc.url, epoch: 1 })
    expect(other.status).toBe(409)
    expect((await put({ url: 'http://127.0.0.1:1', grpc: grpc.url, epoch: 2 })).status).toBe(200)
    const { json } = await ask(plane.port, '/api/v1/pools/ranker')
    const both = { url: 'http://127.0.0.1:1', grpc: grpc.url }
    expect((json as { backends: object[] }).backends).toContainEqual(expect.objectContaining(both))
    const refused = await put({ url: 'http://127.0.0.1:1', grpc: 'http://169.254.169.254' })
    expect(refused.status).toBe(400)
    expect(JSON.stringify(refused.json)).toContain('grpc leads to 169.254.169.254')
    const none = await put({ weight: 1 })
    expect(none.status).toBe(400)
    expect(JSON.stringify(none.json)).toContain('must have url, grpc, or both')
  })
})
