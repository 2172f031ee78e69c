/** Cuts answers with embeddings into rows, and writes answers from rows in the encoding that their caller wants. */
import type { RawPairs } from '../../../core/call.ts'
import type { Reply } from '../../../core/reply.ts'
import { Scratch } from '../../../lib/scratch.ts'
import { jsonReply } from '../../json/reply.ts'
import type { Row, RowAnswer } from '../../protocol.ts'
import { frameBytes, frameOf, SliceReader, sliceOf } from '../items.ts'
import { readUsage, shared, usageText } from '../usage.ts'
import { readAnswer, vectorAt } from './answer.ts'
import type { Encoding } from './request.ts'
import { numbersBound, type Vector, writeNumbers } from './vector.ts'

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
  if (!dimensions || !vectors.every((vector) => vector?.bytes.length === dimensions)) return undefined
  const { pattern, numbers } = readUsage(body, answer.usage)
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
  return jsonReply(200, writer.text(`}]${usageText(frame.pattern, slices)}}`).finish())
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
