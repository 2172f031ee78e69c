/** Reads V1 request bodies: the key of the whole, and the rows if verb and body have any. */
import { type Call, header, type WholeBody } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import type { Digest } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'
import {
  byBytes,
  documentDigest,
  type JsonProblem,
  membersDigest,
  type ObjectMember,
  valueDigest,
} from '../json/document.ts'
import { Column, columnRows, elementRows, MAX_ROWS } from '../json/rows.ts'
import { Cursor } from '../json/scan.ts'
import { streamDigest } from '../json/steps.ts'
import { listed, unpack } from '../packed.ts'
import { Preimage } from '../preimage.ts'
import type { Joined, Plan, Reading, ReadOptions, Row } from '../protocol.ts'
import { RowPlan } from '../row-plan.ts'
import { Instances, isInstances, type RequestShape } from './whole.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** What `join` needs to know about a request: its arrays in the order of the body, and sorted by name. */
interface TfServingNotes extends RequestShape {
  /** The wire of a row packs one part for each column. */
  readonly isNamed: boolean
  readonly columns: readonly Column[]
  readonly sorted: readonly Column[]
}

interface RowLayout {
  readonly layout: 'instances' | 'examples' | 'inputs' | 'named inputs'
  readonly columns: readonly Column[]
  /** All members of the body, the one that holds the columns among them. */
  readonly members: readonly ObjectMember[]
}

