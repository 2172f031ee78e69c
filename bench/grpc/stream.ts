/**
 * The two ends of gRPC streams, as cheap as Node can have them, so that what stands between them is the limit: frames are made once,
 * and what comes is counted by its frame heads alone.
 *
 *   node bench/grpc/stream.ts echo PORT
 *   node bench/grpc/stream.ts load PORT PATH SECONDS     prints the messages that came back, and the seconds that took
 */
import { once } from 'node:events'
import net, { type Socket } from 'node:net'
import { FrameReader } from '../../src/lib/http2/frame-reader.ts'
import * as h2 from '../../src/lib/http2/frames.ts'
import { encodeFields } from '../../src/lib/http2/hpack-encoder.ts'

const CONNECTIONS = 4
const STREAMS = 4
/** Messages of a stream that are on their way at a time: far less than any window, so windows need no look. */
const IN_FLIGHT = 16
const MESSAGE_BYTES = 64
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
/** That of a stream and of the connection; more than any run sends. */
const WINDOW = 2 ** 30

interface Frame {
  readonly type: number
  readonly flags?: number
  readonly stream?: number
}

function frame({ type, flags = 0, stream = 0 }: Frame, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(h2.FRAME_HEAD_BYTES + payload.length)
  bytes.set(payload, h2.writeFrameHead(bytes, 0, { length: payload.length, type, flags, stream }))
  return bytes
}

function opening(): Buffer {
  const setting = Buffer.alloc(6)
  setting.writeUInt16BE(h2.INITIAL_WINDOW_SIZE)
  setting.writeUInt32BE(WINDOW, 2)
  const growth = Buffer.alloc(4)
  growth.writeUInt32BE(WINDOW)
  return Buffer.concat([frame({ type: h2.SETTINGS }, setting), frame({ type: h2.WINDOW_UPDATE }, growth)])
}

type OnFrame = (type: number, flags: number, stream: number, payload: Buffer) => void

/** Reads frames; what belongs to the connection is answered here. What `onFrame` writes leaves in one write a piece. */
function read(socket: Socket, onFrame: OnFrame, skip = 0): void {
  const reader = new FrameReader(h2.DEFAULT_FRAME_BYTES, (type, flags, stream, payload) => {
    const isAsked = (flags & h2.ACK) === 0
    if (type === h2.SETTINGS && isAsked) socket.write(frame({ type, flags: h2.ACK }, Buffer.alloc(0)))
    else if (type === h2.PING && isAsked) socket.write(frame({ type, flags: h2.ACK }, payload))
    else onFrame(type, flags, stream, payload)
  })
  let rest = skip
  socket.on('data', (chunk: Buffer) => {
    const skipped = Math.min(rest, chunk.length)
    rest -= skipped
    socket.cork()
    reader.read(chunk.subarray(skipped))
    socket.uncork()
  })
}

/** Sends each DATA frame back; ends a stream with the status OK when its client does. */
function echo(port: number): void {
  const head = encodeFields([':status', '200', 'content-type', 'application/grpc'])
  const trailers = encodeFields(['grpc-status', '0'])
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.write(opening())
    socket.on('error', () => socket.destroy())
    const onFrame: OnFrame = (type, flags, stream, payload) => {
      if (type === h2.HEADERS) socket.write(frame({ type, flags: h2.END_HEADERS, stream }, head))
      if (type === h2.DATA && payload.length > 0) socket.write(frame({ type, stream }, payload))
      if ((type === h2.HEADERS || type === h2.DATA) && flags & h2.END_STREAM)
        socket.write(frame({ type: h2.HEADERS, flags: h2.END_HEADERS | h2.END_STREAM, stream }, trailers))
    }
    read(socket, onFrame, PREFACE.length)
  })
  server.listen(port, '127.0.0.1')
}

async function load(port: number, path: string, seconds: number): Promise<void> {
  let received = 0
  const head = encodeFields([
    ...[':method', 'POST', ':scheme', 'http', ':path', path, ':authority', `127.0.0.1:${port}`],
    ...['content-type', 'application/grpc', 'te', 'trailers'],
  ])
  // Its length is the second to the fifth byte.
  const message = Buffer.alloc(5 + MESSAGE_BYTES)
  message.writeUInt32BE(MESSAGE_BYTES, 1)
  const begin = performance.now()
  const sockets = Array.from({ length: CONNECTIONS }, async () => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const bytes = new Map<number, number>()
    read(socket, (type, _flags, stream, payload) => {
      if (type === h2.RST_STREAM || type === h2.GOAWAY) throw new Error('a stream was ended')
      if (type !== h2.DATA) return
      let had = (bytes.get(stream) ?? 0) + payload.length
      for (; had >= message.length; had -= message.length) {
        received++
        socket.write(frame({ type, stream }, message))
      }
      bytes.set(stream, had)
    })
    socket.write(Buffer.concat([PREFACE, opening()]))
    for (let i = 0; i < STREAMS; i++) {
      const stream = 1 + 2 * i
      socket.write(frame({ type: h2.HEADERS, flags: h2.END_HEADERS, stream }, head))
      for (let j = 0; j < IN_FLIGHT; j++) socket.write(frame({ type: h2.DATA, stream }, message))
    }
  })
  await Promise.all(sockets)
  setTimeout(() => {
    console.log(JSON.stringify({ messages: received, seconds: (performance.now() - begin) / 1000 }))
    process.exit()
  }, seconds * 1000)
}

const [what, port, path, seconds] = process.argv.slice(2)
if (what === 'echo') echo(Number(port))
else if (what === 'load' && path !== undefined) await load(Number(port), path, Number(seconds))
else throw new Error('usage: node bench/grpc/stream.ts echo PORT | load PORT PATH SECONDS')
