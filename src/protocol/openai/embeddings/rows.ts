/** Cuts answers with embeddings into rows, and writes answers from rows in the encoding that their caller wants. */
import type { RawPairs } from '../../../core/call.ts'
import type { Reply } from '../../../core/reply.ts'
import { Scratch } from '../../../lib/scratch.ts'
import { blobsAgree } from '../../agree.ts'
import { jsonReply } from '../../json/reply.ts'
import { pack, unpack } from '../../packed.ts'
import type { Row, RowAnswer } from '../../protocol.ts'
import { readUsage, shared, type UsagePattern } from '../usage.ts'
import { type EmbeddingsAnswer, readAnswer, vectorAt } from './answer.ts'
import type { Encoding } from './request.ts'
import { numbersBound, type Vector, writeNumbers } from './vector.ts'

/** Rows whose frames differ are of different models, or have vectors of different lengths. */
interface EmbeddingsFrame {
  readonly common: string
  readonly pattern: UsagePattern
  readonly dimensions: number
}

/** A slice begins with: whether whole numbers are bare, the number of usages, and the lengths of the two texts. */
const HEAD_BYTES = 8
const MAX_TEXT = 0xffff
const MAX_NUMBERS = 64

/** `rows`: what was asked for, in order; left out: the usage is shared out evenly. */
export function cutEmbeddings(
  reply: Reply,
  body: Uint8Array,
  count: number,
  rows?: readonly Row[],
): readonly RowAnswer[] | undefined {
  const answer = reply.status === 200 ? readAnswer(body) : undefined
  if (answer?.items.length !== count) return undefined
  const vectors = answer.items.map(({ embedding }) => vectorAt(body, embedding))
  const dimensions = vectors[0]?.bytes.length
  if (dimensions === undefined || !vectors.every((vector) => vector?.bytes.length === dimensions))
    return undefined
  const { pattern, numbers } = usageOf(answer, body)
  const frame = frameBytes({ common: answer.common, pattern, dimensions })
  const weights = Array.from({ length: count }, (_, i) => rows?.[i]?.wire.length ?? 1)
  const shares = numbers.map((number) => shared(number, weights))
  const answers = new Array<RowAnswer>(count)
  for (const [at, { index, rest }] of answer.items.entries()) {
    const usage = shares.map((share) => share[index] as number)
    const slice = sliceOf(vectors[at] as Vector, { usage, own: answer.own, rest })
    if (!slice) return undefined
    answers[index] = { frame, slice }
  }
  return answers
}

function usageOf({ usage }: EmbeddingsAnswer, body: Uint8Array) {
  if (!usage) return { pattern: [], numbers: [] }
  return readUsage(Buffer.from(body.subarray(usage.start, usage.end)).toString('latin1'))
}

const TAG = 'embeddings'

function frameBytes({ common, pattern, dimensions }: EmbeddingsFrame): Buffer {
  return pack([TAG, String(dimensions), common, ...pattern].map((text) => Buffer.from(text, 'latin1')))
}

/** The frame read last: rows that are asked for together, or one after the other, mostly have the same. */
let lastBytes: Uint8Array = new Uint8Array(0)
let last: EmbeddingsFrame | undefined