export function readPrediction(call: Call, body: Uint8Array, options: ReadOptions): Reading {
  const encoding = header(call.headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  const prefix = callPrefix(call, options.seed)
  const plan = options.split ? readRows(call, body, prefix, options.onlyBatches === true) : undefined
  if (plan) return plan
  const instances = new Instances(call.target?.verb)
  return planOf(documentDigest(prefix, body, instances.visit), instances.counted)
}

function planOf(whole: Digest | JsonProblem, common: RequestShape): Reading {
  return typeof whole === 'string' ? { whole, common } : { bypass: whole.problem }
}

/** The same as `readPrediction` without rows, in steps; gives the same key. */
export function* readPredictionChunks(
  call: Call,
  body: Chunks,
  { seed }: ReadOptions,
): Generator<void, Reading> {
  const encoding = header(call.headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  const { digest, lengths } = yield* streamDigest(body.pieces(), callPrefix(call, seed))
  const verb = call.target?.verb
  const counts = [...lengths].filter(([key]) => isInstances(verb, key)).map(([, count]) => count)
  return planOf(digest, { verb, count: counts.length === 1 ? counts[0] : undefined })
}

/** The key covers the query, which servers either refuse or ignore on these paths. */
function callPrefix({ query }: Call, seed: Digest): Digest {
  return prefixOf(seed, query)
}

/** Most calls have the same prefix as the one before. */
const prefixOf = lastOf((seed: Digest, query: string) =>
  new Preimage().latin1(seed).text('tfserving').text(query).digest(),
)

/** Reads the call as rows; undefined if it has none, or if it is invalid, which reading it whole will report. */
function readRows(call: Call, body: Uint8Array, prefix: Digest, onlyBatches: boolean): Reading | undefined {
  const found = findRows(body, call.target?.verb)
  const first = found?.columns[0]
  if (!found || !first || first.count === 0 || first.count > MAX_ROWS) return undefined
  // Ragged batches are refused upstream as a whole, even if each row alone is accepted.
  if (!found.columns.every((column) => column.isEven && column.types && column.count === first.count))
    return undefined
  if (onlyBatches && first.count === 1) {
    return planOf(membersDigest(prefix, body, found.members), { verb: call.target?.verb, count: 1 })
  }
  const { layout, columns, members } = found
  const sorted = [...columns].sort((a, b) => byBytes(a.name, b.name))
  const common = rowPrefix(prefix, body, { layout, columns: sorted, members })
  if (typeof common !== 'string') return { bypass: common.problem }
  const rows = layout === 'named inputs' ? columnRows(common, body, sorted) : elementRows(common, body, first)
  if ('problem' in rows) return { bypass: rows.problem }
  return new RowPlan(rows, {
    batch: () => batchDigest(common, sorted),
    whole: () => {
      const whole = membersDigest(prefix, body, members)
      // A body from which rows were read has a canonical form.
      if (typeof whole !== 'string')
        throw new Error(`a body read into rows cannot be read whole: ${whole.problem}`)
      return whole
    },
    common: {
      verb: call.target?.verb,
      count: first.count,
      isNamed: layout === 'named inputs',
      columns,
      sorted,
    },
  })
}

/** Of all in which a server sees a batch otherwise than as its rows: what it is asked beside them, their shape, and their types. */
function batchDigest(common: Digest, sorted: readonly Column[]): Digest {
  const batch = new Preimage().latin1(common)
  for (const { shape, types = [] } of sorted) {
    batch.number(shape >>> 0).number(types.length)
    for (const type of types) batch.number(type >>> 0)
  }
  return batch.digest()
}

function rowPrefix(prefix: Digest, body: Uint8Array, found: RowLayout): Digest | JsonProblem {
  const preimage = new Preimage().latin1(prefix).text('row').text(found.layout).number(found.columns.length)
  for (const column of found.columns) preimage.latin1(column.name)
  const rows = found.layout === 'named inputs' ? 'inputs' : found.layout
  const others = found.members.filter(({ key }) => key !== rows)
  if (others.length > 1) others.sort((a, b) => byBytes(a.key, b.key))
  for (const { key, span } of others) {
    const digest = valueDigest(body, span)
    if (typeof digest !== 'string') return digest
    preimage.latin1(key).latin1(digest)
  }
  return preimage.digest()
}

function findRows(body: Uint8Array, verb: string | undefined): RowLayout | undefined {
  // The answers to explanations cannot be cut.
  if (verb === 'explain') return undefined
  const cursor = new Cursor(body)
  const members: ObjectMember[] = []
  const columns: Column[] = []
  let layout: RowLayout['layout'] | undefined
  const read = cursor.members((key) => {
    const next = cursor.peek()
    const start = cursor.pos
    if (!isInstances(verb, key)) {
      if (!cursor.skip()) return false
    } else {
      // Servers refuse `instances` and `inputs` together.
      if (layout !== undefined) return false
      layout = key === 'inputs' && next === OPEN_OBJECT ? 'named inputs' : (key as 'instances')
      if (layout === 'named inputs' ? !namedColumns(cursor, columns) : !readColumn(cursor, '', columns))
        return false
    }
    members.push({ key, span: cursor.span(start) })
    return true
  })
  return read && cursor.finish() && layout !== undefined ? { layout, columns, members } : undefined
}

function namedColumns(cursor: Cursor, columns: Column[]): boolean {
  return cursor.members((name) => readColumn(cursor, name, columns))
}

/** Reads an array as a column; a call whose value is no array is read whole. */
function readColumn(cursor: Cursor, name: string, columns: Column[]): boolean {
  const column = new Column(name)
  columns.push(column)
  return cursor.peek() === OPEN_ARRAY && column.read(cursor)
}

/** Writes the call's body with other rows; everything else stays as the caller wrote it. */
export function joinRows(plan: Plan, rows: readonly Row[], body: WholeBody): Joined {
  if (!(body instanceof Uint8Array)) throw new Error('join: the plan has no rows')
  const { columns, sorted, isNamed } = plan.common as TfServingNotes
  const wires = rows.map((row) => (isNamed ? (unpack(row.wire) ?? []) : [row.wire]))
  const parts: Uint8Array[] = []
  let at = 0
  for (const column of columns) {
    const part = sorted.indexOf(column)
    parts.push(body.subarray(at, column.start), listed(wires.map((wire) => wire[part] ?? new Uint8Array(0))))
    at = column.end
  }
  parts.push(body.subarray(at))
  return { headers: [], body: Buffer.concat(parts) }
}
