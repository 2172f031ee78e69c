/**
 * Whether two answers mean the same: their status, the fields that are not of one exchange, and their bodies. JSON is
 * compared by its meaning, since members may come in another order and numbers in another spelling; everything else,
 * the binary tensors behind a V2 head among it, byte for byte.
 */
import { type Answer, cacheStatus } from './ask.ts'

/** What a server makes up anew for every answer, and what therefore says nothing about agreement. */
export interface Invented {
  /** Header fields, in lower case. */
  readonly fields?: readonly string[]
  /** Members of JSON objects, at any depth. */
  readonly members?: readonly string[]
}

// Of one connection, one moment or one message framing; the last three are the gateway's own.
const OF_THE_EXCHANGE = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'date',
  'age',
  'cache-status',
  'x-request-id',
])

// What the gateway keeps of a head (docs/reference/headers.md): the rest is of the exchange that the server answered.
const KEPT = ['content-type', 'content-language', 'inference-header-content-length', 'x-seldon-route']

/** In words how `got` differs from `wanted`; undefined where they agree. */
export function difference(wanted: Answer, got: Answer, invented: Invented = {}): string | undefined {
  if (wanted.status !== got.status) {
    return `status ${wanted.status} directly, ${got.status} through: ${shown(wanted.body)} / ${shown(got.body)}`
  }
  return fieldsDifference(wanted, got, invented) ?? bodyDifference(wanted, got, invented)
}

function fieldsDifference(wanted: Answer, got: Answer, { fields = [] }: Invented): string | undefined {
  const ignored = new Set([...OF_THE_EXCHANGE, ...fields, 'inference-header-content-length'])
  const names = new Set([...(isKept(got) ? KEPT : Object.keys(wanted.fields)), ...Object.keys(got.fields)])
  for (const name of names) {
    if (!ignored.has(name) && wanted.fields[name] !== got.fields[name]) {
      return `${name} is ${wanted.fields[name] ?? 'absent'} directly, ${got.fields[name] ?? 'absent'} through`
    }
  }
  return undefined
}

/** Whether it came from the cache, at least some of its rows. */
const isKept = (answer: Answer): boolean => /^infergate; (hit|fwd=partial)/.test(cacheStatus(answer))

function bodyDifference(wanted: Answer, got: Answer, { members = [] }: Invented): string | undefined {
  if (wanted.body.equals(got.body)) return undefined
  const [a, b] = [parts(wanted), parts(got)]
  const same =
    a.tail.equals(b.tail) &&
    a.json !== undefined &&
    b.json !== undefined &&
    sameValue(a.json, b.json, new Set(members))
  return same ? undefined : `body ${shown(wanted.body)} directly, ${shown(got.body)} through`
}

/** The JSON that a body begins with, and the bytes behind it. */
function parts({ fields, body }: Answer): { json: unknown; tail: Buffer } {
  if (fields['content-type']?.startsWith('text/event-stream'))
    return { json: events(body.toString()), tail: Buffer.alloc(0) }
  const split = Number(fields['inference-header-content-length'] ?? body.length)
  return { json: parsed(body.subarray(0, split).toString()), tail: body.subarray(split) }
}

/** The lines of an event stream, those of data by their meaning. */
const events = (text: string): unknown[] =>
  text.split(/\r?\n/).map((line) => parsed(line.replace(/^data: /, '')) ?? line)

/** Numbers that a double does not hold exactly are kept as they are written. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text, (_, value: unknown, { source }: { source?: string } = {}) =>
      typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source ?? '')
        ? source
        : value,
    )
  } catch {
    return undefined
  }
}

/** Equal JSON values, but for members that the server makes up. */
export function sameValue(a: unknown, b: unknown, invented: ReadonlySet<string> = new Set()): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const names = (value: object) => Object.keys(value).filter((name) => !invented.has(name))
  const [left, right] = [names(a), names(b)]
  const at = (value: object, name: string) => (value as Record<string, unknown>)[name]
  return (
    left.length === right.length &&
    left.every((name) => Object.hasOwn(b, name) && sameValue(at(a, name), at(b, name), invented))
  )
}

const SHOWN = 300

const shown = (body: Buffer): string => JSON.stringify(body.subarray(0, SHOWN).toString('latin1'))
