/**
 * The load that a backend reports on its answers: the fields of ORCA (Open Request Cost Aggregation), which the gateway asks
 * for and which end here, since they are about this hop. As text, as JSON, or as the protobuf message
 * `xds.data.orca.v3.OrcaLoadReport` in base64.
 */
import { type BackendLoad, checkedLoad, type LoadFault } from '../../core/backend-load.ts'
import type { RawPairs } from '../../core/call.ts'
import { BYTES, FIXED64, MessageReader } from '../../protocol/protobuf/reader.ts'

/** The form that vLLM and Triton write, when asked by this field. */
const ASK = 'endpoint-load-metrics-format'
const REPORT = 'endpoint-load-metrics'
const BINARY = 'endpoint-load-metrics-bin'

/** No report is so long; it has a dozen numbers. */
const MAX_LENGTH = 8_192

/** The fields of a request, with the wish for a report instead of the caller's own. */
export function withLoadWish(fields: RawPairs): RawPairs {
  return [...without(fields, (name) => name === ASK), ASK, 'TEXT']
}

/** The fields of an answer without its report, and the report, or why it is ignored; undefined: there is none. */
export interface Reported {
  readonly fields: RawPairs
  readonly load: BackendLoad | LoadFault | undefined
}

export function takeReport(fields: RawPairs): Reported {
  const at = fields.findIndex((name, i) => i % 2 === 0 && isReport(name))
  if (at < 0) return { fields, load: undefined }
  const isBinary = fields[at]?.length === BINARY.length
  return { fields: without(fields, isReport), load: readReport(fields[at + 1] ?? '', isBinary) }
}

function isReport(name: string): boolean {
  if (name.length !== REPORT.length && name.length !== BINARY.length) return false
  const lower = name.toLowerCase()
  return lower === REPORT || lower === BINARY
}

function without(fields: RawPairs, isOut: (name: string) => boolean): string[] {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    if (!isOut(name.toLowerCase())) kept.push(name, fields[i + 1] as string)
  }
  return kept
}

function readReport(value: string, isBinary: boolean): BackendLoad | LoadFault {
  if (value.length > MAX_LENGTH) return 'malformed'
  const [, form = '', text = ''] = /^(TEXT|JSON|BIN) (.*)$/s.exec(value) ?? []
  try {
    if (isBinary || form === 'BIN') return loadOf(binary(isBinary ? value : text))
    return form === 'JSON' || value.startsWith('{')
      ? loadOf(json(text || value))
      : loadOf(pairs(text || value))
  } catch {
    return 'malformed'
  }
}

/** The numbers of a report by name: `cpu_utilization`, `named_metrics.x` … */
type Numbers = ReadonlyMap<string, number>

const RUNNING = ['num_requests_running']
const WAITING = ['num_requests_waiting']
/** The KV cache says more about a server of generations than its processors do. */
const CACHE = ['kv_cache_usage_perc', 'kv_cache_utilization', 'gpu_cache_usage_perc']

function loadOf(numbers: Numbers): BackendLoad | LoadFault {
  const named = (names: readonly string[]) =>
    names.map((name) => numbers.get(`named_metrics.${name}`)).find((value) => value !== undefined)
  const running = named(RUNNING)
  const waiting = named(WAITING)
  const utilization =
    named(CACHE) ??
    positive(numbers.get('application_utilization')) ??
    positive(numbers.get('cpu_utilization'))
  return checkedLoad({
    ...(running === undefined ? {} : { running }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(utilization === undefined ? {} : { utilization }),
  })
}

/** In protobuf a number that was not set is 0. */
function positive(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value
}

/** `cpu_utilization=0.3, named_metrics.kv_cache_usage_perc=0.4` */
function pairs(text: string): Numbers {
  const numbers = new Map<string, number>()
  for (const pair of text.split(',')) {
    const [name = '', value = ''] = pair.split('=', 2)
    // `Number` takes an empty text for 0.
    numbers.set(name.trim(), value.trim() === '' ? Number.NaN : Number(value))
  }
  return numbers
}

function json(text: string): Numbers {
  const numbers = new Map<string, number>()
  for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
    if (typeof value === 'object' && value !== null)
      for (const [inner, number] of Object.entries(value)) numbers.set(`${name}.${inner}`, asNumber(number))
    else numbers.set(name, asNumber(value))
  }
  return numbers
}

function asNumber(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN
}

/** The fields of the message that count here. */
const CPU = 1
const NAMED_METRICS = 8
const APPLICATION = 9

function binary(base64: string): Numbers {
  const numbers = new Map<string, number>()
  const message = new MessageReader(Buffer.from(base64, 'base64'))
  while (message.next()) {
    if (message.field === CPU) numbers.set('cpu_utilization', double(message))
    else if (message.field === APPLICATION) numbers.set('application_utilization', double(message))
    else if (message.field === NAMED_METRICS && message.wire === BYTES) {
      const [name, value] = mapEntry(message.message())
      numbers.set(`named_metrics.${name}`, value)
    }
  }
  return numbers
}

/** One entry of a `map<string, double>`: what is left out is its default. */
function mapEntry(entry: MessageReader): readonly [string, number] {
  let name = ''
  let value = 0
  while (entry.next()) {
    if (entry.field === 1) name = Buffer.from(entry.utf8()).toString()
    else if (entry.field === 2) value = double(entry)
  }
  return [name, value]
}

function double({ wire, source, start }: MessageReader): number {
  if (wire !== FIXED64) return Number.NaN
  return new DataView(source.buffer, source.byteOffset, source.byteLength).getFloat64(start, true)
}
