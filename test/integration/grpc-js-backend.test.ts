/** The client and the probes for gRPC against a server that others wrote: @grpc/grpc-js. */
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  status,
} from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createProbe } from '../../src/control/health/probe.ts'
import { createAddressRules } from '../../src/core/addresses.ts'
import type { BackendRequest } from '../../src/data/backend/exchange.ts'
import { Http2Client } from '../../src/data/backend/http2-client.ts'
import { collected, type Incoming } from '../../src/data/backend/incoming.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { withPrefix } from '../../src/protocol/grpc/message.ts'

const bytes = (value: Buffer): Buffer => value
const method = (path: string, isStream: boolean) => ({
  path,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
})

let server: Server
let url: string
let cancelled = 0
const wheel = new Wheel(systemClock)
const options = {
  connections: Infinity,
  connectTimeoutMs: 10_000,
  bodyTimeoutMs: 10_000,
  refuse: () => undefined,
}
const client = new Http2Client(options, wheel)

const echo: handleUnaryCall<Buffer, Buffer> = (call, done) => {
  const text = call.request.toString()
  const trailers = new Metadata()
  trailers.set('x-bin', Buffer.from([0, 255]))
  if (text === 'fail')
    return done({ code: status.RESOURCE_EXHAUSTED, details: 'zu voll: 100 %' }, null, trailers)
  if (text === 'wait') return void call.on('cancelled', () => cancelled++)
  done(
    null,
    Buffer.concat([call.request, Buffer.from(`, ${call.metadata.get('x-who').join('+')}`)]),
    trailers,
  )
}
const chat: handleBidiStreamingCall<Buffer, Buffer> = (call) => {
  call.on('data', (message: Buffer) => call.write(Buffer.from(`<${message}>`)))
  call.on('end', () => call.end())
}

beforeAll(async () => {
  server = new Server({ 'grpc.max_concurrent_streams': 10 })
  server.addService({ echo: method('/t.S/Echo', false), chat: method('/t.S/Chat', true) }, { echo, chat })
  const health = () => ({ health: method('/grpc.health.v1.Health/Check', false) })
  const well: handleUnaryCall<Buffer, Buffer> = (_, done) => done(null, Buffer.from([8, 1]))
  server.addService(health(), { health: well })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    )
  })
  url = `http://127.0.0.1:${port}`
})
afterAll(() => {
  client.close()
  wheel.close()
  server.forceShutdown()
})

const framed = (text: string) => withPrefix(Buffer.concat([Buffer.alloc(5), Buffer.from(text)]))

function send(target: string, body: BackendRequest['body'], changes: Partial<BackendRequest> = {}) {
  const request: BackendRequest = {
    url,
    transport: 'grpc',
    method: 'POST',
    target,
    headers: ['content-type', 'application/grpc', 'x-who', 'a', 'x-who', 'b'],
    body,
    contentLength: undefined,
    signal: new Cancel(),
    headTimeoutMs: 10_000,
    ...changes,
  }
  return client.send(request, request.headers)
}

it('unary calls, more of them than one connection takes', async () => {
  const calls = Array.from({ length: 100 }, async (_, i) => {
    const { reply } = await send('/t.S/Echo', framed(`hi ${i}`))
    const { bytes: got } = await collected(reply.body, 1e6)
    expect(Buffer.from(got).subarray(5).toString()).toBe(`hi ${i}, a, b`)
    expect(reply.trailers?.()).toEqual(expect.arrayContaining(['grpc-status', '0', 'x-bin', 'AP8=']))
  })
  await Promise.all(calls)
})

it('errors, with their message as it is on the wire', async () => {
  const { reply } = await send('/t.S/Echo', framed('fail'))
  await collected(reply.body, 1e6)
  const fields = [...reply.headers, ...(reply.trailers?.() ?? [])]
  expect(fields[fields.indexOf('grpc-status') + 1]).toBe('8')
  expect(decodeURIComponent(fields[fields.indexOf('grpc-message') + 1] as string)).toBe('zu voll: 100 %')
  const unknown = await send('/t.S/Nothing', framed(''))
  expect([...unknown.reply.headers, ...(unknown.reply.trailers?.() ?? [])]).toContain('12')
})

it('streams both ways', async () => {
  const messages = ['one', 'two', 'three']
  async function* body() {
    for (const message of messages) yield framed(message)
  }
  const { reply } = await send('/t.S/Chat', body())
  let text = ''
  for await (const piece of reply.body as Incoming) text += Buffer.from(piece).toString('latin1')
  expect(text.match(/<\w+>/g)).toEqual(messages.map((message) => `<${message}>`))
  expect(reply.trailers?.()).toEqual(expect.arrayContaining(['grpc-status', '0']))
})

it('a call that is given up ends at the server', async () => {
  await expect(send('/t.S/Echo', framed('wait'), { headTimeoutMs: 100 })).rejects.toMatchObject({
    code: 'backendTimeout',
  })
  await expect.poll(() => cancelled).toBe(1)
})

it('probes', async () => {
  const probe = createProbe(createAddressRules())
  const ask = (path: string) => probe({ url, transport: 'grpc', path, timeoutMs: 10_000 })
  expect(await ask('/v2/health/ready')).toMatchObject({ kind: 'status', status: 200 })
  expect(await ask('/v2/models/m')).toMatchObject({ kind: 'status', status: 501 })
})
