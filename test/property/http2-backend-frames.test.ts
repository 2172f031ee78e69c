/**
 * Whatever frames a backend sends, a call ends in time with an answer or a fault of the backend's, others are unharmed, and nothing of it
 * is left. The long version: npm run test:fuzz
 */
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import { Http2Client } from '../../src/data/backend/http2-client.ts'
import { collected } from '../../src/data/backend/incoming.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { MemoryBound } from '../support/memory.ts'
import { frame } from '../support/raw-http2.ts'

const seconds = Number(process.env['INFERGATE_FUZZ_SECONDS'] ?? 8)

interface RawFrame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Uint8Array
}

const SETTINGS = Buffer.from('000000040000000000', 'hex')
const PREFACE_BYTES = 24
/** `:status: 200` and `grpc-status: 0` as HPACK writes them. */
const HEAD = Buffer.concat([
  Buffer.from('88000b', 'hex'),
  Buffer.from('grpc-status'),
  Buffer.from('0130', 'hex'),
])

const anyFrame: fc.Arbitrary<RawFrame> = fc.record({
  type: fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 255 })),
  flags: fc.oneof(fc.constantFrom(0, 1, 4, 5, 8), fc.integer({ min: 0, max: 255 })),
  stream: fc.oneof(fc.constantFrom(0, 1, 1, 1, 2, 3), fc.nat(2 ** 31 - 1)),
  payload: fc.oneof(
    fc.constantFrom(
      HEAD,
      new Uint8Array(0),
      Buffer.alloc(4),
      Buffer.alloc(8),
      Buffer.from('000000000568656c6c6f', 'hex'),
    ),
    fc.uint8Array({ maxLength: 64 }),
  ),
})

let server: net.Server
let url: string
let frames: readonly RawFrame[] = []
let isCut = false
const wheel = new Wheel(systemClock)

beforeAll(async () => {
  server = net.createServer((socket) => {
    let sent = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.write(SETTINGS)
    const listen = (bytes: Buffer) => {
      sent = Buffer.concat([sent, bytes])
      // The request has come, or some of it.
      if (!isAsked(sent)) return
      socket.off('data', listen).resume()
      socket.write(
        Buffer.concat(frames.map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload))),
      )
      if (isCut) socket.end()
    }
    socket.on('data', listen)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`
})
afterAll(() => {
  server.close()
  wheel.close()
})

/** A frame of HEADERS is among the frames. */
function isAsked(bytes: Buffer): boolean {
  for (let at = PREFACE_BYTES; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3))
    if (bytes[at + 3] === 1) return true
  return false
}

async function call(client: Http2Client): Promise<void> {
  const request = {
    url,
    transport: 'grpc' as const,
    method: 'POST',
    target: '/s.S/M',
    headers: ['content-type', 'application/grpc'],
    body: Buffer.from('x'),
    contentLength: undefined,
    signal: new Cancel(),
    headTimeoutMs: 30,
  }
  try {
    const { reply } = await client.send(request, request.headers)
    expect(reply.status).toBeGreaterThanOrEqual(200)
    await collected(reply.body, 1e6)
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError)
    expect((error as GatewayError).fault.blame).toBe('backend')
  }
}

it(
  'a call ends, well or with a fault of its backend',
  async () => {
    const options = { connections: 4, connectTimeoutMs: 10_000, bodyTimeoutMs: 30, refuse: () => undefined }
    const memory = new MemoryBound(60)
    // One that goes on, whatever has become of its connections.
    const lasting = new Http2Client(options, wheel)
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyFrame, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (some, cut) => {
          frames = some
          isCut = cut
          const client = new Http2Client(options, wheel)
          await Promise.all([call(client), call(lasting)]).finally(() => client.close())
          memory.round()
        },
      ),
      {
        numRuns: seconds * 20,
        interruptAfterTimeLimit: seconds * 1000,
        markInterruptAsFailure: false,
      },
    )
    lasting.close()
    await memory.check()
  },
  (seconds + 30) * 1000,
)
