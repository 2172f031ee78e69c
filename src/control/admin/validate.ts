/**
 * Validates input of the admin API with schemas: returns a typed value, or throws a refusal that lists every fault with
 * its place. Unknown members are faults, with the nearest known name: a misspelt `weigth` that is ignored costs an
 * evening.
 */
import * as z from 'zod'
import { nearest } from '../../lib/nearest.ts'
import { Problem } from './problem.ts'

/** Most faults in one answer: a body of 64 KiB can have thousands. */
const MAX_FAULTS = 64

/** Reads `value` or throws a Problem 400 that lists every fault. */
export function readAll<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const { success, data, error } = schema.safeParse(value)
  if (success) return data
  // A fractional number out of range breaks two rules with the same message, which is listed once.
  const faults = new Set(misspeltFirst(error.issues).flatMap((issue) => faultsOf(schema, value, issue)))
  const errors = [...faults].slice(0, MAX_FAULTS)
  throw new Problem(400, errors[0] ?? 'the body is not what is expected', { errors })
}

/**
 * A misspelt member is often reported as missing, too. The misspelling comes first, because people read the first
 * fault.
 */
function misspeltFirst(issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] {
  const isMisspelt = ({ code }: z.core.$ZodIssue) => code === 'unrecognized_keys'
  return [...issues.filter(isMisspelt), ...issues.filter((issue) => !isMisspelt(issue))]
}

function faultsOf(schema: z.ZodType, value: unknown, issue: z.core.$ZodIssue): string[] {
  const { path, message } = issue
  if (issue.code === 'unrecognized_keys') {
    const known = namesAt(schema, path)
    return issue.keys.map((key) => `${printPath([...path, key])} ${unknownName(key, known)}`)
  }
  if (path.length === 0) return [`the body ${message}`]
  const given = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown>)[key], value)
  return [`${printPath(path)} ${given === undefined ? 'is missing' : message}`]
}

/** `models[1].name` */
function printPath(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
}

/** The members that the object at `path` may have. */
function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  const inner = schema instanceof z.ZodExactOptional ? schema.def.innerType : schema
  const [key, ...below] = path
  if (inner instanceof z.ZodArray) return namesAt(inner.def.element, below)
  if (!(inner instanceof z.ZodObject)) return []
  const field = inner.def.shape[String(key)]
  return field ? namesAt(field, below) : Object.keys(inner.def.shape)
}

/** An object of these members and no others. */
export function object<S extends z.ZodRawShape>(shape: S) {
  return z.strictObject(shape, 'must be a JSON object')
}

/** The object with at least one of two members; their lack is told together with all other faults. */
export function withEither<S extends z.ZodObject>(schema: S, one: string, other: string): S {
  return schema.refine((value) => value[one] !== undefined || value[other] !== undefined, {
    error: `must have ${one}, ${other}, or both`,
    when: ({ value }) => typeof value === 'object' && value !== null,
  })
}

export function text({ max, pattern, what }: { max: number; pattern?: RegExp; what?: string }) {
  const string = z
    .string('must be a string')
    .max(max, { error: `must have at most ${max} characters`, abort: true })
  return pattern ? string.regex(pattern, what ?? 'is malformed') : string
}

/** Bytes in base64, padded (RFC 4648, section 4); `max` is of the text. */
export function base64({ max }: { max: number }) {
  return text({ max }).transform((given, context) => {
    const bytes = Buffer.from(given, 'base64')
    // Node ignores characters that are not base64, which would drop bytes silently.
    if (bytes.toString('base64') === given) return bytes
    context.addIssue({ code: 'custom', message: 'must be base64, with its padding' })
    return z.NEVER
  })
}

export function number({ min, max, integer }: { min: number; max: number; integer?: boolean }) {
  const what = `must be ${integer ? 'an integer' : 'a number'} from ${min} to ${max}`
  return (integer ? z.int(what) : z.number(what)).min(min, what).max(max, what)
}

export function list<T extends z.ZodType>(item: T, max: number) {
  return z.array(item, 'must be a list').max(max, `must have at most ${max} items`)
}

/** An object of free names, all values of one kind. */
export function record<T extends z.ZodType>(
  item: T,
  { max, nameLength }: { max: number; nameLength: number },
) {
  return z
    .record(z.string(), item, 'must be a JSON object')
    .refine((given) => Object.keys(given).length <= max, `must have at most ${max} members`)
    .refine(
      (given) => Object.keys(given).every(({ length }) => length <= nameLength),
      `must have names of at most ${nameLength} characters`,
    )
}

export function oneOf<const T extends readonly string[]>(...values: T) {
  return z.enum(values, `must be ${values.map((one) => `"${one}"`).join(' or ')}`)
}

export const flag = z.boolean('must be true or false')

export const yes = z.literal(true, 'must be true')

/** `30s`, `500ms`, `2m`, or a number of milliseconds; undefined when it is none of them. */
export function durationMs(given: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h)?$/.exec(given)
  if (!match) return undefined
  const unit = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] ?? 'ms'] ?? 1
  return Number(match[1]) * unit
}

/** "is not known; did you mean …" for a misspelt name. */
export function unknownName(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  if (near !== undefined) return `is not known; did you mean "${near}"?`
  return known.length > 0 ? `is not known; known are ${known.join(', ')}` : 'is not known'
}
