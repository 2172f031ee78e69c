/**
 * Calls whose rows are the elements of one list: texts that are classified or pooled, documents that are scored or ranked for a query.
 * Some rankers judge a document by the others (they are listwise), so rows are answered by themselves only where that is proved
 * or asked for. Ranks are made here: which documents come first, how many, and whether with their texts.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { OPEN_ARRAY, OPEN_OBJECT, QUOTE } from '../json/bytes.ts'
import { membersDigest, type ObjectMember, objectDigest } from '../json/document.ts'
import { jsonReply } from '../json/reply.ts'
import { Column, elementRows, MAX_ROWS, place } from '../json/rows.ts'
import { Cursor } from '../json/scan.ts'
import type { Span } from '../json/span.ts'
import { listed } from '../packed.ts'
import { Preimage } from '../preimage.ts'
import type { Plan, Reading, Row, RowAnswer } from '../protocol.ts'
import { RowPlan } from '../row-plan.ts'
import { type EmbeddingsAnswer, type ItemShape, readAnswer } from './embeddings/answer.ts'
import { frameBytes, frameOf, SliceReader, sliceOf } from './items.ts'
import { callPrefix, isDelivery, latin1, quickDigest, unreadable } from './members.ts'
import type { ApiOperation, OpenaiNotes } from './operation.ts'
import { readUsage, shared, usageText } from './usage.ts'
import { isAnswer, wholeSteps } from './whole.ts'

/** Which documents an answer has, and how. */
interface Ranking {
  /** The most that come back; undefined: all. */
  readonly top: number | undefined
  readonly topAt: Span | undefined
  /** Whether they come with their texts; undefined: as the server does by itself. */
  readonly withTexts: boolean | undefined
}

interface DocumentsNotes extends OpenaiNotes {
  readonly count: number | undefined
  readonly column?: Column | undefined
  readonly ranking: Ranking
}

interface DocumentsRequest {
  readonly members: readonly ObjectMember[]
  readonly column: Column | undefined
  /** The member that the rows are in. */
  readonly rows: string
  readonly ranking: Ranking
}

export interface DocumentsSpec {
  /** The members that may have the rows: a request has one of them. */
  readonly rows: ReadonlySet<string>
  /** Members that must be single values: lists of them are pairs, of which no row can be told from the others by itself. */
  readonly single: ReadonlySet<string>
  /** The member of an answer that has an item for each row. */
  readonly list: string
  readonly isRanked: boolean
}

const TOP = 'top_n'
const WITH_TEXTS = 'return_documents'
const UNRANKED: Ranking = { top: undefined, topAt: undefined, withTexts: undefined }

export function documents(spec: DocumentsSpec): ApiOperation {
  const operation: ApiOperation = {
    read(call, body, { seed, split, onlyBatches = false }) {
      const bypass = unreadable(call)
      if (bypass) return bypass
      const request = readRequest(body, spec)
      if ('bypass' in request) return request
      const prefix = callPrefix(call, seed)
      const { column, ranking } = request
      const count = column?.count
      const notes: DocumentsNotes = { operation, count, column, ranking }
      const isSplit = split && column !== undefined && !(onlyBatches && count === 1)
      return isSplit ? rowsPlan(prefix, body, request, notes) : wholePlan(prefix, body, request, notes)
    },
    readChunks: (call, body, options) =>
      wholeSteps(call, body, {
        ...options,
        common: { operation, count: undefined, ranking: UNRANKED } as DocumentsNotes,
      }),
    storable(reply, body, plan, counted) {
      if (reply.status !== 200) return false
      const { count, ranking } = notesOf(plan)
      const shape = shapeOf(spec, ranking)
      const answer = soundAnswer(body, shape, false)
      // An answer in a form of its own is kept as it came.
      if (!counted || count === undefined)
        return isAnswer(body) && (answer !== undefined || !readAnswer(body, shape, false))
      return answer?.items.length === Math.min(count, ranking.top ?? count)
    },
    rows: {
      join(plan, rows, body) {
        if (!(body instanceof Uint8Array)) throw new Error('join: the plan has no rows')
        return { headers: [], body: joined(notesOf(plan), rows, body) }
      },
      cut: (reply, body, count, asked) =>
        asked && reply.status === 200
          ? cut(body, count, { asked: notesOf(asked), rows: asked.rows, spec })
          : undefined,
      assemble: (plan, answers) => assembled(spec, plan, answers),
    },
  }
  return operation
}

