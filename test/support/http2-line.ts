/** The connection of one stream of HTTP/2, without a socket: takes what the stream sends. */
import { header, type RawPairs } from '../../src/core/call.ts'
import type { StreamConnection } from '../../src/data/ingress/h2/stream-connection.ts'
import { HpackDecoder } from '../../src/lib/http2/hpack-decoder.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { FakeClock } from './fake-clock.ts'

interface Asked {
  readonly method: string
  readonly target: string
  readonly headers: RawPairs
  readonly timeoutMs?: number | undefined
}

export class Http2Line implements StreamConnection {
  readonly peer = '127.0.0.1'
  readonly certificate = undefined
  // Bodies come at once.
  readonly wheel = new Wheel(new FakeClock())
  readonly bodyTimeoutMs = 1000
  readonly #decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1e6 })
  readonly #blocks: RawPairs[] = []
  readonly #body: Buffer[] = []

  readonly flow = {
    send: (_stream: unknown, bytes: Uint8Array) => {
      this.#body.push(Buffer.from(bytes))
      return bytes.length
    },
    waits: () => {},
  }

  sendFields(_stream: unknown, block: Buffer): void {
    this.#blocks.push(this.#decoder.decode(block).fields)
  }

  taken(): void {}
  sendReset(): void {}
  closed(): void {}

  read(method: string): { readonly headers: RawPairs; readonly text: string } {
    const [headers = []] = this.#blocks
    const text = Buffer.concat(this.#body).toString()
    const length = header(headers, 'content-length')
    if (method !== 'HEAD' && length !== undefined && Number(length) !== Buffer.byteLength(text))
      throw new Error(`content-length is ${length}, and the body has ${Buffer.byteLength(text)} bytes`)
    return { headers, text }
  }
}

/** The fields of the request, as a client of HTTP/2 writes them. */
export function http2Fields({ method, target, headers, timeoutMs }: Asked): RawPairs {
  const fields = headers.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text))
  const deadline = timeoutMs === undefined ? [] : ['x-request-deadline-ms', String(timeoutMs)]
  const pseudo = [':method', method, ':scheme', 'http', ':authority', 'h', ':path', target]
  return [...pseudo, ...fields, ...deadline]
}
