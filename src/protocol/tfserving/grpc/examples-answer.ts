/**
 * Cuts ClassificationResponse and RegressionResponse into rows, one a result, and assembles them from rows. Both have a result
 * message with a list, and the ModelSpec beside it.
 */
import type { Reply } from '../../../core/reply.ts'
import { blobDifference, blobsAgree } from '../../agree.ts'
import { type Difference, Differences } from '../../difference.ts'
import { pack } from '../../packed.ts'
import { BYTES, FIXED32, MessageReader } from '../../protobuf/reader.ts'
import { WholeSource } from '../../protobuf/source.ts'
import { MessageWriter } from '../../protobuf/writer.ts'
import type { RowAnswer } from '../../protocol.ts'
import { needBytes, OtherFields, once } from './fields.ts'
import { CLASSIFY_FRAME, commonFrameOf, partsOf, REGRESS_FRAME } from './frames.ts'
import { messageReply } from './reply.ts'

interface ExamplesAnswer {
  /** A `Classifications` or a `Regression` each, as it is written. */
  readonly results: readonly Uint8Array[]
  /** The other fields of the result message, and of the answer. */
  readonly others: readonly [Uint8Array, Uint8Array]
}

function readAnswer(message: Uint8Array): ExamplesAnswer | undefined {
  const source = new WholeSource(message)
  const others = new OtherFields()
  const ofResult = new OtherFields()
  const results: Uint8Array[] = []
  let hasResult = false
  const fields = source.fields()
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field !== 1) {
      others.add(source, fields, from)
      continue
    }
    once(hasResult)
    hasResult = true
    const result = needBytes(fields).message()
    for (let inner = result.at; result.next(); inner = result.at) {
      if (result.field === 1) results.push(needBytes(result).bytes())
      else ofResult.add(source, result, inner)
    }
  }
  return hasResult ? { results, others: [ofResult.join(), others.join()] } : undefined
}

type Verb = 'classify' | 'regress'

/** The answer, if it has so many results. Throws if one of them is none. */
function wholeAnswer(message: Uint8Array, count: number | undefined, verb: Verb): ExamplesAnswer | undefined {
  const answer = readAnswer(message)
  if (answer?.results.length !== count) return undefined
  const read = verb === 'classify' ? classesOf : regressionOf
  for (const result of answer?.results ?? []) read(result)
  return answer
}

/** Whether there is a result for each example. */
export function isWholeExamples(message: Uint8Array, count: number | undefined, verb: Verb): boolean {
  return wholeAnswer(message, count, verb) !== undefined
}

/** A MultiInferenceResponse has a result for each task. */
export function isWholeMultiInference(message: Uint8Array, count: number | undefined): boolean {
  const fields = new MessageReader(message)
  let results = 0
  while (fields.next()) if (fields.field === 1 && fields.wire === BYTES) results++
  return results === count
}

export function cutExamples(
  message: Uint8Array,
  count: number,
  verb: Verb,
): readonly RowAnswer[] | undefined {
  const answer = wholeAnswer(message, count, verb)
  if (!answer) return undefined
  const frame = pack([tagOf(verb), ...answer.others])
  return answer.results.map((slice) => ({ frame, slice }))
}

function tagOf(verb: Verb): Buffer {
  return verb === 'classify' ? CLASSIFY_FRAME : REGRESS_FRAME
}

export function assembleExamples(answers: readonly RowAnswer[], verb: Verb): Reply | undefined {
  const frame = commonFrameOf(answers, areEqual)
  const [ofResult, others] = (frame && partsOf(frame, tagOf(verb))) ?? []
  if (!ofResult || !others) return undefined
  const result = new MessageWriter()
  for (const { slice } of answers) result.bytes(1, slice)
  return messageReply(new MessageWriter().message(1, result.raw(ofResult)).raw(others))
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

export function examplesAgree(a: RowAnswer, b: RowAnswer): boolean {
  if (!areEqual(a.frame, b.frame)) return false
  const read = partsOf(a.frame, CLASSIFY_FRAME) ? classesOf : regressionOf
  const [left, right] = [read(a.slice), read(b.slice)]
  return areEqual(left.rest, right.rest) && blobsAgree(left.scores, right.scores, 'FP32')
}

interface Scored {
  /** Floats, little-endian; 0 where none is written. */
  readonly scores: Uint8Array
  readonly rest: Uint8Array
}

/** `Classifications`: classes with a label and a score each. */
function classesOf(slice: Uint8Array): Scored {
  const fields = new MessageReader(slice)
  const scores: Uint8Array[] = []
  const rest: Uint8Array[] = []
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field !== 1 || fields.wire !== BYTES) rest.push(slice.subarray(from, fields.at))
    else {
      const scored = scoreIn(fields.bytes(), 2)
      scores.push(scored.scores)
      rest.push(scored.rest)
    }
  }
  return { scores: Buffer.concat(scores), rest: pack(rest) }
}

function regressionOf(slice: Uint8Array): Scored {
  return scoreIn(slice, 1)
}

const ZERO = new Uint8Array(4)

/** A message with one float, in this field. */
function scoreIn(message: Uint8Array, field: number): Scored {
  const fields = new MessageReader(message)
  const rest: Uint8Array[] = []
  let scores: Uint8Array = ZERO
  for (let from = fields.at; fields.next(); from = fields.at) {
    if (fields.field === field && fields.wire === FIXED32) scores = message.subarray(fields.start, fields.end)
    else rest.push(message.subarray(from, fields.at))
  }
  return { scores, rest: pack(rest) }
}

/** How two answers differ in their results; the version that has answered is not compared. Throws if one cannot be read. */
export function compareExamples(a: Uint8Array, b: Uint8Array): Difference | undefined {
  const [left, right] = [readAnswer(a)?.results, readAnswer(b)?.results]
  if (left?.length !== right?.length) return { what: 'shape' }
  const read = left?.some(isRegression) ? regressionOf : classesOf
  const found = new Differences()
  for (const [row, slice] of (left ?? []).entries()) {
    const [one, other] = [read(slice), read(right?.[row] as Uint8Array)]
    const isOneText = areEqual(one.rest, other.rest)
    found.add('results', row, isOneText ? blobDifference(one.scores, other.scores, 'FP32') : { what: 'text' })
  }
  return found.found
}

/** A `Regression` is one float. */
function isRegression(result: Uint8Array): boolean {
  return result.length > 0 && ((result[0] as number) & 7) === FIXED32
}