function notesOf({ common }: Pick<Plan, 'common'>): DocumentsNotes {
  return common as DocumentsNotes
}

function shapeOf({ list, isRanked }: DocumentsSpec, { withTexts }: Ranking): ItemShape {
  return {
    list,
    isVector: false,
    dropped: withTexts === undefined ? undefined : 'document',
    numbers: JUDGEMENTS,
    judged: isRanked ? SCORE : undefined,
  }
}

const SCORE = 'relevance_score'
/** What is said of a row: where its computation has failed, servers write `null` or `NaN` there. `data` is what was pooled. */
const JUDGEMENTS = new Set([SCORE, 'score', 'probs', 'data'])

/** The answer, if each of its rows was judged. */
function soundAnswer(body: Uint8Array, shape: ItemShape, isAll: boolean): EmbeddingsAnswer | undefined {
  const answer = readAnswer(body, shape, isAll)
  return answer?.items.every(({ isSound }) => isSound) ? answer : undefined
}

function readRequest(body: Uint8Array, spec: DocumentsSpec): DocumentsRequest | { bypass: string } {
  const cursor = new Cursor(body)
  const members: ObjectMember[] = []
  const columns: { key: string; column: Column }[] = []
  let ranking: Ranking = UNRANKED
  let isClear = true
  const read = cursor.members((key) => {
    const first = cursor.peek()
    const start = cursor.pos
    if (spec.rows.has(key) && first === OPEN_ARRAY) {
      const column = new Column(key)
      columns.push({ key, column })
      if (!column.read(cursor)) return false
    } else if (!cursor.skip()) return false
    const span = cursor.span(start)
    members.push({ key, span })
    if (spec.single.has(key) && first === OPEN_ARRAY) isClear = false
    if (!spec.isRanked) return true
    const text = latin1(body, start, cursor.pos)
    if (key === TOP && text !== 'null') {
      ranking = { ...ranking, top: Number(text) || undefined, topAt: span }
      // Servers differ in what none means.
      if (!/^[1-9]\d{0,8}$/.test(text)) isClear = false
    }
    if (key === WITH_TEXTS && text !== 'null') {
      ranking = { ...ranking, withTexts: text === 'true' }
      if (text !== 'true' && text !== 'false') isClear = false
    }
    return true
  })
  if (!read || !cursor.finish()) return { bypass: cursor.problem ?? 'unparsable' }
  const [only] = columns
  const hasRows = isClear && only && columns.length === 1 && areAlike(body, only.column)
  return { members, rows: only?.key ?? '', ranking, column: hasRows ? only.column : undefined }
}

/** Texts, objects or lists of tokens alone. */
function areAlike(bytes: Uint8Array, column: Column): boolean {
  if (column.count === 0 || column.count > MAX_ROWS) return false
  const at = place()
  const first = bytes[column.at(0, at).start]
  if (first !== QUOTE && first !== OPEN_OBJECT && first !== OPEN_ARRAY) return false
  for (let i = 1; i < column.count; i++) if (bytes[column.at(i, at).start] !== first) return false
  return true
}

function wholePlan(
  prefix: Digest,
  body: Uint8Array,
  { members }: DocumentsRequest,
  common: DocumentsNotes,
): Reading {
  const whole = membersDigest(
    prefix,
    body,
    members.filter(({ key }) => !isDelivery(key)),
  )
  return typeof whole === 'string' ? { whole, common } : { bypass: whole.problem }
}

function rowsPlan(
  prefix: Digest,
  body: Uint8Array,
  request: DocumentsRequest,
  notes: DocumentsNotes,
): Reading {
  const { members, rows: member, ranking } = request
  const digests = new Map<string, Digest>()
  for (const one of members) {
    if (one.key === member || isDelivery(one.key) || one.key === TOP || one.key === WITH_TEXTS) continue
    const digest = quickDigest(prefix, body, one)
    if (typeof digest !== 'string') return { bypass: digest.problem }
    digests.set(one.key, digest)
  }
  // Without a word of it an item has its text or not, as its server does it.
  const kind = `${member} ${ranking.withTexts === undefined ? 'as served' : 'with and without texts'}`
  const common = new Preimage().latin1(objectDigest(prefix, digests)).text('rows').text(kind).digest()
  const rows = elementRows(common, body, request.column as Column)
  if ('problem' in rows) return { bypass: rows.problem }
  return new RowPlan(rows, {
    batch: () => common,
    whole() {
      const reading = wholePlan(prefix, body, request, notes)
      if ('bypass' in reading)
        throw new Error(`a body read into rows cannot be read whole: ${reading.bypass}`)
      return reading.whole
    },
    common: notes,
    asksForLess: ranking.top !== undefined,
  })
}

