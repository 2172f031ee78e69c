/** HTTP/2 frame by frame, for what no client library would send. */
import { once } from 'node:events'
import net from 'node:net'
import { eventually } from './eventually.ts'

export const DATA = 0
export const HEADERS = 1
export const RST_STREAM = 3
export const SETTINGS = 4
export const PING = 6
export const GOAWAY = 7
export const WINDOW_UPDATE = 8
export const CONTINUATION = 9

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export type FieldList = readonly (readonly [name: string, value: string])[]

export const GET: FieldList = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'h'],
  [':path', '/whole'],
]

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** Fields as HPACK literals without indexing and without Huffman coding (RFC 7541, section 6.2.2). */
export function block(fields: FieldList): Buffer {
  const text = (value: string) => {
    const { length } = Buffer.from(value, 'latin1')
    const head = length < 127 ? [length] : [127, ...integer(length - 127)]
    return Buffer.concat([Buffer.from(head), Buffer.from(value, 'latin1')])
  }
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]))
}

function integer(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...integer(value >> 7)]
}

/** A number of 32 bits. */
export function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** The payload of SETTINGS with one setting. */
export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), number(value)])
}

/** Cuts bytes into frames, whatever pieces they come in. */
export class FrameList {
  readonly frames: Frame[] = []
  #bytes: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#bytes, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3)
      this.frames.push({
        type: bytes[3] as number,
        flags: bytes[4] as number,
        stream: bytes.readUInt32BE(5),
        payload: bytes.subarray(9, end),
      })
      bytes = bytes.subarray(end)
    }
    this.#bytes = bytes
  }
}

/** A connection on which frames are written as they are, behind the preface and SETTINGS. */
export class RawHttp2 {
  readonly socket: net.Socket
  readonly closed: Promise<void>
  readonly #list = new FrameList()

  private constructor(socket: net.Socket) {
    this.socket = socket
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => {}).on('data', (chunk: Buffer) => this.#list.push(chunk))
  }

  static async connect(port: number, settings: Buffer = Buffer.alloc(0)): Promise<RawHttp2> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    const raw = new RawHttp2(socket)
    await once(socket, 'connect')
    raw.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, settings)]))
    return raw
  }

  get isClosed(): boolean {
    return this.socket.destroyed
  }

  /** What came so far. */
  get seen(): readonly Frame[] {
    return this.#list.frames
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  write(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  send(type: number, flags: number, stream: number, payload?: Buffer): void {
    this.write(frame(type, flags, stream, payload))
  }

  /** A request without a body. */
  headers(stream: number, fields: FieldList): void {
    this.send(HEADERS, 5, stream, block(fields))
  }

  /** A request whose body follows. */
  open(stream: number, fields: FieldList): void {
    this.send(HEADERS, 4, stream, block(fields))
  }

  until(isIt: (frame: Frame) => boolean): Promise<Frame> {
    return eventually(() => {
      const found = this.seen.find(isIt)
      if (!found)
        throw new Error(`not among ${JSON.stringify(this.seen.map(({ type, stream }) => [type, stream]))}`)
      return found
    })
  }
}
