/**
 * Reads requests for embeddings. A text, a list of texts, a list of tokens and a list of such lists are all rows of one input:
 * a list of tokens is one row, and a text is the same row as a list of that one text. In which encoding the vectors are wanted
 * is no part of a key, since vectors are written for each caller.
 */
import type { Call } from '../../../core/call.ts'
import type { Chunks } from '../../../core/chunks.ts'
import type { Digest } from '../../../core/key.ts'
import { COMMA, OPEN_ARRAY, QUOTE } from '../../json/bytes.ts'
import { canonicalBytes } from '../../json/canonical.ts'
import {
  type JsonProblem,
  memberDigest,
  memberPrefix,
  type ObjectMember,
  objectDigest,
} from '../../json/document.ts'
import { Column, elementRows, MAX_ROWS, place } from '../../json/rows.ts'
import { Cursor } from '../../json/scan.ts'
import { CANONICAL, type Span } from '../../json/span.ts'
import { streamMembers } from '../../json/steps.ts'
import { Preimage, SpanHasher } from '../../preimage.ts'
import type { Reading, ReadOptions, Row } from '../../protocol.ts'
import { RowPlan } from '../../row-plan.ts'
import { callPrefix, isDelivery, latin1, quickDigest, unreadable } from '../members.ts'
import type { ApiOperation, OpenaiNotes } from '../operation.ts'

/** How the vectors of an answer are written. */
export type Encoding = 'float' | 'base64'

export interface EmbeddingsNotes extends OpenaiNotes {
  /** What the caller wants; undefined: a form that is not known here, and in which answers are kept as they are. */
  readonly encoding: Encoding | undefined
  /** How many inputs there are; undefined: unknown. */
  readonly count: number | undefined
  /** Where the input is in the body; undefined: it is read as a whole. */
  readonly input?: Span
}

const FORMAT = 'encoding_format'
/** By these vectors are of other numbers than 32-bit floats, or written in another order. */
const NUMBERS = new Set(['embed_dtype', 'endianness', 'output_dtype', 'embedding_types', 'embedding_type'])

/** The rows of an input, before they have keys. */
type InputRows =
  | { readonly kind: 'one'; readonly span: Span; readonly isText: boolean }
  | { readonly kind: 'list'; readonly span: Span; readonly column: Column }
  /** No input that has rows. */
  | { readonly kind: 'other'; readonly span: Span }

interface EmbeddingsRequest {
  readonly members: readonly ObjectMember[]
  readonly input: InputRows | undefined
  readonly encoding: Encoding | undefined
}

export function readEmbeddings(
  operation: ApiOperation,
  call: Call,
  body: Uint8Array,
  { seed, split, onlyBatches = false }: ReadOptions,
): Reading {
  const bypass = unreadable(call)
  if (bypass) return bypass
  const request = readRequest(body)
  if ('problem' in request) return { bypass: request.problem }
  const prefix = callPrefix(call, seed)
  const { input, encoding } = request
  const count = countOf(input)
  const notes: EmbeddingsNotes = { operation, encoding, count, ...(input && { input: input.span }) }
  const isSplit = split && count !== undefined && encoding !== undefined && !(onlyBatches && count === 1)
  const common = commonDigest(prefix, body, request)
  if (typeof common !== 'string') return { bypass: common.problem }
  if (!isSplit || !input) {
    const whole = wholeDigest(prefix, body, { common, request })
    if (typeof whole !== 'string') return { bypass: whole.problem }
    return { whole, answer: answerDigest([whole], 'whole', encoding), common: notes }
  }
  const rows = rowsOf(common, body, input)
  if ('problem' in rows) return { bypass: rows.problem }
  return new RowPlan(rows, {
    batch: () =>
      new Preimage()
        .latin1(common)
        .text(isText(body, input) ? 'texts' : 'tokens')
        .digest(),
    whole: () => {
      const whole = wholeDigest(prefix, body, { common, request })
      // A body from which rows were read has a canonical form.
      if (typeof whole !== 'string')
        throw new Error(`a body read into rows cannot be read whole: ${whole.problem}`)
      return whole
    },
    answer: () =>
      answerDigest(
        rows.map(({ digest }) => digest),
        'rows',
        encoding,
      ),
    common: notes,
  })
}

