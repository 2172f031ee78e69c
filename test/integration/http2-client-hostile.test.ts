/**
 * The client for backends over HTTP/2 against backends that are wrong or hostile, frame by frame: what ends a call, what ends its
 * connection, and that nothing ends more.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { GatewayError } from '../../src/core/errors.ts'
import type { BackendRequest, BackendResponse } from '../../src/data/backend/exchange.ts'
import { Http2Client } from '../../src/data/backend/http2-client.ts'
import type { WatchOptions } from '../../src/data/backend/http2-watch.ts'
import { collected, type Incoming } from '../../src/data/backend/incoming.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { HpackDecoder } from '../../src/lib/http2/hpack-decoder.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { eventually } from '../support/eventually.ts'
import { fails } from '../support/exchanges.ts'
import { later } from '../support/later.ts'
import { bytesInUse } from '../support/memory.ts'
import {
  block,
  CONTINUATION,
  DATA,
  type FieldList,
  frame,
  GOAWAY,
  HEADERS,
  number,
  PING,
  RST_STREAM,
  SETTINGS,
  setting,
  WINDOW_UPDATE,
} from '../support/raw-http2.ts'
import { type RawHttp2Backend, type RawPeer, rawHttp2Backend } from '../support/raw-http2-backend.ts'

const PRIORITY = 2
const PUSH_PROMISE = 5
const ACK = 1
const END_STREAM = 1
const END_HEADERS = 4
const MAX_CONCURRENT_STREAMS = 3
const INITIAL_WINDOW = 4
const TABLE_SIZE = 1

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0).toReversed()) close()
})

async function backend(...args: Parameters<typeof rawHttp2Backend>): Promise<RawHttp2Backend> {
  const made = await rawHttp2Backend(...args)
  closers.push(() => made.close())
  return made
}

function client(watch?: WatchOptions, connections = 4): Http2Client {
  const wheel = new Wheel(systemClock)
  const options = { connections, connectTimeoutMs: 10_000, bodyTimeoutMs: 10_000, refuse: () => undefined }
  const made = new Http2Client(options, wheel, watch)
  closers.push(() => {
    made.close()
    wheel.close()
  })
  return made
}

async function send(
  made: Http2Client,
  { url }: RawHttp2Backend,
  changes: Partial<BackendRequest> = {},
): Promise<BackendResponse> {
  const request: BackendRequest = {
    url,
    transport: 'grpc',
    method: 'POST',
    target: '/pkg.Service/Call',
    headers: ['content-type', 'application/grpc'],
    body: Buffer.from('hello'),
    contentLength: undefined,
    signal: new Cancel(),
    headTimeoutMs: 20_000,
    ...changes,
  }
  return made.send(request, request.headers)
}

const ask = (made: Http2Client, at: RawHttp2Backend, changes?: Partial<BackendRequest>) =>
  later(asked(made, at, changes))

async function asked(made: Http2Client, at: RawHttp2Backend, changes?: Partial<BackendRequest>) {
  const { reply } = await send(made, at, changes)
  const { bytes } = await collected(reply.body, 1e9)
  return { ...reply, text: Buffer.from(bytes).toString('latin1'), trailers: reply.trailers?.() ?? [] }
}

const OK: FieldList = [[':status', '200']]
const TRAILERS: FieldList = [['grpc-status', '0']]

function answer(peer: RawPeer, stream: number, text = 'fine'): void {
  peer.head(stream, OK)
  peer.send(DATA, 0, stream, Buffer.from(text))
  peer.head(stream, TRAILERS, true)
}

/** Answers streams well but the first. */
const onFirst = (act: (peer: RawPeer, stream: number) => void) => {
  let isFirst = true
  return (peer: RawPeer, stream: number) => {
    if (!isFirst) return answer(peer, stream)
    isFirst = false
    act(peer, stream)
  }
}

/** The first connection, once it is there. */
const peerOf = (at: RawHttp2Backend) =>
  eventually(() => {
    const [peer] = at.peers
    if (!peer) throw new Error('no connection yet')
    return peer
  })
const isGoAway = ({ type }: { type: number }) => type === GOAWAY
const many = (count: number, one: Buffer) => Buffer.concat(Array.from({ length: count }, () => one))

