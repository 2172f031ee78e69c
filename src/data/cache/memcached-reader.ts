/** Memcached's text protocol: a strict reader of its answers. One is a line, or values and facts up to `END`. */
import { BlockReader, Garbled } from './wire.ts'

export interface MemcachedReply {
  /** STORED, DELETED, END, SERVER_ERROR …: the line that ends the answer. */
  readonly line: string
  /** By key; of a value that is longer than wanted undefined. */
  readonly values: ReadonlyMap<string, Buffer | undefined>
  /** Of `stats`. */
  readonly stats: ReadonlyMap<string, string>
}

/** The largest item a server can be told to take (`-I`). */
const MAX_ITEM_BYTES = 1024 * 1024 * 1024
/** Of one answer; more than is ever asked for at once. */
const MAX_ITEMS = 4_096
const REPLY_BYTES = 64 * 1024 * 1024

const FINAL =
  /^(?:STORED|NOT_STORED|EXISTS|NOT_FOUND|DELETED|TOUCHED|OK|END|ERROR|RESET|VERSION [\x20-\x7e]{0,100}|(?:CLIENT|SERVER)_ERROR [\x20-\x7e]{0,500})$/
const VALUE = /^VALUE ([\x21-\x7e]{1,250}) \d{1,10} (\d{1,10})(?: \d{1,20})?$/
const STAT = /^STAT ([\x21-\x7e]{1,100}) ([\x20-\x7e]{0,1000})$/

export class MemcachedReader extends BlockReader {
  readonly #take: (reply: MemcachedReply) => void
  readonly #maxBytes: number
  #values = new Map<string, Buffer | undefined>()
  #stats = new Map<string, string>()
  #bytes = 0
  #key = ''

  /** `maxBytes`: a longer value is given as undefined. */
  constructor(take: (reply: MemcachedReply) => void, maxBytes: number) {
    super()
    this.#take = take
    this.#maxBytes = maxBytes
  }

  protected override line(bytes: Buffer, from: number, end: number): void {
    const text = bytes.toString('latin1', from, end)
    const [, key, size] = VALUE.exec(text) ?? []
    if (key !== undefined) return this.#begin(key, Number(size))
    const [, name, value] = STAT.exec(text) ?? []
    if (name !== undefined) this.#stats.set(name, value as string)
    else if (!FINAL.test(text)) throw new Garbled('what it says is not the protocol of memcached')
    if (this.#stats.size > MAX_ITEMS) throw new Garbled('facts without end')
    if (name !== undefined) return
    const reply = { line: text, values: this.#values, stats: this.#stats }
    this.#values = new Map()
    this.#stats = new Map()
    this.#bytes = 0
    this.#take(reply)
  }

  protected override block(bytes: Buffer | undefined): void {
    this.#values.set(this.#key, bytes)
  }

  #begin(key: string, size: number): void {
    if (size > MAX_ITEM_BYTES || this.#values.size >= MAX_ITEMS) throw new Garbled(`a value of ${size} bytes`)
    this.#key = key
    this.#bytes += size
    this.expect(size, size <= this.#maxBytes && this.#bytes <= Math.max(REPLY_BYTES, this.#maxBytes))
  }
}