/** Of what an answer is made: these entries, in the encoding that the caller wants. */
function answerDigest(
  entries: readonly Digest[],
  kind: 'whole' | 'rows',
  encoding: Encoding | undefined,
): Digest {
  const preimage = new Preimage().text(kind).text(encoding ?? '')
  for (const entry of entries) preimage.latin1(entry)
  return preimage.digest()
}

/** The same without rows, of a long body in steps. */
export function* readEmbeddingsChunks(
  operation: ApiOperation,
  call: Call,
  body: Chunks,
  { seed }: ReadOptions,
): Generator<void, Reading> {
  const bypass = unreadable(call)
  if (bypass) return bypass
  const prefix = callPrefix(call, seed)
  const members = yield* streamMembers(body.pieces(), prefix)
  if ('problem' in members) return { bypass: members.problem }
  const encoding = encodingOf(prefix, members)
  const notes: EmbeddingsNotes = { operation, encoding, count: undefined }
  const input = members.get('input')
  for (const key of members.keys()) if (!isCovered(key, encoding)) members.delete(key)
  return { whole: wholeOf(othersDigest(prefix, members), input), common: notes }
}

/** The body's encoding for callers whose body is not read into a plan. */
export function wantedEncoding(body: Uint8Array): Encoding | undefined {
  const request = readRequest(body)
  return 'problem' in request ? undefined : request.encoding
}

function readRequest(body: Uint8Array): EmbeddingsRequest | JsonProblem {
  const cursor = new Cursor(body)
  const members: ObjectMember[] = []
  let input: InputRows | undefined
  let encoding: Encoding | undefined = 'float'
  const read = cursor.members((key) => {
    const start = (cursor.peek(), cursor.pos)
    if (key === 'input') {
      input = readInput(cursor)
      if (!input) return false
    } else if (!cursor.skip()) return false
    const span = cursor.span(start)
    members.push({ key, span })
    if (key === FORMAT) encoding = encoding && written(body, span)
    else if (NUMBERS.has(key)) encoding = undefined
    return true
  })
  return read && cursor.finish() ? { members, input, encoding } : { problem: cursor.problem ?? 'unparsable' }
}

function written(body: Uint8Array, span: Span): Encoding | undefined {
  const canonical = canonicalBytes(body, span)
  if (typeof canonical === 'string') return undefined
  const text = latin1(canonical, 0, canonical.length)
  return text === '"float"' ? 'float' : text === '"base64"' ? 'base64' : undefined
}

function readInput(cursor: Cursor): InputRows | undefined {
  const first = cursor.peek()
  const start = cursor.pos
  const { bytes } = cursor
  if (first === OPEN_ARRAY && !isOfNumbers(bytes, start)) {
    const column = new Column('input')
    if (!column.read(cursor)) return undefined
    return { kind: hasRows(bytes, column) ? 'list' : 'other', span: cursor.span(start), column }
  }
  if (!cursor.skip()) return undefined
  const span = cursor.span(start)
  const isRow = first === QUOTE || first === OPEN_ARRAY
  return isRow ? { kind: 'one', span, isText: first === QUOTE } : { kind: 'other', span }
}

/** Whether the array at `start` begins with a number, and so is the tokens of one text. */
function isOfNumbers(bytes: Uint8Array, start: number): boolean {
  let i = start + 1
  while (i < bytes.length && (bytes[i] as number) <= 0x20) i++
  return isNumber(bytes[i])
}

/** Whether a value that begins with this byte is a number. */
function isNumber(c: number | undefined): boolean {
  return c !== undefined && ((c >= 0x30 && c <= 0x39) || c === 0x2d)
}

/** Texts alone, or lists of tokens alone: what else there is servers refuse, or read in ways of their own. */
function hasRows(bytes: Uint8Array, column: Column): boolean {
  if (column.count === 0 || column.count > MAX_ROWS) return false
  const at = place()
  const first = bytes[column.at(0, at).start]
  if (first !== QUOTE && first !== OPEN_ARRAY) return false
  for (let i = 1; i < column.count; i++) if (bytes[column.at(i, at).start] !== first) return false
  return true
}

function countOf(input: InputRows | undefined): number | undefined {
  if (input?.kind === 'one') return 1
  return input?.kind === 'list' ? input.column.count : undefined
}

function isText(body: Uint8Array, input: InputRows): boolean {
  if (input.kind === 'one') return input.isText
  return input.kind === 'list' && body[input.column.at(0, place()).start] === QUOTE
}

