/**
 * Response directives: what a backend says about storing its answer (RFC 9111, sections 3 and 4.2; RFC 5861; RFC 9213),
 * parsed once for each head: whether a shared cache may store it, how long it is fresh, how old it was on arrival. The
 * route's ttl bounds all this, and is used where the backend does not say.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'
import { type Control, deltaMs, parseControl, secondsMs } from './control.ts'
import { parseDate } from './dates.ts'

/** Milliseconds. */
export interface ResponseDirectives {
  /** Why a shared cache must not store it, in a word; undefined: it may. */
  readonly forbids: string | undefined
  /** It may be stored, but not given without revalidation. */
  readonly noCache: boolean
  /** Once it is stale, it may not be given without revalidation. */
  readonly mustRevalidate: boolean
  /** It may be given to callers other than the one with whose credentials it was requested (RFC 9111, section 3.5). */
  readonly forAll: boolean
  /** `max-age` or `s-maxage`; undefined: neither. */
  readonly maxAgeMs: number | undefined
  /** Wall time of `Expires`; an invalid date counts as past. */
  readonly expiresAt: number | undefined
  /** Wall time at which it was made. */
  readonly date: number | undefined
  /** The time it spent in caches before this one. */
  readonly ageMs: number
  readonly swrMs: number | undefined
  readonly sieMs: number | undefined
  /** A cache that does not know the status must not store it. */
  readonly mustUnderstand: boolean
}

export const NO_RESPONSE_DIRECTIVES: ResponseDirectives = {
  forbids: undefined,
  noCache: false,
  mustRevalidate: false,
  forAll: false,
  maxAgeMs: undefined,
  expiresAt: undefined,
  date: undefined,
  ageMs: 0,
  swrMs: undefined,
  sieMs: undefined,
  mustUnderstand: false,
}

/** The fields that carry any of this. */
const NAMES = new Set(['cache-control', 'cdn-cache-control', 'expires', 'age', 'pragma'])

/** The same object for all heads without directives. `wallNow`: about when the answer arrived. */
export function readResponseDirectives(headers: RawPairs, wallNow: number): ResponseDirectives {
  for (let i = 0; i < headers.length; i += 2) {
    const { length } = headers[i] as string
    // Most names are excluded by their length.
    if (length !== 3 && length !== 6 && length !== 7 && length !== 13 && length !== 17) continue
    if (NAMES.has((headers[i] as string).toLowerCase())) return read(headers, wallNow)
  }
  return NO_RESPONSE_DIRECTIVES
}

function read(headers: RawPairs, wallNow: number): ResponseDirectives {
  const targeted = headerAll(headers, 'cdn-cache-control')
  // Directives that target caches like this one replace the others (RFC 9213, section 2.2).
  const control = targetedControl(targeted) ?? parseControl(controlOf(headers))
  const shared = deltaMs(control, 's-maxage')
  const maxAgeMs = shared ?? deltaMs(control, 'max-age')
  const expires = maxAgeMs === undefined ? headerAll(headers, 'expires')[0] : undefined
  return {
    forbids: forbidden(control),
    noCache: control.has('no-cache'),
    // `s-maxage` implies it (RFC 9111, section 5.2.2.10).
    mustRevalidate: control.has('must-revalidate') || control.has('proxy-revalidate') || shared !== undefined,
    forAll: control.has('public') || control.has('must-revalidate') || shared !== undefined,
    maxAgeMs,
    expiresAt: expires === undefined ? undefined : (parseDate(expires, wallNow) ?? 0),
    date: parseDate(headerAll(headers, 'date')[0] ?? '', wallNow),
    ageMs: ageOf(headers),
    swrMs: deltaMs(control, 'stale-while-revalidate'),
    sieMs: deltaMs(control, 'stale-if-error'),
    mustUnderstand: control.has('must-understand'),
  }
}

/** `Pragma: no-cache` in an answer of an old server means `no-cache`. */
function controlOf(headers: RawPairs): readonly string[] {
  const values = headerAll(headers, 'cache-control')
  if (values.length > 0) return values
  return headerAll(headers, 'pragma').some((value) => /^no-cache$/i.test(value)) ? ['no-cache'] : values
}

/** A Structured Field (RFC 9651); an invalid one counts as absent (RFC 9213, section 2.1). */
function targetedControl(values: readonly string[]): Control | undefined {
  if (values.length === 0) return undefined
  const members = values.join(',').split(',')
  return members.every((member) => MEMBER.test(member)) ? parseControl(values) : undefined
}

const MEMBER = /^\s*[a-z*][a-z0-9_.*-]*(?:=(?:\d{1,15}|"[^"\\]*"|\?[01]|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*))?\s*$/

function forbidden(control: Control): string | undefined {
  if (control.has('private')) return 'the backend says private'
  // A cache that understands the status may ignore no-store beside must-understand (RFC 9111, section 5.2.2.3).
  const isStored = !control.has('no-store') || control.has('must-understand')
  return isStored ? undefined : 'the backend says no-store'
}

/** The first member counts; a value that is no number counts as absent (RFC 9111, section 5.1). */
function ageOf(headers: RawPairs): number {
  const [first = ''] = headerAll(headers, 'age').join(',').split(/[,;]/)
  return secondsMs(first.trim()) ?? 0
}

/** The arrival of an answer. */
export interface Arrival {
  /** Wall milliseconds at which it was complete. */
  readonly at: number
  /** Milliseconds since the request. */
  readonly delayMs: number
}

/** The lifetime that the backend states, from when the answer was made; undefined: it states none. */
export function statedLifetime(
  { maxAgeMs, expiresAt, date }: ResponseDirectives,
  { at }: Arrival,
): number | undefined {
  if (maxAgeMs !== undefined) return maxAgeMs
  return expiresAt === undefined ? undefined : Math.max(0, expiresAt - (date ?? at))
}

/**
 * The age on arrival (RFC 9111, section 4.2.3). Clocks are compared only where the backend states a lifetime: a backend whose
 * clock is slow, and which states none, is no reason to store nothing.
 */
export function initialAge(response: ResponseDirectives, { at, delayMs }: Arrival): number {
  if (response === NO_RESPONSE_DIRECTIVES) return 0
  const isStated = response.maxAgeMs !== undefined || response.expiresAt !== undefined
  // In whole seconds, as Date is.
  const apparent = response.date === undefined || !isStated ? 0 : Math.floor(at / 1000) * 1000 - response.date
  return Math.max(apparent, response.ageMs + delayMs)
}

/** Whether it was still fresh on arrival. */
export function isFresh(response: ResponseDirectives, arrival: Arrival): boolean {
  if (response === NO_RESPONSE_DIRECTIVES) return true
  const stated = statedLifetime(response, arrival)
  return stated === undefined || stated > initialAge(response, arrival)
}

/** The lifetime of an entry; milliseconds. */
export interface Life {
  /** Wall time at which the answer was made. */
  readonly createdAt: number
  /** How long it is fresh from then on. */
  readonly ttlMs: number
}

/** The lifetime of an answer that is stored for `ttlMs` at most, and for that long where the backend does not say. */
export function lifeOf(response: ResponseDirectives, arrival: Arrival, ttlMs: number): Life {
  const age = initialAge(response, arrival)
  const stated = response.noCache ? 0 : statedLifetime(response, arrival)
  const createdAt = arrival.at - age
  // The stated lifetime counts from when the answer was made, the route's bound from its arrival.
  return { createdAt, ttlMs: stated === undefined ? ttlMs : Math.min(stated, age + ttlMs) }
}