/** The caller's request with other rows, of which all are asked for. */
function joined({ column, ranking }: DocumentsNotes, rows: readonly Row[], body: Uint8Array): Buffer {
  if (!column) throw new Error('join: the plan has no rows')
  const edits = [{ start: column.start, end: column.end, text: listed(rows.map(({ wire }) => wire)) }]
  if (ranking.topAt) edits.push({ ...ranking.topAt, text: Buffer.from(String(rows.length)) })
  edits.sort((a, b) => a.start - b.start)
  const parts: Uint8Array[] = []
  let at = 0
  for (const { start, end, text } of edits) {
    parts.push(body.subarray(at, start), text)
    at = end
  }
  return Buffer.concat([...parts, body.subarray(at)])
}

function cut(
  body: Uint8Array,
  count: number,
  { asked, rows, spec }: { asked: DocumentsNotes; rows: readonly Row[] | undefined; spec: DocumentsSpec },
): readonly RowAnswer[] | undefined {
  const answer = soundAnswer(body, shapeOf(spec, asked.ranking), true)
  if (answer?.items.length !== count) return undefined
  const { pattern, numbers } = readUsage(body, answer.usage)
  const frame = frameBytes({ common: answer.common, pattern, dimensions: 0 })
  const weights = Array.from({ length: count }, (_, i) => rows?.[i]?.wire.length ?? 1)
  const shares = numbers.map((number) => shared(number, weights))
  const answers = new Array<RowAnswer>(count)
  for (const { index, rest } of answer.items) {
    const usage = shares.map((share) => share[index] as number)
    const slice = sliceOf(NO_VECTOR, { usage, own: answer.own, rest })
    if (!slice) return undefined
    answers[index] = { frame, slice }
  }
  return answers
}

const NO_VECTOR = { bytes: new Uint8Array(0), isBare: false }

function assembled(spec: DocumentsSpec, plan: Plan, answers: readonly RowAnswer[]): Reply | undefined {
  const [first] = answers
  const frame = first && frameOf(first.frame)
  if (!first || !frame) return undefined
  if (!answers.every(({ frame: bytes }) => bytes === first.frame || Buffer.compare(bytes, first.frame) === 0))
    return undefined
  const slices = answers.map(({ slice }) => new SliceReader(slice))
  const { ranking } = notesOf(plan)
  const items = slices.map((slice, index) => ({ index, rest: slice.rest }))
  const shown = spec.isRanked ? ranked(items).slice(0, ranking.top) : items
  const texts = shown.map(({ index, rest }) => {
    const row = ranking.withTexts ? plan.rows?.[index] : undefined
    const text = row ? documentOf(row.wire) : ''
    return `{${rest === '' ? '' : `${rest},`}"index":${index}${text}}`
  })
  const head = [slices[0]?.own, frame.common].filter(Boolean).map((text) => `${text},`)
  const body = `{${head.join('')}"${spec.list}":[${texts.join()}]${usageText(frame.pattern, slices)}}`
  return jsonReply(200, Buffer.from(body, 'latin1'))
}

interface Judged {
  readonly index: number
  readonly rest: string
}

/** The best first; of equals, the one that the caller has put first. */
function ranked(items: readonly Judged[]): readonly Judged[] {
  const scored = items.map((item) => ({ item, score: scoreOf(item) }))
  return scored.sort((a, b) => b.score - a.score || a.item.index - b.item.index).map(({ item }) => item)
}

function scoreOf({ rest }: Judged): number {
  const { [SCORE]: score } = JSON.parse(`{${rest}}`) as { [SCORE]?: unknown }
  return typeof score === 'number' ? score : Number.NEGATIVE_INFINITY
}

/** A document as answers have it: a text is the member of an object. */
function documentOf(wire: Uint8Array): string {
  const text = latin1(wire, 0, wire.length)
  return `,"document":${wire[0] === QUOTE ? `{"text":${text}}` : text}`
}