function frameOf(bytes: Uint8Array): EmbeddingsFrame | undefined {
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
function sliceOf({ bytes, isBare }: Vector, { usage, own, rest }: SliceTexts): Buffer | undefined {
  if (own.length > MAX_TEXT || rest.length > MAX_TEXT || usage.length > MAX_NUMBERS) return undefined
  const slice = Buffer.allocUnsafe(HEAD_BYTES + usage.length * 8 + own.length + rest.length + bytes.length)
  slice[0] = isBare ? 1 : 0
  slice[1] = usage.length
  slice.writeUInt16LE(own.length, 2)
  slice.writeUInt16LE(rest.length, 4)
  slice.writeUInt16LE(0, 6)
  let at = HEAD_BYTES
  for (const number of usage) at = slice.writeDoubleLE(number, at)
  at += slice.write(own, at, 'latin1')
  at += slice.write(rest, at, 'latin1')
  slice.set(bytes, at)
  return slice
}

/** Where the parts of a slice are. */
class SliceReader {
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
    this.#rest = this.#own + bytes.readUInt16LE(2)
    this.#vector = this.#rest + bytes.readUInt16LE(4)
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

export function embeddingsAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (Buffer.compare(a.frame, b.frame) !== 0) return false
  const [left, right] = [new SliceReader(a.slice), new SliceReader(b.slice)]
  return left.rest === right.rest && blobsAgree(left.vector, right.vector, 'FP32')
}

const writing = new Scratch(16 << 10)
const KEEP_BYTES = 1 << 20

/** Writes texts and vectors one behind the other. */
class EmbeddingsWriter {
  at = 0

  constructor() {
    if (writing.bytes.length > KEEP_BYTES) writing.shrink()
  }

  /** A text of one byte a character. */
  text(text: string): this {
    writing.fit(this.at + text.length, this.at)
    this.at += writing.bytes.write(text, this.at, 'latin1')
    return this
  }

  numbers(vector: Vector): this {
    writing.fit(this.at + numbersBound(vector.bytes.length / 4), this.at)
    this.at = writeNumbers(vector, writing.bytes, this.at)
    return this
  }

  finish(): Buffer {
    const bytes = Buffer.allocUnsafe(this.at)
    writing.bytes.copy(bytes, 0, 0, this.at)
    return bytes
  }
}

/** Undefined: the rows are of different answers. */
export function assembleEmbeddings(answers: readonly RowAnswer[], encoding: Encoding): Reply | undefined {
  const [first] = answers
  const frame = first && frameOf(first.frame)
  if (!first || !frame) return undefined
  for (const { frame: bytes } of answers)
    if (bytes !== first.frame && Buffer.compare(bytes, first.frame) !== 0) return undefined
  const slices = answers.map(({ slice }) => new SliceReader(slice))
  const writer = new EmbeddingsWriter()
  const { own } = slices[0] as SliceReader
  let before = `{${own === '' ? '' : `${own},`}${frame.common === '' ? '' : `${frame.common},`}"data":[{`
  for (const [index, slice] of slices.entries()) {
    const { rest } = slice
    const item = `${before}${rest === '' ? '' : `${rest},`}"index":${index},"embedding":`
    if (encoding === 'base64') writer.text(`${item}"${slice.base64}"`)
    else writer.text(item).numbers({ bytes: slice.vector, isBare: slice.isBare })
    before = '},{'
  }
  return jsonReply(200, writer.text(`}]${usageMember(frame, slices)}}`).finish())
}

function usageMember({ pattern }: EmbeddingsFrame, slices: readonly SliceReader[]): string {
  if (pattern.length === 0) return ''
  let text = ',"usage":'
  for (const [i, before] of pattern.entries()) {
    text += before
    if (i === pattern.length - 1) break
    let sum = 0
    for (const slice of slices) sum += slice.usage(i)
    text += String(sum)
  }
  return text
}

/** The answer with its vectors in another encoding, and all else as it came; undefined: it has what cannot be written so. */
export function recoded(reply: Reply, body: Uint8Array, encoding: Encoding): Reply | undefined {
  const answer = readAnswer(body)
  if (!answer) return undefined
  const writer = new EmbeddingsWriter()
  const source = Buffer.from(body.buffer, body.byteOffset, body.length)
  let at = 0
  for (const { embedding } of answer.items) {
    const vector = vectorAt(body, embedding)
    if (!vector) return undefined
    writer.text(source.toString('latin1', at, embedding.start))
    if (encoding === 'float') writer.numbers(vector)
    else writer.text(`"${Buffer.from(vector.bytes).toString('base64')}"`)
    at = embedding.end
  }
  const bytes = writer.text(source.toString('latin1', at)).finish()
  const { status } = reply
  return {
    status,
    headers: [...besideLength(reply.headers), 'content-length', String(bytes.length)],
    body: bytes,
  }
}

/** Fields about the bytes of the body. */
const OF_BYTES = new Set(['content-length', 'content-md5', 'content-digest', 'digest', 'repr-digest', 'etag'])

function besideLength(headers: RawPairs): string[] {
  return headers.filter((_, i) => !OF_BYTES.has((headers[i & ~1] as string).toLowerCase()))
}
