/**
 * RESP2, the protocol of Redis: commands as bytes, and a reader of answers. The server is a stranger: lengths are believed
 * only as far as bytes have come, nesting and counts are bounded, and whatever is not exactly right is an error of
 * the connection, never one of the process.
 */
import { BlockReader, decimal, Garbled } from './wire.ts'

/** A simple string, an integer, a bulk string, an array, nothing, or an error. */
export type Reply = string | number | null | Buffer | RespError | readonly Reply[]

/** The server's refusal of one command, as a value. */
export class RespError {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }

  /** The first word, which names the kind: WRONGTYPE, OOM, MOVED. */
  get code(): string {
    return /^[A-Z]+/.exec(this.message)?.[0] ?? ''
  }
}

/** A server's own bound on a bulk string (`proto-max-bulk-len`). */
const MAX_BULK_BYTES = 512 * 1024 * 1024
const MAX_DEPTH = 8
/** Of one answer, arrays within arrays included: `CLUSTER SLOTS` of a torn cluster is the longest we ask for. */
const MAX_ITEMS = 1 << 20
/** Of all bulk strings of one answer together; what is beyond is read and let go, as what is longer than wanted is. */
const REPLY_BYTES = 64 * 1024 * 1024

interface Open {
  readonly items: Reply[]
  left: number
}

export class RespReader extends BlockReader {
  readonly #take: (reply: Reply) => void
  readonly #maxBytes: number
  /** Arrays that are not whole yet, the outermost first. */
  readonly #open: Open[] = []
  #items = 0
  #bytes = 0

  /** `maxBytes`: a longer bulk string is given as null. */
  constructor(take: (reply: Reply) => void, maxBytes: number) {
    super()
    this.#take = take
    this.#maxBytes = maxBytes
  }

  protected override line(bytes: Buffer, at: number, end: number): void {
    const type = bytes[at]
    const from = at + 1
    switch (type) {
      case 0x2b: // +
        return this.#give(bytes.toString('utf8', from, end))
      case 0x2d: // -
        return this.#give(new RespError(bytes.toString('utf8', from, end)))
      case 0x3a: // :
        return this.#give(decimal(bytes, from, end))
      case 0x24: // $
        return this.#bulk(decimal(bytes, from, end))
      case 0x2a: // *
        return this.#array(decimal(bytes, from, end))
      default:
        throw new Garbled(type === 0x15 ? TLS_ALERT : 'what it says is no RESP')
    }
  }

  protected override block(bytes: Buffer | undefined): void {
    this.#give(bytes ?? null)
  }

  #bulk(length: number): void {
    if (length === -1) return this.#give(null)
    if (length < 0 || length > MAX_BULK_BYTES) throw new Garbled(`a bulk string of ${length} bytes`)
    this.#bytes += length
    this.expect(length, length <= this.#maxBytes && this.#bytes <= Math.max(REPLY_BYTES, this.#maxBytes))
  }

  #array(length: number): void {
    if (length === -1) return this.#give(null)
    if (length === 0) return this.#give([])
    this.#items += length
    if (length < 0 || this.#items > MAX_ITEMS) throw new Garbled(`an array of ${length}`)
    if (this.#open.length >= MAX_DEPTH) throw new Garbled('arrays within arrays without end')
    this.#open.push({ items: [], left: length })
  }

  #give(value: Reply): void {
    let given = value
    for (let top = this.#open.at(-1); top; top = this.#open.at(-1)) {
      top.items.push(given)
      if (--top.left > 0) return
      this.#open.pop()
      given = top.items
    }
    this.#items = 0
    this.#bytes = 0
    this.#take(given)
  }
}

/** How a server that wants TLS answers plain text: with an alert. */
export const TLS_ALERT = 'it answers in TLS'

/** A command as it is written: texts joined, long values as they are. */
export function command(args: readonly (string | Uint8Array)[]): readonly (string | Uint8Array)[] {
  const parts: (string | Uint8Array)[] = []
  let text = `*${args.length}\r\n`
  for (const arg of args) {
    if (typeof arg === 'string') text += `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`
    else {
      parts.push(`${text}$${arg.length}\r\n`, arg)
      text = '\r\n'
    }
  }
  parts.push(text)
  return parts
}
