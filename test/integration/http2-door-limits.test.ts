/** The HTTP/2 door under clients that are slow, wrong or hostile: what they cost, and what they must not break. */
import http2 from 'node:http2'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Reply } from '../../src/core/reply.ts'
import { type DoorServer, openDoor, RawClient, type Serve } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'
import { bytesInUse } from '../support/memory.ts'
import {
  DATA,
  type FieldList,
  frame,
  GET,
  GOAWAY,
  HEADERS,
  number,
  PING,
  PREFACE,
  RawHttp2,
  RST_STREAM,
  SETTINGS,
  setting,
  WINDOW_UPDATE,
} from '../support/raw-http2.ts'

async function connect({ port }: DoorServer, settings?: Buffer): Promise<RawHttp2> {
  const raw = await RawHttp2.connect(port, settings)
  onTestFinished(() => void raw.socket.destroy())
  return raw
}

const POST: FieldList = GET.map(([name, value]) => [name, name === ':method' ? 'POST' : value])
const STREAM: FieldList = POST.map(([name, value]) => [name, name === ':path' ? '/stream' : value])
const giving =
  (body: Reply['body']): Serve =>
  async () => ({ reply: { status: 200, headers: [], body }, outcome: { kind: 'none' } })

/** Enough for bytes on their way to be read. */
async function turns(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

const INITIAL_WINDOW = 4
const bytesOf = (wire: RawHttp2, id: number) =>
  wire.seen
    .filter(({ type, stream }) => type === DATA && stream === id)
    .reduce((sum, { payload }) => sum + payload.length, 0)
const isEnd = (id: number) => (one: { type: number; flags: number; stream: number }) =>
  one.stream === id && one.type === DATA && (one.flags & 1) === 1
/** Keeps a client in the middle of a frame, which goes on all the time. */
async function trickle(wire: RawHttp2, bytes: Buffer, isEnough: () => boolean): Promise<void> {
  for (const byte of bytes) {
    if (isEnough()) return
    wire.write(Buffer.from([byte]))
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Takes the first piece of a body, and no more. */
const readOnce: Serve = async ({ body }) => {
  await (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]().next()
  return new Promise<never>(() => {})
}

describe('slow clients', () => {
  it('may be in the middle of a frame for longer than an idle connection lives', async () => {
    const server = await openDoor({ keepAliveTimeoutMs: 300 })
    const wire = await connect(server)
    wire.open(1, POST)
    const began = performance.now()
    const body = Buffer.alloc(16_000, 'x')
    const bytes = frame(DATA, 1, 1, body)
    await trickle(wire, bytes, () => performance.now() - began > 1000)
    expect(wire.isClosed).toBe(false)
    wire.socket.destroy()
  })

  it('get all of an answer, however long they take to let it come', async () => {
    const server = await openDoor({ keepAliveTimeoutMs: 300, serve: giving(Buffer.alloc(60)) })
    const wire = await connect(server, setting(INITIAL_WINDOW, 0))
    wire.headers(1, GET)
    await wire.until(({ type }) => type === HEADERS)
    for (let i = 0; i < 60; i++) {
      wire.send(WINDOW_UPDATE, 0, 1, number(1))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await wire.until(isEnd(1))
    expect(bytesOf(wire, 1)).toBe(60)
  })
})

describe('windows', () => {
  it('that are closed, negative and opened in odd orders lose nothing', async () => {
    const server = await openDoor({ serve: giving(Buffer.alloc(100_000, 'y')) })
    const wire = await connect(server, setting(INITIAL_WINDOW, 1000))
    wire.headers(1, GET)
    wire.headers(3, GET)
    await eventually(() => expect([bytesOf(wire, 1), bytesOf(wire, 3)]).toEqual([1000, 1000]))
    wire.send(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 0))
    wire.send(WINDOW_UPDATE, 0, 1, number(500))
    wire.send(WINDOW_UPDATE, 0, 3, number(1500))
    await eventually(() => expect([bytesOf(wire, 1), bytesOf(wire, 3)]).toEqual([1000, 1500]))
    wire.send(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1_000_000))
    await eventually(() => expect(bytesOf(wire, 1) + bytesOf(wire, 3)).toBe(65_535))
    wire.send(WINDOW_UPDATE, 0, 0, number(1_000_000))
    await Promise.all([wire.until(isEnd(1)), wire.until(isEnd(3))])
    expect([bytesOf(wire, 1), bytesOf(wire, 3)]).toEqual([100_000, 100_000])
  })

  it('may grow behind each few bytes that were read, as those of Go do', async () => {
    const size = 3 << 20
    const server = await openDoor({ serve: giving(Buffer.alloc(size)) })
    const wire = await connect(server, setting(INITIAL_WINDOW, 4 << 20))
    wire.send(WINDOW_UPDATE, 0, 0, number(1 << 30))
    let seen = 0
    let read = 0
    wire.socket.on('data', () => {
      for (const { type, stream, payload } of wire.seen.slice(seen)) {
        seen++
        if (type !== DATA) continue
        for (read += payload.length; read >= 4096; read -= 4096)
          wire.write(Buffer.concat([0, stream].map((id) => frame(WINDOW_UPDATE, 0, id, number(4096)))))
      }
    })
    for (const id of [1, 3, 5, 7]) {
      wire.headers(id, GET)
      await wire.until((one) => one.type === GOAWAY || isEnd(id)(one))
      expect(bytesOf(wire, id)).toBe(size)
    }
    wire.send(PING, 0, 0, Buffer.alloc(8))
    await wire.until(({ type, flags }) => type === GOAWAY || (type === PING && flags === 1))
    expect(wire.seen.some(({ type }) => type === GOAWAY)).toBe(false)
  })

  it('of the connection are given back for bodies that are refused', async () => {
    const server = await openDoor()
    const wire = await connect(server)
    const fields: FieldList = [...POST, ['content-length', '1']]
    // Together twice the window of the connection.
    for (let id = 1; id < 300; id += 2) {
      wire.open(id, fields)
      wire.send(DATA, 0, id, Buffer.alloc(16_000))
    }
    await wire.until(({ type, stream }) => type === RST_STREAM && stream === 299)
    expect(wire.seen.some(({ type }) => type === GOAWAY)).toBe(false)
  })

  it('of the connection are shared by streams that wait for it', async () => {
    const server = await openDoor({ serve: giving(Buffer.alloc(200_000)) })
    const wire = await connect(server, setting(INITIAL_WINDOW, 1_000_000))
    for (const id of [1, 3, 5]) wire.headers(id, GET)
    await eventually(() => expect(bytesOf(wire, 1)).toBe(65_535))
    for (let i = 0; i < 6; i++) {
      wire.send(WINDOW_UPDATE, 0, 0, number(1000))
      await eventually(() =>
        expect(bytesOf(wire, 1) + bytesOf(wire, 3) + bytesOf(wire, 5)).toBe(65_535 + 1000 * (i + 1)),
      )
    }
    expect([1, 3, 5].map((id) => bytesOf(wire, id)).filter((bytes) => bytes >= 1000)).toHaveLength(3)
  })
})

it.each([
  ['a body that is longer than was said', [['content-length', '1']], frame(DATA, 0, 1, Buffer.alloc(2))],
  ['a window that grows by nothing', [], frame(WINDOW_UPDATE, 0, 1, number(0))],
  ['a window that is too large', [], frame(WINDOW_UPDATE, 0, 1, number(2 ** 31 - 1))],
] as [string, FieldList, Buffer][])(
  'streams that a client makes us reset count as reset (CVE-2025-8671): %s',
  async (_, fields, cause) => {
    const server = await openDoor({ serve: () => new Promise(() => {}) })
    const wire = await connect(server)
    for (let id = 1; id < 4000 && !wire.isClosed; id += 2) {
      wire.open(id, [...STREAM, ...fields])
      const own = Buffer.from(cause)
      own.writeUInt32BE(id, 5)
      wire.write(own)
      if (id % 199 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await wire.closed
    expect(server.calls.length).toBeLessThan(1500)
  },
)
it.each([
  ['that nobody reads', POST, () => new Promise<never>(() => {})],
  ['that are read slowly', STREAM, readOnce],
] as [string, FieldList, Serve][])(
  'a body in frames of one byte costs its bytes, on streams %s',
  async (_, fields, serve) => {
    const server = await openDoor({ serve })
    const wire = await connect(server)
    const ids = [1, 3, 5, 7]
    for (const id of ids) wire.open(id, fields)
    await turns()
    const before = bytesInUse()
    // All that the windows allow: a frame takes ten bytes on the wire.
    const perStream = 250_000
    const bytes = Buffer.concat(ids.map((id) => frame(DATA, 0, id, Buffer.of(0x61))))
    const round = Buffer.concat(Array.from({ length: 5000 }, () => bytes))
    for (let sent = 0; sent < perStream; sent += 5000) {
      wire.write(round)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await eventually(() => expect(wire.socket.writableLength).toBe(0))
    // Its answer stands behind all that was sent.
    wire.send(PING, 0, 0, Buffer.alloc(8, 7))
    await wire.until(({ type, payload }) => type === PING && payload[0] === 7)
    expect(wire.seen.some(({ type }) => type === GOAWAY)).toBe(false)
    expect(bytesInUse() - before).toBeLessThan(4 * ids.length * perStream)
  },
)

it('what a client sends behind its goodbye does not lose it the answer', async () => {
  const server = await openDoor({ serve: giving(Buffer.alloc(10)) })
  const wire = await connect(server)
  wire.headers(1, GET)
  await wire.until(isEnd(1))
  const drained = server.drain(5000)
  const ping = await wire.until(({ type }) => type === PING)
  wire.write(Buffer.concat([frame(PING, 1, 0, ping.payload), frame(PING, 0, 0, Buffer.alloc(8))]))
  await Promise.all([wire.closed, drained])
  expect(wire.seen.filter(({ type }) => type === GOAWAY)).toHaveLength(2)
})

it.each([true, false])(
  'a connection that shows only after the drain has begun that it is HTTP/2 is drained',
  async (fastDoor) => {
    const server = await openDoor({ fastDoor })
    const client = await RawClient.connect(server.port)
    onTestFinished(() => client.destroy())
    const partial = PREFACE.subarray(0, 2)
    client.send(partial)
    await turns()
    const drained = server.drain(10_000)
    await turns()
    client.send(Buffer.concat([PREFACE.subarray(2), frame(SETTINGS, 0, 0)]))
    await drained
    await eventually(() => expect(client.closed).toBe(true))
  },
)

it.each([0, 100, 4096, 65_536])('a client whose table has %d bytes understands the answers', async (size) => {
  const server = await openDoor()
  const session = http2.connect(`http://127.0.0.1:${server.port}`, { settings: { headerTableSize: size } })
  onTestFinished(() => session.destroy())
  for (let i = 0; i < 3; i++) {
    const status = await new Promise((resolve, reject) => {
      session.on('error', reject)
      const stream = session.request({ ':path': '/whole' })
      stream.on('response', (fields) => resolve(fields[':status'])).on('error', reject)
      stream.resume()
    })
    expect(status).toBe(200)
  }
})