describe('what ends a connection, and the calls on it', () => {
  const PROTOCOL_ERROR = 1
  const FLOW_CONTROL_ERROR = 3
  const STREAM_CLOSED = 5
  const FRAME_SIZE_ERROR = 6
  const COMPRESSION_ERROR = 9
  const ENHANCE_YOUR_CALM = 11
  it.each<[string, Buffer, number]>([
    ['PING without end', many(1100, frame(PING, 0, 0, Buffer.alloc(8))), ENHANCE_YOUR_CALM],
    [
      'answers to PINGs that were not asked',
      many(1100, frame(PING, ACK, 0, Buffer.alloc(8))),
      ENHANCE_YOUR_CALM,
    ],
    ['SETTINGS without end', many(1100, frame(SETTINGS, 0, 0)), ENHANCE_YOUR_CALM],
    ['empty DATA without end', many(1100, frame(DATA, 0, 1)), ENHANCE_YOUR_CALM],
    ['padding without end', many(1100, frame(DATA, 8, 1, Buffer.from([3, 0, 0, 0]))), ENHANCE_YOUR_CALM],
    ['PRIORITY without end', many(1100, frame(PRIORITY, 0, 1, Buffer.alloc(5))), ENHANCE_YOUR_CALM],
    ['windows that grow without end', many(1100, frame(WINDOW_UPDATE, 0, 0, number(1))), ENHANCE_YOUR_CALM],
    ['a window that grows without end', many(1100, frame(WINDOW_UPDATE, 0, 1, number(1))), ENHANCE_YOUR_CALM],
    [
      'resets of a stream that is over, without end',
      Buffer.concat([frame(HEADERS, 5, 1, block(OK)), many(1100, frame(RST_STREAM, 0, 1, number(8)))]),
      ENHANCE_YOUR_CALM,
    ],
    ['unknown frames without end', many(1100, frame(99, 0, 0)), ENHANCE_YOUR_CALM],
    [
      'GOAWAY without end',
      many(1100, frame(GOAWAY, 0, 0, Buffer.concat([number(1), number(0)]))),
      ENHANCE_YOUR_CALM,
    ],
    [
      'CONTINUATION without end',
      Buffer.concat([frame(HEADERS, 0, 1, block(OK)), many(40, frame(CONTINUATION, 0, 1))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'a head of more than 64 KiB in CONTINUATION',
      Buffer.concat([
        frame(HEADERS, 0, 1, block(OK)),
        many(5, frame(CONTINUATION, 0, 1, Buffer.alloc(16_000))),
      ]),
      ENHANCE_YOUR_CALM,
    ],
    ['a promise', frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([number(2), block(OK)])), PROTOCOL_ERROR],
    ['SETTINGS that allow us to promise', frame(SETTINGS, 0, 0, setting(2, 1)), PROTOCOL_ERROR],
    ['SETTINGS that are cut', frame(SETTINGS, 0, 0, Buffer.alloc(5)), FRAME_SIZE_ERROR],
    ['an acknowledgement with settings', frame(SETTINGS, ACK, 0, setting(3, 1)), FRAME_SIZE_ERROR],
    ['SETTINGS of a stream', frame(SETTINGS, 0, 1), PROTOCOL_ERROR],
    ['frames that we must not send', frame(SETTINGS, 0, 0, setting(5, 100)), PROTOCOL_ERROR],
    ['a window beyond 2^31 - 1 for streams', frame(SETTINGS, 0, 0, setting(4, 2 ** 31)), FLOW_CONTROL_ERROR],
    [
      'a window that grows beyond 2^31 - 1 by SETTINGS',
      Buffer.concat([
        frame(WINDOW_UPDATE, 0, 1, number(2 ** 31 - 66_000)),
        frame(SETTINGS, 0, 0, setting(4, 200_000)),
      ]),
      FLOW_CONTROL_ERROR,
    ],
    ['a window that grows by nothing', frame(WINDOW_UPDATE, 0, 0, number(0)), PROTOCOL_ERROR],
    ['a window beyond 2^31 - 1', frame(WINDOW_UPDATE, 0, 0, number(2 ** 31 - 1)), FLOW_CONTROL_ERROR],
    ['WINDOW_UPDATE that is cut', frame(WINDOW_UPDATE, 0, 0, Buffer.alloc(3)), FRAME_SIZE_ERROR],
    ['WINDOW_UPDATE of a stream that was not begun', frame(WINDOW_UPDATE, 0, 3, number(1)), PROTOCOL_ERROR],
    ['PING that is too long', frame(PING, 0, 0, Buffer.alloc(9)), FRAME_SIZE_ERROR],
    ['PING of a stream', frame(PING, 0, 1, Buffer.alloc(8)), PROTOCOL_ERROR],
    ['GOAWAY that is cut', frame(GOAWAY, 0, 0, Buffer.alloc(7)), FRAME_SIZE_ERROR],
    ['RST_STREAM that is cut', frame(RST_STREAM, 0, 1, Buffer.alloc(3)), FRAME_SIZE_ERROR],
    ['RST_STREAM of a stream that was not begun', frame(RST_STREAM, 0, 5, number(0)), PROTOCOL_ERROR],
    ['a frame of 17,000 bytes', frame(DATA, 0, 1, Buffer.alloc(17_000)), FRAME_SIZE_ERROR],
    ['DATA of no stream', frame(DATA, 0, 0, Buffer.alloc(1)), PROTOCOL_ERROR],
    ['DATA of a stream of its own', frame(DATA, 0, 2, Buffer.alloc(1)), PROTOCOL_ERROR],
    ['DATA of a stream that was not begun', frame(DATA, 0, 3, Buffer.alloc(1)), PROTOCOL_ERROR],
    ['more padding than payload', frame(DATA, 8, 1, Buffer.from([2, 0])), PROTOCOL_ERROR],
    ['a head of a stream that was not begun', frame(HEADERS, 5, 7, block(OK)), PROTOCOL_ERROR],
    ['a head of no stream', frame(HEADERS, 5, 0, block(OK)), PROTOCOL_ERROR],
    [
      'a head that another frame interrupts',
      Buffer.concat([frame(HEADERS, 0, 1, block(OK)), frame(PING, 0, 0, Buffer.alloc(8))]),
      PROTOCOL_ERROR,
    ],
    ['CONTINUATION of nothing', frame(CONTINUATION, END_HEADERS, 1, block(OK)), PROTOCOL_ERROR],
    ['fields that are none', frame(HEADERS, 5, 1, Buffer.from([0x80])), COMPRESSION_ERROR],
    [
      'a table larger than was agreed',
      frame(HEADERS, 5, 1, Buffer.from([0x3f, 0xe2, 0x1f])),
      COMPRESSION_ERROR,
    ],
    [
      'a body behind the end',
      Buffer.concat([frame(HEADERS, 5, 1, block(OK)), frame(DATA, 0, 1, Buffer.alloc(1))]),
      STREAM_CLOSED,
    ],
  ])('%s', async (_, bytes, code) => {
    const at = await backend(onFirst((peer) => peer.write(bytes)))
    const made = client()
    // A call that was answered before the mistake stays answered.
    const first = ask(made, at).catch((error: unknown) => error as GatewayError)
    const peer = await peerOf(at)
    const goodbye = await peer.until(isGoAway)
    expect(goodbye.payload.readUInt32BE(4)).toBe(code)
    const outcome = await first
    if (outcome instanceof Error) expect(outcome).toMatchObject({ fault: { blame: 'backend' } })
    await eventually(() => expect(peer.socket.destroyed).toBe(true))
    expect((await ask(made, at)).text).toBe('fine')
    expect(at.peers).toHaveLength(2)
  })

  it('says what was wrong', async () => {
    const at = await backend(onFirst((peer) => peer.write(many(1100, frame(PING, 0, 0, Buffer.alloc(8))))))
    expect(await fails(ask(client(), at))).toMatchObject({
      code: 'backendGarbled',
      message: 'the backend answered with broken HTTP/2: too many frames that ask for nothing',
    })
  })

  it('another first frame than SETTINGS', async () => {
    const at = await backend(() => {}, { greet: (peer) => peer.send(PING, 0, 0, Buffer.alloc(8)) })
    expect(await fails(ask(client(), at))).toMatchObject({
      code: 'backendGarbled',
      message: 'the backend does not speak HTTP/2',
      detail: { unsent: true },
    })
  })

  it('frames whose answers are not read', async () => {
    // Each is followed by a byte of an answer, so that it is no flood of nothing.
    const pair = Buffer.concat([frame(PING, 0, 0, Buffer.alloc(8)), frame(DATA, 0, 1, Buffer.from('x'))])
    const at = await backend((peer, stream) => {
      peer.socket.pause()
      peer.head(stream, OK)
      const flood = () => {
        while (peer.socket.writable) if (!peer.socket.write(many(1000, pair))) break
      }
      peer.socket.on('drain', flood)
      flood()
    })
    const { reply } = await send(client(), at)
    const error = await fails(collected(reply.body, 1e9))
    expect(error.message).toContain('whose answers are not read')
  })
})

describe('what ends a call, and nothing else', () => {
  const head = (...fields: [string, string][]) => frame(HEADERS, END_HEADERS, 1, block([...OK, ...fields]))
  const end = (...fields: [string, string][]) => frame(HEADERS, 5, 1, block([...OK, ...fields]))
  const long = block([['a', 'b'.repeat(4000)]]).fill(0x40, 0, 1)
  const data = (text: string, isEnd = false) => frame(DATA, isEnd ? END_STREAM : 0, 1, Buffer.from(text))
  it.each<[string, Buffer[]]>([
    ['no status', [frame(HEADERS, 5, 1, block([['a', 'b']]))]],
    ['a status of letters', [frame(HEADERS, 5, 1, block([[':status', '2xx']]))]],
    ['two statuses', [end([':status', '200'])]],
    ['a status behind a field', [frame(HEADERS, 5, 1, block([['a', 'b'], ...OK]))]],
    ['a pseudo-field that is none', [end([':other', 'x'])]],
    ['a pseudo-field of requests', [end([':path', '/'])]],
    ['a name in upper case', [end(['X-Upper', 'a'])]],
    ['a name with a space', [end(['a b', 'c'])]],
    ['a name of no characters', [end(['', 'c'])]],
    ['a value with a line break', [end(['a', 'b\r\nc: d'])]],
    ['a value with a NUL', [end(['a', '\0'])]],
    ['Connection', [end(['connection', 'close'])]],
    ['Transfer-Encoding', [end(['transfer-encoding', 'chunked'])]],
    ['a change of the protocol', [frame(HEADERS, END_HEADERS, 1, block([[':status', '101']]))]],
    ['an interim answer that is the end', [frame(HEADERS, 5, 1, block([[':status', '103']]))]],
    ['a body without a head', [data('x')]],
    [
      'a body behind an interim answer',
      [frame(HEADERS, END_HEADERS, 1, block([[':status', '103']])), data('x')],
    ],
    ['a second head', [head(), head()]],
    ['trailers with a pseudo-field', [head(), end()]],
    ['trailers in upper case', [head(), frame(HEADERS, 5, 1, block([['Grpc-Status', '0']]))]],
    ['a length that is none', [head(['content-length', '1x'])]],
    ['two lengths', [head(['content-length', '1'], ['content-length', '1'])]],
    ['a body longer than its length', [head(['content-length', '1']), data('xy')]],
    ['a body shorter than its length', [head(['content-length', '3']), data('xy', true)]],
    [
      'trailers before the length is reached',
      [head(['content-length', '3']), frame(HEADERS, 5, 1, block(TRAILERS))],
    ],
    ['a length without a body', [end(['content-length', '3'])]],
    [
      'a body of a status that has none',
      [frame(HEADERS, END_HEADERS, 1, block([[':status', '204']])), data('x', true)],
    ],
    ['a window that grows by nothing', [frame(WINDOW_UPDATE, 0, 1, number(0))]],
    ['a window beyond 2^31 - 1', [frame(WINDOW_UPDATE, 0, 1, number(2 ** 31 - 1))]],
    // A field of the table is a byte of the block.
    ['fields of more than 64 KiB', [frame(HEADERS, 5, 1, Buffer.concat([long, Buffer.alloc(30, 0xbe)]))]],
  ])('%s', async (_, frames) => {
    const at = await backend(onFirst((peer) => peer.write(Buffer.concat(frames))))
    const made = client()
    expect(await fails(ask(made, at))).toMatchObject({ code: 'backendGarbled' })
    const peer = await peerOf(at)
    await peer.until(({ type, stream }) => type === RST_STREAM && stream === 1)
    expect((await ask(made, at)).text).toBe('fine')
    expect(at.peers).toHaveLength(1)
  })

  it('more than the window allows, where nobody reads', async () => {
    const at = await backend(onFirst((peer, stream) => peer.head(stream, OK)))
    const made = client()
    const { reply } = await send(made, at)
    const peer = await peerOf(at)
    // As much as is kept for a reader, as much as the window allows then, and a frame.
    peer.write(many(32, frame(DATA, 0, 1, Buffer.alloc(16_000))))
    const reset = await peer.until(({ type }) => type === RST_STREAM)
    expect(reset.payload.readUInt32BE(0)).toBe(3)
    expect(await fails(collected(reply.body, 1e9))).toMatchObject({ code: 'backendGarbled' })
    expect((await ask(made, at)).text).toBe('fine')
    expect(at.peers).toHaveLength(1)
  })

  const refused = frame(RST_STREAM, 0, 1, number(7))
  const notLookedAt = frame(GOAWAY, 0, 0, Buffer.concat([number(0), number(0)]))
  it.each<[string, Buffer[]]>([
    ['a head, and then it is refused', [head(), refused]],
    [
      'an interim answer, and then it is refused',
      [frame(HEADERS, 4, 1, block([[':status', '103']])), refused],
    ],
    ['a head, and then it wants HTTP/1.1', [head(), frame(RST_STREAM, 0, 1, number(13))]],
    ['a head, and then it was not looked at', [head(), notLookedAt]],
    [
      'an interim answer, and then it was not',
      [frame(HEADERS, 4, 1, block([[':status', '103']])), notLookedAt],
    ],
  ])('is not safe to repeat where there was %s', async (_, frames) => {
    const at = await backend(onFirst((peer) => peer.write(Buffer.concat(frames))))
    const made = client()
    const error = await fails(ask(made, at))
    expect(error).toMatchObject({ fault: { blame: 'backend' } })
    expect(error.detail.unsent).toBeUndefined()
    expect((await ask(made, at)).text).toBe('fine')
  })

  it('its caller leaves, and what was on its way is dropped, as much as may have been', async () => {
    const at = await backend(onFirst(() => {}))
    const made = client()
    const signal = new Cancel()
    const left = fails(ask(made, at, { signal }))
    await eventually(() => expect(at.peers[0]?.seen.some(({ type }) => type === HEADERS)).toBe(true))
    signal.abort(new Error('gone'))
    expect(await left).toMatchObject({ code: 'callerLeft' })
    const peer = at.peers[0] as RawPeer
    await peer.until(({ type }) => type === RST_STREAM)
    peer.head(1, OK)
    for (let i = 0; i < 2000; i++) peer.send(DATA, 0, 1, Buffer.alloc(100))
    peer.head(1, TRAILERS, true)
    expect((await ask(made, at)).text).toBe('fine')
    expect(at.peers).toHaveLength(1)
    peer.write(many(10, frame(DATA, 0, 1, Buffer.alloc(16_000))))
    expect((await peer.until(isGoAway)).payload.readUInt32BE(4)).toBe(5)
  })
})

it('a body in frames of one byte that nobody reads costs its bytes', async () => {
  const at = await backend((peer, stream) => peer.head(stream, OK))
  const made = client()
  const { reply } = await send(made, at)
  const peer = await peerOf(at)
  const before = bytesInUse()
  const round = many(5000, frame(DATA, 0, 1, Buffer.of(0x61)))
  for (let sent = 0; sent < 250_000; sent += 5000) peer.write(round)
  // Its answer stands behind all that was sent.
  peer.send(PING, 0, 0, Buffer.alloc(8))
  await peer.until(({ type, flags }) => type === PING && flags === ACK)
  expect(bytesInUse() - before).toBeLessThan(4 << 20)
  expect(reply.status).toBe(200)
})

describe('answers in odd pieces', () => {
  it('heads in many frames, with padding and a priority, behind interim answers', async () => {
    const at = await backend((peer, stream) => {
      peer.head(stream, [[':status', '100']])
      peer.head(stream, [
        [':status', '103'],
        ['link', '</a>'],
      ])
      const fields = block([...OK, ['x-a', 'b']])
      const padded = Buffer.concat([
        Buffer.from([2]),
        Buffer.alloc(5),
        fields.subarray(0, 4),
        Buffer.alloc(2),
      ])
      peer.send(HEADERS, 8 | 32, stream, padded)
      for (const byte of fields.subarray(4, -1)) peer.send(CONTINUATION, 0, stream, Buffer.from([byte]))
      peer.send(CONTINUATION, END_HEADERS, stream, fields.subarray(-1))
      peer.send(DATA, 8, stream, Buffer.from('\x02ab\0\0', 'latin1'))
      peer.send(DATA, 0, stream)
      peer.send(DATA, END_STREAM, stream, Buffer.from('c'))
    })
    expect(await ask(client(), at)).toMatchObject({
      status: 200,
      headers: ['x-a', 'b'],
      text: 'abc',
      trailers: [],
    })
  })

  it('byte by byte', async () => {
    const at = await backend(async (peer, stream) => {
      const bytes = Buffer.concat([
        frame(HEADERS, END_HEADERS, stream, block(OK)),
        frame(DATA, 0, stream, Buffer.from('fine')),
        frame(HEADERS, 5, stream, block(TRAILERS)),
      ])
      for (const byte of bytes) {
        peer.write(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    expect(await ask(client(), at)).toMatchObject({ text: 'fine', trailers: ['grpc-status', '0'] })
  })

  it.each([
    ['to HEAD', 'HEAD', '200'],
    ['304', 'GET', '304'],
  ])('a length without a body, of an answer %s', async (_, method, status) => {
    const at = await backend((peer, stream) =>
      peer.head(
        stream,
        [
          [':status', status],
          ['content-length', '9'],
        ],
        true,
      ),
    )
    expect(await ask(client(), at, { method, body: undefined })).toMatchObject({
      status: Number(status),
      text: '',
    })
  })

  it('with heads that are kept in a table, which changes', async () => {
    let count = 0
    const at = await backend((peer, stream) => {
      const kept = block([['x-count', String(count++)]]).fill(0x40, 0, 1)
      // The newest field of the table is the one that was written before it.
      peer.send(HEADERS, 5, stream, Buffer.concat([Buffer.from([0x88]), kept, Buffer.from([0xbe])]))
    })
    const made = client()
    for (const n of ['0', '1', '2'])
      expect((await ask(made, at)).headers).toEqual(['x-count', n, 'x-count', n])
  })
})

describe('windows and settings of the backend', () => {
  const bytesOf = (peer: RawPeer | undefined, id: number) =>
    (peer?.seen ?? [])
      .filter(({ type, stream }) => type === DATA && stream === id)
      .reduce((sum, { payload }) => sum + payload.length, 0)

  it('are kept to, closed, negative and opened in odd orders, and nothing is lost', async () => {
    const at = await backend(() => {}, { settings: setting(INITIAL_WINDOW, 1000) })
    const made = client()
    const body = Buffer.alloc(100_000, 'y')
    const calls = [1, 3].map(() => ask(made, at, { body }))
    const peer = await eventually(() => {
      expect([bytesOf(at.peers[0], 1), bytesOf(at.peers[0], 3)]).toEqual([1000, 1000])
      return at.peers[0] as RawPeer
    })
    peer.send(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 0))
    peer.send(WINDOW_UPDATE, 0, 1, number(500))
    peer.send(WINDOW_UPDATE, 0, 3, number(1500))
    await eventually(() => expect([bytesOf(peer, 1), bytesOf(peer, 3)]).toEqual([1000, 1500]))
    peer.send(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1_000_000))
    await eventually(() => expect(bytesOf(peer, 1) + bytesOf(peer, 3)).toBe(65_535))
    peer.send(WINDOW_UPDATE, 0, 0, number(1_000_000))
    await eventually(() => expect([bytesOf(peer, 1), bytesOf(peer, 3)]).toEqual([100_000, 100_000]))
    for (const id of [1, 3]) answer(peer, id)
    expect((await Promise.all(calls)).map(({ text }) => text)).toEqual(['fine', 'fine'])
    const last = peer.seen.filter(({ type, stream }) => type === DATA && stream === 1).at(-1)
    expect(last?.flags).toBe(END_STREAM)
  })

  it('of its table of fields are confirmed, and repeated fields are sent as an index', async () => {
    const at = await backend((peer, stream) => answer(peer, stream))
    const made = client()
    const blocks = () =>
      at.peers[0]?.seen.filter(({ type }) => type === HEADERS).map(({ payload }) => payload) ?? []
    const decoder = new HpackDecoder({ maxListBytes: 65_536 })
    for (let i = 0; i < 3; i++) await ask(made, at)
    const [first, second, third] = blocks().map((one) => ({ length: one.length, ...decoder.decode(one) }))
    expect(first?.fields).toEqual(second?.fields)
    expect(third?.fields).toEqual(second?.fields)
    expect(second?.length).toBeLessThan(12)
    expect(third?.length).toBe(second?.length)
    at.peers[0]?.send(SETTINGS, 0, 0, setting(TABLE_SIZE, 0))
    await at.peers[0]?.until(({ type, flags }) => type === SETTINGS && flags === ACK)
    await eventually(() => expect(at.peers[0]?.seen.filter(({ type }) => type === SETTINGS)).toHaveLength(3))
    await ask(made, at)
    const confirmed = blocks().at(-1) as Buffer
    expect(confirmed[0]).toBe(0x20)
    expect(new HpackDecoder({ maxListBytes: 65_536, maxTableBytes: 0 }).decode(confirmed).fields).toEqual(
      first?.fields,
    )
  })

  it('may lower the number of streams while calls run', async () => {
    const held: number[] = []
    const at = await backend((_, stream) => void held.push(stream), {
      settings: setting(MAX_CONCURRENT_STREAMS, 2),
    })
    const made = client()
    const calls = [ask(made, at), ask(made, at)]
    await eventually(() => expect(held).toHaveLength(2))
    const peer = at.peers[0] as RawPeer
    peer.send(SETTINGS, 0, 0, setting(MAX_CONCURRENT_STREAMS, 1))
    answer(peer, 1)
    await calls[0]
    const third = ask(made, at)
    await eventually(() => expect(at.peers).toHaveLength(2))
    await eventually(() => expect(held).toEqual([1, 3, 1]))
    answer(at.peers[1] as RawPeer, 1)
    answer(peer, 3)
    expect((await Promise.all([...calls, third])).map(({ text }) => text)).toEqual(['fine', 'fine', 'fine'])
  })
})

describe('goodbyes', () => {
  const goAway = (last: number, code = 0) => frame(GOAWAY, 0, 0, Buffer.concat([number(last), number(code)]))

  it('of the backend: what it has taken is answered, and what it has not is sent elsewhere at once', async () => {
    const at = await backend((peer, stream) => {
      if (peer.count > 0) return answer(peer, stream, 'second')
      if (stream === 3) peer.write(goAway(1))
    })
    const made = client()
    const first = ask(made, at)
    expect((await ask(made, at)).text).toBe('second')
    answer(at.peers[0] as RawPeer, 1, 'first')
    expect((await first).text).toBe('first')
    // Nothing runs on it any more.
    await at.peers[0]?.until(isGoAway)
    await eventually(() => expect(at.peers[0]?.socket.destroyed).toBe(true))
  })

  it('of the backend leave room for another connection, however long their calls run', async () => {
    const at = await backend((peer, stream) => {
      if (peer.count === 2) answer(peer, stream, 'third')
      else peer.write(goAway(1))
    })
    const made = client(undefined, 1)
    const calls: Promise<{ text: string }>[] = []
    for (const count of [1, 2]) {
      calls.push(ask(made, at))
      await eventually(() => expect(at.peers).toHaveLength(count))
      const peer = at.peers[count - 1] as RawPeer
      await peer.until(({ type }) => type === HEADERS)
      peer.send(PING, 0, 0, Buffer.alloc(8))
      await peer.until(({ type, flags }) => type === PING && flags === ACK)
    }
    expect((await ask(made, at)).text).toBe('third')
    for (const peer of at.peers.slice(0, 2)) answer(peer, 1, 'late')
    expect((await Promise.all(calls)).map(({ text }) => text)).toEqual(['late', 'late'])
  })

  it('of the backend, first a notice and then the last stream', async () => {
    const at = await backend((peer, stream) => {
      if (peer.count > 0) return answer(peer, stream, 'second')
      if (stream === 1) peer.write(goAway(2 ** 31 - 1))
    })
    const made = client()
    const first = ask(made, at)
    const peer = await peerOf(at)
    await peer.until(({ type }) => type === HEADERS)
    // Its answer says that the notice has been read: a call before that goes on the same connection, where nobody answers it.
    peer.send(PING, 0, 0, Buffer.alloc(8))
    await peer.until(({ type, flags }) => type === PING && flags === ACK)
    expect((await ask(made, at)).text).toBe('second')
    peer.write(goAway(1))
    answer(peer, 1, 'first')
    expect((await first).text).toBe('first')
  })

  it('of a backend that takes nothing: it is not called again at once, nor by many connections', async () => {
    const at = await backend(() => {}, {
      greet(peer) {
        peer.send(SETTINGS, 0, 0, setting(MAX_CONCURRENT_STREAMS, 0))
        peer.write(goAway(0))
        peer.socket.end()
      },
    })
    expect(await fails(ask(client(), at, { headTimeoutMs: 500 }))).toMatchObject({ code: 'backendTimeout' })
    expect(at.peers.length).toBeLessThan(10)
  })

  it('of a backend that has lowered its streams to none before: the next connection is not waited for', async () => {
    const at = await backend((peer, stream) => {
      if (peer.count > 0) return answer(peer, stream, 'second')
      peer.send(SETTINGS, 0, 0, setting(MAX_CONCURRENT_STREAMS, 0))
      peer.write(goAway(1))
    })
    const made = client()
    const first = ask(made, at)
    await eventually(() => expect(at.peers[0]?.seen.some(({ type }) => type === HEADERS)).toBe(true))
    expect((await ask(made, at)).text).toBe('second')
    answer(at.peers[0] as RawPeer, 1, 'first')
    expect((await first).text).toBe('first')
  })

  it('with an error are told to those whose calls it ends', async () => {
    const at = await backend(
      onFirst((peer) => {
        peer.write(goAway(1, 11))
        peer.socket.end()
      }),
    )
    expect(await fails(ask(client(), at))).toMatchObject({
      code: 'backendReset',
      message: 'the backend closed the connection (ENHANCE_YOUR_CALM)',
    })
  })

  it.each<[string, (made: Http2Client, url: string) => void]>([
    ['is forgotten', (made, url) => made.forget(url)],
    ['is not needed any more', () => {}],
    ['is left by a gateway that goes down', (made) => made.close()],
  ])('are said to a backend that %s', async (_, leave) => {
    const at = await backend((peer, stream) => answer(peer, stream))
    const made = client({ lookMs: 20, idleLooks: 2, pingMs: 1000 })
    await ask(made, at)
    leave(made, at.url)
    const goodbye = await at.peers[0]?.until(isGoAway)
    expect(goodbye?.payload).toEqual(Buffer.alloc(8))
    await eventually(() => expect(at.peers[0]?.socket.destroyed).toBe(true))
  })

  it('wait for what runs', async () => {
    const at = await backend(() => {})
    const made = client()
    const call = ask(made, at)
    await eventually(() => expect(at.peers[0]?.seen.some(({ type }) => type === HEADERS)).toBe(true))
    made.forget(at.url)
    const peer = at.peers[0] as RawPeer
    answer(peer, 1)
    expect((await call).text).toBe('fine')
    await peer.until(isGoAway)
    expect(peer.seen.at(-1)?.type).toBe(GOAWAY)
  })
})

describe('a backend that reads nothing', () => {
  /** Lets one call fill the socket, and another one be cut behind it. */
  async function blocked(made: Http2Client) {
    const at = await backend((peer, stream) => {
      if (stream === 1 && peer.count === 0) peer.socket.pause()
      else answer(peer, stream, `of ${peer.count}`)
    }, WIDE)
    const first = ask(made, at, { body: Buffer.alloc(12 << 20) })
    const outcome = first.catch((error: unknown) => error as GatewayError)
    const peer = await peerOf(at)
    await eventually(() => expect(peer.socket.isPaused()).toBe(true))
    const signal = new Cancel()
    const second = fails(ask(made, at, { signal }))
    signal.abort(new Error('gone'))
    await second
    return { at, peer, outcome }
  }
  const WIDE = {
    greet(peer: RawPeer) {
      peer.send(SETTINGS, 0, 0, setting(INITIAL_WINDOW, 1 << 30))
      peer.send(WINDOW_UPDATE, 0, 0, number(1 << 30))
    },
  }

  it('gets no calls behind one that was cut, and is given up soon', async () => {
    const made = client({ lookMs: 60_000, idleLooks: 2, pingMs: 300 })
    const { at, outcome } = await blocked(made)
    expect((await ask(made, at)).text).toBe('of 1')
    expect(await outcome).toMatchObject({ code: 'backendReset', cause: { message: 'it reads nothing' } })
    expect((await ask(made, at)).text).toBe('of 1')
  })

  it('is called again when it has read', async () => {
    const made = client({ lookMs: 60_000, idleLooks: 2, pingMs: 60_000 })
    const { at, peer, outcome } = await blocked(made)
    expect((await ask(made, at)).text).toBe('of 1')
    peer.socket.resume()
    const called = async () => expect((await ask(made, at)).text).toBe('of 0')
    await eventually(called, { timeoutMs: 20_000 })
    answer(peer, 1, 'first')
    expect(await outcome).toMatchObject({ text: 'first' })
  })
})

describe('half-open connections', () => {
  it('a backend that ends its side in the middle of an answer', async () => {
    const at = await backend(
      onFirst((peer, stream) => {
        peer.head(stream, OK)
        peer.send(DATA, 0, stream, Buffer.from('abc'))
        peer.socket.end()
      }),
    )
    const made = client()
    expect(await fails(ask(made, at))).toMatchObject({ code: 'backendReset' })
    expect((await ask(made, at)).text).toBe('fine')
  })

  it('a backend that answers pings with another content is not there', async () => {
    const at = await backend((peer, stream) => {
      if (peer.count > 0) return answer(peer, stream)
      peer.head(stream, OK)
      setInterval(() => peer.send(PING, ACK, 0, Buffer.alloc(8)), 20).unref()
    })
    const made = client({ lookMs: 30, idleLooks: 1000, pingMs: 200 })
    const { reply } = await send(made, at)
    expect(await fails((reply.body as Incoming).collect(100))).toMatchObject({ code: 'backendReset' })
    expect((await ask(made, at)).text).toBe('fine')
  })
})
