/**
 * Small readers for what comes in from outside. A reader turns an unknown value into a typed one or notes what
 * is wrong and where; all faults of a body are found in one pass. Unknown members are faults, with the nearest
 * known name: a misspelt `weigth` that is ignored costs an evening.
 */
import { nearest } from '../../lib/nearest.ts'
import { Problem } from './problem.ts'

export interface Faults {
  add(path: string, what: string): void
}

/** Undefined after a fault was noted. */
export type Reader<T> = (value: unknown, path: string, faults: Faults) => T | undefined

type Shape = Readonly<Record<string, { readonly read: Reader<unknown>; readonly required: boolean }>>
type Given<S extends Shape> = {
  [K in keyof S as S[K]['required'] extends true ? K : never]: S[K] extends { read: Reader<infer T> }
    ? T
    : never
} & {
  [K in keyof S as S[K]['required'] extends true ? never : K]?: S[K] extends { read: Reader<infer T> }
    ? T
    : never
}

export function required<T>(read: Reader<T>): { read: Reader<T>; required: true } {
  return { read, required: true }
}

export function optional<T>(read: Reader<T>): { read: Reader<T>; required: false } {
  return { read, required: false }
}

/** Reads `value` or throws a Problem 400 that lists every fault. */
export function readAll<T>(read: Reader<T>, value: unknown): T {
  const errors: string[] = []
  const answer = read(value, '', {
    add: (path, what) => void errors.push(path === '' ? what : `${path} ${what}`),
  })
  if (errors.length > 0 || answer === undefined) {
    throw new Problem(400, errors[0] ?? 'the body is not what is expected', { errors })
  }
  return answer
}

export function object<S extends Shape>(shape: S): Reader<Given<S>> {
  return (value, path, faults) => {
    if (!isRecord(value)) return fault(faults, path, 'must be a JSON object')
    const answer: Record<string, unknown> = {}
    for (const name of Object.keys(value)) {
      const field = Object.hasOwn(shape, name) ? shape[name] : undefined
      const at = path === '' ? name : `${path}.${name}`
      if (field) answer[name] = field.read(value[name], at, faults)
      else faults.add(at, unknownName(name, Object.keys(shape)))
    }
    for (const [name, field] of Object.entries(shape)) {
      if (field.required && !Object.hasOwn(value, name))
        faults.add(path === '' ? name : `${path}.${name}`, 'is missing')
    }
    return answer as Given<S>
  }
}

export function text(options: { max: number; pattern?: RegExp; what?: string }): Reader<string> {
  return (value, path, faults) => {
    if (typeof value !== 'string') return fault(faults, path, 'must be a string')
    if (value.length > options.max) return fault(faults, path, `must have at most ${options.max} characters`)
    if (options.pattern && !options.pattern.test(value))
      return fault(faults, path, options.what ?? 'is malformed')
    return value
  }
}

/** Bytes in base64, padded (RFC 4648, section 4); `max` is of the text. */
export function base64(options: { max: number }): Reader<Buffer> {
  const read = text(options)
  return (value, path, faults) => {
    const given = read(value, path, faults)
    if (given === undefined) return undefined
    const bytes = Buffer.from(given, 'base64')
    // What is no base64 is passed over in silence, and would be missing.
    return bytes.toString('base64') === given
      ? bytes
      : fault(faults, path, 'must be base64, with its padding')
  }
}

export function number(options: { min: number; max: number; integer?: boolean }): Reader<number> {
  const kind = options.integer ? 'an integer' : 'a number'
  return (value, path, faults) => {
    const fits =
      typeof value === 'number' &&
      value >= options.min &&
      value <= options.max &&
      (!options.integer || Number.isSafeInteger(value))
    return fits ? value : fault(faults, path, `must be ${kind} from ${options.min} to ${options.max}`)
  }
}

export function list<T>(item: Reader<T>, max: number): Reader<readonly T[]> {
  return (value, path, faults) => {
    if (!Array.isArray(value)) return fault(faults, path, 'must be a list')
    if (value.length > max) return fault(faults, path, `must have at most ${max} items`)
    return value.map((one, i) => item(one, `${path}[${i}]`, faults)) as T[]
  }
}

/** An object of free names, all values of one kind. */
export function record<T>(
  item: Reader<T>,
  bounds: { max: number; nameLength: number },
): Reader<Record<string, T>> {
  return (value, path, faults) => {
    if (!isRecord(value)) return fault(faults, path, 'must be a JSON object')
    const entries = Object.entries(value)
    if (entries.length > bounds.max) return fault(faults, path, `must have at most ${bounds.max} members`)
    const tooLong = entries.find(([name]) => name.length > bounds.nameLength)
    if (tooLong) return fault(faults, path, `must have names of at most ${bounds.nameLength} characters`)
    return Object.fromEntries(entries.map(([name, one]) => [name, item(one, `${path}.${name}`, faults) as T]))
  }
}

export function oneOf<const T extends string>(...values: readonly T[]): Reader<T> {
  return (value, path, faults) => {
    const found = values.find((one) => one === value)
    return found ?? fault(faults, path, `must be ${values.map((one) => `"${one}"`).join(' or ')}`)
  }
}

export const yes: Reader<true> = (value, path, faults) =>
  value === true ? true : fault(faults, path, 'must be true')

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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fault(faults: Faults, path: string, what: string): undefined {
  faults.add(path, path === '' ? `the body ${what}` : what)
  return undefined
}
