/** V1 request bodies: the whole key, and rows where the verb and the body have them. */
import { type Call, header, type WholeBody } from '../core/call.ts'
import type { Chunks } from '../core/chunks.ts'
import type { Digest } from '../core/key.ts'
import { byBytes, documentDigest, valueDigest } from './json-document.ts'
import { Column, columnRows, elementRows, MAX_ROWS } from './json-rows.ts'
import { Cursor, type ScanProblem, type Span } from './json-scan.ts'
import { streamDigest } from './json-steps.ts'
import { listed, unpack } from './packed.ts'
import { Preimage } from './preimage.ts'
import type { Joined, Plan, Reading, ReadOptions, Row } from './protocol.ts'

const OPEN_ARRAY = 0x5b
const OPEN_OBJECT = 0x7b

/** What `join` needs to know: the arrays in the order they lie in the body, and sorted by name. */
interface Notes {
  /** The wire of a row packs one part a column. */
  readonly isNamed: boolean
  readonly columns: readonly Column[]
  readonly sorted: readonly Column[]
}

interface Found {
  readonly layout: 'instances' | 'examples' | 'inputs' | 'named inputs'
  readonly columns: readonly Column[]
  readonly common: ReadonlyMap<string, Span>
}

export function readPrediction(call: Call, body: Uint8Array, options: ReadOptions): Reading {
  const encoding = header(call.headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  const prefix = callPrefix(call, options.seed)
  const plan = options.split ? readRows(call, body, prefix) : undefined
  if (plan) return plan
  const whole = documentDigest(prefix, body)
  return typeof whole === 'string' ? { whole } : { bypass: whole.problem }
}

/** As `readPrediction` without rows, and the same key. */
export function* readPredictionChunks(
  call: Call,
  body: Chunks,
  { seed }: ReadOptions,
): Generator<void, Reading> {
  const encoding = header(call.headers, 'content-encoding')
  if (encoding !== undefined && encoding !== 'identity') return { bypass: 'content-encoding' }
  const whole = yield* streamDigest(body.pieces(), callPrefix(call, seed))
  return typeof whole === 'string' ? { whole } : { bypass: whole.problem }
}

/** A query on these paths is an error upstream, or read by nobody; it counts, so that neither is guessed. */
function callPrefix(call: Call, seed: Digest): Digest {
  return new Preimage().latin1(seed).text('tfserving').text(call.query).digest()
}

/** The call as rows; undefined where it has none, or is broken in a way that reading it whole will name. */
function readRows(call: Call, body: Uint8Array, prefix: Digest): Reading | undefined {
  const found = findRows(body, call.target?.verb)
  const first = found?.columns[0]
  if (!found || !first || first.count === 0 || first.count > MAX_ROWS) return undefined
  // Ragged batches are refused upstream as a whole, however well each row does alone.
  if (!found.columns.every((column) => column.isEven && column.count === first.count)) return undefined
  const sorted = [...found.columns].sort((a, b) => byBytes(a.name, b.name))
  const common = rowPrefix(prefix, body, { ...found, columns: sorted })
  if (typeof common !== 'string') return { bypass: common.problem }
  const rows =
    found.layout === 'named inputs' ? columnRows(common, body, sorted) : elementRows(common, body, first)
  if ('problem' in rows) return { bypass: rows.problem }
  const batch = new Preimage().latin1(common)
  for (const column of sorted) batch.number(column.shape >>> 0)
  return new RowPlan(prefix, body, {
    rows,
    batch: batch.digest(),
    common: { isNamed: found.layout === 'named inputs', columns: found.columns, sorted },
  })
}

/** A plan whose whole key is worked out when somebody asks: a call answered from its rows needs none. */
class RowPlan implements Plan {
  readonly rows: readonly Row[]
  readonly batch: Digest
  readonly common: unknown
  readonly #prefix: Digest
  readonly #body: Uint8Array
  #whole: Digest | undefined

  constructor(
    prefix: Digest,
    body: Uint8Array,
    parts: { rows: readonly Row[]; batch: Digest; common: Notes },
  ) {
    this.#prefix = prefix
    this.#body = body
    this.rows = parts.rows
    this.batch = parts.batch
    this.common = parts.common
  }

  get whole(): Digest {
    this.#whole ??= this.#digest()
    return this.#whole
  }

  #digest(): Digest {
    const digest = documentDigest(this.#prefix, this.#body)
    // The rows could not have been read from a body that has no canonical form.
    if (typeof digest !== 'string')
      throw new Error(`a body read into rows cannot be read whole: ${digest.problem}`)
    return digest
  }
}

function rowPrefix(prefix: Digest, body: Uint8Array, found: Found): Digest | { problem: ScanProblem } {
  const preimage = new Preimage().latin1(prefix).text('row').text(found.layout).number(found.columns.length)
  for (const column of found.columns) preimage.latin1(column.name)
  for (const key of [...found.common.keys()].sort(byBytes)) {
    const digest = valueDigest(body, found.common.get(key) as Span)
    if (typeof digest !== 'string') return digest
    preimage.latin1(key).latin1(digest)
  }
  return preimage.digest()
}

function findRows(body: Uint8Array, verb: string | undefined): Found | undefined {
  // Explanations have no form of answer that could be cut.
  if (verb === 'explain') return undefined
  const cursor = new Cursor(body)
  const common = new Map<string, Span>()
  const layouts: { layout: Found['layout']; columns: Column[] }[] = []
  const examples = verb === 'classify' || verb === 'regress'
  const read = cursor.members((key) => {
    const next = cursor.peek()
    const isRows = examples ? key === 'examples' : key === 'instances' || key === 'inputs'
    if (isRows && next === OPEN_ARRAY) {
      const column = new Column('')
      layouts.push({ layout: key as 'instances', columns: [column] })
      return column.read(cursor)
    }
    if (key === 'inputs' && isRows && next === OPEN_OBJECT) {
      const columns: Column[] = []
      layouts.push({ layout: 'named inputs', columns })
      return cursor.members((name) => {
        const column = new Column(name)
        columns.push(column)
        // What is no array is no batch either; the call is then read whole.
        return cursor.peek() === OPEN_ARRAY && column.read(cursor)
      })
    }
    const span = cursor.value()
    if (span) common.set(key, span)
    return span !== undefined && !isRows
  })
  const only = layouts[0]
  // `instances` and `inputs` together are refused upstream.
  return read && cursor.finish() && only && layouts.length === 1 ? { ...only, common } : undefined
}

/** The call's body with other rows between its brackets; all else stays as the caller wrote it. */
export function joinRows(plan: Plan, rows: readonly Row[], body: WholeBody): Joined {
  if (!(body instanceof Uint8Array)) throw new Error('join: the plan has no rows')
  const { columns, sorted, isNamed } = plan.common as Notes
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
