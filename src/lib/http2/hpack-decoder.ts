/**
 * Decodes the field blocks of one connection (HPACK, RFC 7541). A peer that repeats its head sends the same few bytes, which refer to
 * fields in the table: while the table stays as it is they mean the same, and the same list is given again. Bytes that do not refer
 * to the table mean the same at any time, though they may put the same fields into it again.
 */
import { Generations } from '../generations.ts'
import { COMPRESSION_ERROR, ConnectionError, DEFAULT_TABLE_BYTES } from './frames.ts'
import { decodeHuffman } from './huffman.ts'
import { STATIC_FIELDS } from './static-table.ts'

/** A field block that is no field block: an error of the connection (COMPRESSION_ERROR), whose tables differ from now on. */
export class CompressionError extends ConnectionError {
  constructor(reason: string) {
    super(COMPRESSION_ERROR, reason)
    this.name = 'CompressionError'
  }
}

/** What a field takes in the table besides its bytes (RFC 7541, section 4.1), and in a list of fields (RFC 9113, section 6.5.2). */
const FIELD_OVERHEAD = 32
/** Longer blocks are decoded each time. */
const MAX_KNOWN_BYTES = 512
const MAX_KNOWN = 32

interface Field {
  readonly name: string
  readonly value: string
}

export interface Decoded {
  /** Names and values in turn, one character a byte. */
  readonly fields: readonly string[]
  /** The list was longer than allowed, and has been cut. */
  readonly isCut: boolean
}

/** A block that was decoded. */
interface Known {
  readonly decoded: Decoded
  /** Fields that it puts into the table. */
  readonly kept: readonly Field[]
  /** How often the table had changed; it means the same while that is so. Undefined: at any time. */
  readonly at: number | undefined
}

export class HpackDecoder {
  readonly #maxTableBytes: number
  readonly #maxListBytes: number
  /** The newest field is the last. */
  readonly #table: Field[] = []
  #tableBytes = 0
  /** What the peer has set, at most `maxTableBytes`. */
  #limit: number
  readonly #known = new Generations<Known>(MAX_KNOWN)
  /** How often the table has changed. */
  #changes = 0
  /** Of the present block: it refers to the table, or resizes it; and the fields that it puts into the table. */
  #isTied = false
  #kept: Field[] = []
  #block: Uint8Array = new Uint8Array(0)
  #at = 0

  /** `maxListBytes`: fields beyond it are dropped. `maxTableBytes`: SETTINGS_HEADER_TABLE_SIZE, if it was sent. */
  constructor({
    maxListBytes,
    maxTableBytes = DEFAULT_TABLE_BYTES,
  }: {
    maxListBytes: number
    maxTableBytes?: number
  }) {
    this.#maxTableBytes = maxTableBytes
    this.#maxListBytes = maxListBytes
    this.#limit = maxTableBytes
  }

  /** Throws `CompressionError`. */
  decode(block: Buffer): Decoded {
    const key = block.length <= MAX_KNOWN_BYTES ? block.toString('latin1') : undefined
    const known = key === undefined ? undefined : this.#known.get(key)
    if (known && (known.at === undefined || known.at === this.#changes)) {
      for (const field of known.kept) this.#keep(field)
      return known.decoded
    }
    this.#isTied = false
    this.#kept = []
    const before = this.#changes
    const decoded = this.#read(block)
    // A block that refers to a table, and has changed it, means something else the next time.
    if (key !== undefined && (!this.#isTied || before === this.#changes))
      this.#known.set(key, { decoded, kept: this.#kept, at: this.#isTied ? before : undefined })
    return decoded
  }

  #read(block: Uint8Array): Decoded {
    this.#block = block
    this.#at = 0
    const fields: string[] = []
    let left = this.#maxListBytes
    while (this.#at < block.length) {
      const byte = block[this.#at] as number
      if ((byte & 0xe0) === 0x20) {
        if (fields.length > 0 || left < this.#maxListBytes)
          throw new CompressionError('the table is resized behind a field')
        this.#resize(this.#integer(5))
        continue
      }
      const { name, value } = this.#field(byte)
      left -= name.length + value.length + FIELD_OVERHEAD
      if (left >= 0) fields.push(name, value)
    }
    return { fields, isCut: left < 0 }
  }

  #field(byte: number): Field {
    if (byte & 0x80) return this.#fieldAt(this.#integer(7))
    const isKept = (byte & 0x40) !== 0
    const index = this.#integer(isKept ? 6 : 4)
    const name = index === 0 ? this.#string() : this.#fieldAt(index).name
    const field = { name, value: this.#string() }
    if (isKept) {
      this.#kept.push(field)
      this.#keep(field)
    }
    return field
  }

  #fieldAt(index: number): Field {
    if (index === 0) throw new CompressionError('a field has the index 0')
    if (index <= STATIC.length) return STATIC[index - 1] as Field
    this.#isTied = true
    const field = this.#table[this.#table.length - (index - STATIC.length)]
    if (!field) throw new CompressionError(`the table has no field ${index}`)
    return field
  }

  #keep(field: Field): void {
    const bytes = sizeOf(field)
    this.#evict(this.#limit - bytes)
    this.#changes++
    // A field larger than the table empties it (RFC 7541, section 4.4).
    if (bytes > this.#limit) return
    this.#table.push(field)
    this.#tableBytes += bytes
  }

  #resize(limit: number): void {
    if (limit > this.#maxTableBytes) throw new CompressionError('the table is larger than was agreed')
    this.#isTied = true
    this.#limit = limit
    this.#evict(limit)
    this.#changes++
  }

  #evict(maxBytes: number): void {
    while (this.#tableBytes > Math.max(0, maxBytes)) this.#tableBytes -= sizeOf(this.#table.shift() as Field)
  }

  #string(): string {
    const isHuffman = ((this.#block[this.#at] as number) & 0x80) !== 0
    const length = this.#integer(7)
    const start = this.#at
    if (length > this.#block.length - start) throw new CompressionError('a string is cut')
    this.#at += length
    const block = this.#block
    if (!isHuffman) return latin1(block, start, this.#at)
    const text = decodeHuffman(block, start, this.#at)
    if (text === undefined) throw new CompressionError('a string is not in the Huffman code')
    return text
  }

  /** An integer whose first byte has `bits` of it (RFC 7541, section 5.1). */
  #integer(bits: number): number {
    const block = this.#block
    if (this.#at >= block.length) throw new CompressionError('an integer is cut')
    const mask = (1 << bits) - 1
    let value = (block[this.#at++] as number) & mask
    if (value < mask) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= block.length) throw new CompressionError('an integer is cut')
      const byte = block[this.#at++] as number
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new CompressionError('an integer is too large')
  }
}

const STATIC: readonly Field[] = STATIC_FIELDS.map(([name, value]) => ({ name, value }))

function sizeOf({ name, value }: Field): number {
  return name.length + value.length + FIELD_OVERHEAD
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}
