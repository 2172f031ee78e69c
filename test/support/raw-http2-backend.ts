/** A backend of HTTP/2 frame by frame, for what no server library would send. */
import { once } from 'node:events'
import net from 'node:net'
import { eventually } from './eventually.ts'
import {
  block,
  type FieldList,
  type Frame,
  FrameList,
  frame,
  HEADERS,
  PREFACE,
  SETTINGS,
} from './raw-http2.ts'

/** One connection of the client. */
export class RawPeer {
  readonly socket: net.Socket
  /** Its number among the connections. */
  readonly count: number
  readonly #list = new FrameList()
  #preface = 0

  constructor(socket: net.Socket, count: number) {
    this.socket = socket
    this.count = count
  }

  /** What the client has sent so far. */
  get seen(): readonly Frame[] {
    return this.#list.frames
  }

  push(chunk: Buffer): void {
    const rest = Math.min(PREFACE.length - this.#preface, chunk.length)
    this.#preface += rest
    this.#list.push(chunk.subarray(rest))
  }

  write(bytes: Buffer): void {
    if (this.socket.writable) this.socket.write(bytes)
  }

  send(type: number, flags: number, stream: number, payload?: Uint8Array): void {
    this.write(frame(type, flags, stream, payload))
  }

  /** A head, trailers or an interim answer. */
  head(stream: number, fields: FieldList, isEnd = false): void {
    this.send(HEADERS, isEnd ? 5 : 4, stream, block(fields))
  }

  until(isIt: (one: Frame) => boolean): Promise<Frame> {
    return eventually(() => {
      const found = this.seen.find(isIt)
      if (!found)
        throw new Error(`not among ${JSON.stringify(this.seen.map((one) => [one.type, one.stream]))}`)
      return found
    })
  }
}

export interface RawHttp2Backend {
  readonly url: string
  readonly peers: readonly RawPeer[]
  close(): void
}

/** Calls `asked` with each stream that the client begins. `settings`: the payload of SETTINGS, with which it greets. */
export async function rawHttp2Backend(
  asked: (peer: RawPeer, stream: number) => unknown,
  { settings = Buffer.alloc(0), greet }: { settings?: Buffer; greet?: (peer: RawPeer) => void } = {},
): Promise<RawHttp2Backend> {
  const peers: RawPeer[] = []
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const peer = new RawPeer(socket, peers.length)
    peers.push(peer)
    let told = 0
    socket.on('error', () => {}).on('end', () => socket.end())
    socket.on('data', (chunk: Buffer) => {
      peer.push(chunk)
      while (told < peer.seen.length) {
        const { type, stream } = peer.seen[told++] as Frame
        if (type === HEADERS) asked(peer, stream)
      }
    })
    if (greet) greet(peer)
    else peer.send(SETTINGS, 0, 0, settings)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    peers,
    close() {
      for (const { socket } of peers) socket.destroy()
      server.close()
    },
  }
}
