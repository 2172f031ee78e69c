/**
 * Rows as they are kept: what answers of the model have in common in the frame, and in the slice the rest of the row's item, its share of the
 * usage and, where it has one, its vector.
 */
import { blobsAgree, textsAgree } from '../agree.ts'
import { pack, unpack } from '../packed.ts'
import type { RowAnswer } from '../protocol.ts'
import type { Vector } from './embeddings/vector.ts'
import type { UsagePattern } from './usage.ts'

/** Rows whose frames differ are of different models, or have vectors of different lengths. */
export interface ItemFrame {
  readonly common: string
  readonly pattern: UsagePattern
  readonly dimensions: number
}

/** A slice begins with: whether whole numbers are bare, the number of usages, and the lengths of the two texts. */
const HEAD_BYTES = 12
const MAX_TEXT = 1 << 30
const MAX_NUMBERS = 64

const TAG = 'items'

export function frameBytes({ common, pattern, dimensions }: ItemFrame): Buffer {
  return pack([TAG, String(dimensions), common, ...pattern].map((text) => Buffer.from(text, 'latin1')))
}

/** The frame read last: rows that are asked for together, or one after the other, mostly have the same. */
let lastBytes: Uint8Array = new Uint8Array(0)
let last: ItemFrame | undefined

export function frameOf(bytes: Uint8Array): ItemFrame | undefined {
  if (last && (bytes === lastBytes || Buffer.compare(bytes, lastBytes) === 0)) return last
  const [tag, dimensions, common, ...pattern] = (unpack(bytes) ?? []).map((part) =>
    Buffer.from(part).toString('latin1'),
  )
  if (tag !== TAG || dimensions === undefined || common === undefined) return undefined
  lastBytes = Buffer.from(bytes)
  last = { common, pattern, dimensions: Number(dimensions) }
  return last
}

interface SliceTexts {
  readonly usage: readonly number[]
  readonly own: string
  readonly rest: string
}

/** Undefined: it says more besides the vector than belongs to a row. */
export function sliceOf({ bytes, isBare }: Vector, { usage, own, rest }: SliceTexts): Buffer | undefined {
  if (own.length > MAX_TEXT || rest.length > MAX_TEXT || usage.length > MAX_NUMBERS) return undefined
  const slice = Buffer.allocUnsafe(HEAD_BYTES + usage.length * 8 + own.length + rest.length + bytes.length)
  slice[0] = isBare ? 1 : 0
  slice[1] = usage.length
  slice.writeUInt16LE(0, 2)
  slice.writeUInt32LE(own.length, 4)
  slice.writeUInt32LE(rest.length, 8)
  let at = HEAD_BYTES
  for (const number of usage) at = slice.writeDoubleLE(number, at)
  at += slice.write(own, at, 'latin1')
  at += slice.write(rest, at, 'latin1')
  slice.set(bytes, at)
  return slice
}

/** Where the parts of a slice are. */
export class SliceReader {
  readonly bytes: Buffer
  readonly isBare: boolean
  readonly numbers: number
  readonly #own: number
  readonly #rest: number
  readonly #vector: number

  constructor(slice: Uint8Array) {
    const bytes = Buffer.from(slice.buffer, slice.byteOffset, slice.length)
    this.bytes = bytes
    this.isBare = bytes[0] === 1
    this.numbers = bytes[1] as number
    this.#own = HEAD_BYTES + this.numbers * 8
    this.#rest = this.#own + bytes.readUInt32LE(4)
    this.#vector = this.#rest + bytes.readUInt32LE(8)
  }

  /** What it has cost, by its place in the pattern. */
  usage(i: number): number {
    return this.bytes.readDoubleLE(HEAD_BYTES + i * 8)
  }

  get own(): string {
    return this.bytes.toString('latin1', this.#own, this.#rest)
  }

  get rest(): string {
    return this.bytes.toString('latin1', this.#rest, this.#vector)
  }

  get vector(): Buffer {
    return this.bytes.subarray(this.#vector)
  }

  get base64(): string {
    return this.bytes.toString('base64', this.#vector, this.bytes.length)
  }
}

export function itemsAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (Buffer.compare(a.frame, b.frame) !== 0) return false
  const [left, right] = [new SliceReader(a.slice), new SliceReader(b.slice)]
  const texts = [left.rest, right.rest].map((rest) => Buffer.from(rest, 'latin1')) as [Buffer, Buffer]
  return textsAgree(...texts) && blobsAgree(left.vector, right.vector, 'FP32')
}