/** What all keys cover besides the input: every member but its delivery. */
function commonDigest(
  prefix: Digest,
  body: Uint8Array,
  { members, encoding }: EmbeddingsRequest,
): Digest | JsonProblem {
  const digests = new Map<string, Digest>()
  for (const member of members) {
    if (!isCovered(member.key, encoding)) continue
    const digest = quickDigest(prefix, body, member)
    if (typeof digest !== 'string') return digest
    digests.set(member.key, digest)
  }
  return othersDigest(prefix, digests)
}

function isCovered(key: string, encoding: Encoding | undefined): boolean {
  return key !== 'input' && !isDelivery(key) && !(key === FORMAT && encoding !== undefined)
}

function othersDigest(prefix: Digest, digests: ReadonlyMap<string, Digest>): Digest {
  return rowsPrefix(digests.size === 0 ? prefix : objectDigest(prefix, digests))
}

const known = new Map<Digest, Digest>()
const MAX_KNOWN = 256

/** Most requests ask the same of their inputs. */
function rowsPrefix(common: Digest): Digest {
  const found = known.get(common)
  if (found !== undefined) return found
  const digest = new Preimage().latin1(common).text('rows').digest()
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(common, digest)
  return digest
}

function rowsOf(common: Digest, body: Uint8Array, input: InputRows): readonly Row[] | JsonProblem {
  if (input.kind === 'list') return elementRows(common, body, input.column)
  const { start, end } = input.span
  const digest = new SpanHasher(common).span(body, input.span)
  return typeof digest === 'string' ? [{ digest, wire: body.subarray(start, end) }] : digest
}

/** The key of the whole request. */
function wholeDigest(
  prefix: Digest,
  body: Uint8Array,
  { common, request }: { readonly common: Digest; readonly request: EmbeddingsRequest },
): Digest | JsonProblem {
  const { members, input } = request
  const member = members.find(({ key }) => key === 'input')
  if (!member) return wholeOf(common, undefined)
  const digest = input?.kind === 'one' ? listDigest(prefix, body, member) : memberDigest(prefix, body, member)
  return typeof digest === 'string' ? wholeOf(common, digest) : digest
}

/** `input`: its digest; undefined: the request has none. */
function wholeOf(common: Digest, input: Digest | undefined): Digest {
  return new Preimage()
    .latin1(common)
    .latin1(input ?? '')
    .digest()
}

const OPEN = Buffer.from('[')
const CLOSE = Buffer.from(']')

/** The digest of the member as if its value were the only element of a list. */
function listDigest(prefix: Digest, body: Uint8Array, { key, span }: ObjectMember): Digest | JsonProblem {
  const canonical = canonicalBytes(body, span)
  if (typeof canonical === 'string') return { problem: canonical }
  const hasher = new SpanHasher(memberPrefix(prefix, key))
  hasher.begin()
  hasher.add(OPEN, 0, 1)
  hasher.add(canonical, 0, canonical.length)
  hasher.add(CLOSE, 0, 1)
  return hasher.digest()
}

function encodingOf(prefix: Digest, members: ReadonlyMap<string, Digest>): Encoding | undefined {
  for (const key of members.keys()) if (NUMBERS.has(key)) return undefined
  const given = members.get(FORMAT)
  if (given === undefined) return 'float'
  const isIt = (encoding: Encoding) => given === formatDigest(prefix, encoding)
  return isIt('float') ? 'float' : isIt('base64') ? 'base64' : undefined
}

function formatDigest(prefix: Digest, encoding: Encoding): Digest | JsonProblem {
  const text = Buffer.from(`"${encoding}"`)
  const span: Span = { start: 0, end: text.length, spelling: CANONICAL, shape: 0 }
  return memberDigest(prefix, text, { key: FORMAT, span })
}

/** Writes the caller's request with other inputs; everything else stays as the caller wrote it. */
export function joinInputs(input: Span, rows: readonly Row[], body: Uint8Array): Buffer {
  const parts: Uint8Array[] = [body.subarray(0, input.start), OPEN]
  for (const [i, { wire }] of rows.entries()) {
    if (i > 0) parts.push(BETWEEN)
    parts.push(wire)
  }
  return Buffer.concat([...parts, CLOSE, body.subarray(input.end)])
}

const BETWEEN = Uint8Array.of(COMMA)
