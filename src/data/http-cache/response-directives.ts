/**
 * What a backend says about keeping its answer (RFC 9111, sections 3 and 4.2; RFC 5861; RFC 9213), read from the head once:
 * whether a shared cache may keep it, how long it is fresh, how old it was when it came. The route's ttl is the bound of all
 * this, and stands for what is not said.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'
import { type Control, deltaMs, parseControl, secondsMs } from './control.ts'
import { parseDate } from './dates.ts'

/** Milliseconds. */
export interface ResponseDirectives {
  /** A word for why a shared cache must not keep it; undefined: it may. */
  readonly forbids: string | undefined
  /** It may be kept, but not given without asking again. */
  readonly noCache: boolean
  /** Once it is stale, it may not be given without asking again. */
  readonly mustRevalidate: boolean
  /** It may be given to others than the caller whose credentials brought it (RFC 9111, section 3.5). */
  readonly forAll: boolean
  /** `max-age`, `s-maxage`; undefined: not said so. */
  readonly maxAgeMs: number | undefined
  /** Wall time of `Expires`; one that is no date has passed. */
  readonly expiresAt: number | undefined
  /** Wall time at which it was made. */
  readonly date: number | undefined
  /** Time it lay in caches before us. */
  readonly ageMs: number
  readonly swrMs: number | undefined
  readonly sieMs: number | undefined
  /** Whoever does not know the status must not keep it. */
  readonly mustUnderstand: boolean
}

export const NOTHING_SAID: ResponseDirectives = {
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

/** Names by which a head says anything of this. */
const NAMES = new Set(['cache-control', 'cdn-cache-control', 'expires', 'age', 'pragma'])

/** The same object for all heads that say nothing. `wallNow`: about when it came. */
export function saidBy(headers: RawPairs, wallNow: number): ResponseDirectives {
  for (let i = 0; i < headers.length; i += 2) {
    const { length } = headers[i] as string
    // Most names are told by their length.
    if (length !== 3 && length !== 6 && length !== 7 && length !== 13 && length !== 17) continue
    if (NAMES.has((headers[i] as string).toLowerCase())) return read(headers, wallNow)
  }
  return NOTHING_SAID
}

function read(headers: RawPairs, wallNow: number): ResponseDirectives {
  const targeted = headerAll(headers, 'cdn-cache-control')
  // What is said to caches like this one counts alone (RFC 9213, section 2.2).
  const control = targetedControl(targeted) ?? parseControl(controlOf(headers))
  const shared = deltaMs(control, 's-maxage')
  const maxAgeMs = shared ?? deltaMs(control, 'max-age')
  const expires = maxAgeMs === undefined ? headerAll(headers, 'expires')[0] : undefined
  return {
    forbids: forbidden(control),
    noCache: control.has('no-cache'),
    // `s-maxage` says so as well (RFC 9111, section 5.2.2.10).
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

/** `Pragma: no-cache`, in answers of servers that know nothing newer, is meant as `no-cache`. */
function controlOf(headers: RawPairs): readonly string[] {
  const values = headerAll(headers, 'cache-control')
  if (values.length > 0) return values
  return headerAll(headers, 'pragma').some((value) => /^no-cache$/i.test(value)) ? ['no-cache'] : values
}

/** A Structured Field (RFC 9651); one that is none is as if it were not there (RFC 9213, section 2.1). */
function targetedControl(values: readonly string[]): Control | undefined {
  if (values.length === 0) return undefined
  const members = values.join(',').split(',')
  return members.every((member) => MEMBER.test(member)) ? parseControl(values) : undefined
}

const MEMBER = /^\s*[a-z*][a-z0-9_.*-]*(?:=(?:\d{1,15}|"[^"\\]*"|\?[01]|[A-Za-z*][\w!#$%&'*+.^`|~:/-]*))?\s*$/

function forbidden(control: Control): string | undefined {
  if (control.has('private')) return 'the backend says private'
  // Whoever understands the status need not heed it (RFC 9111, section 5.2.2.3).
  const isStored = !control.has('no-store') || control.has('must-understand')
  return isStored ? undefined : 'the backend says no-store'
}

/** The first member counts; a value that is no number is as if it were not there (RFC 9111, section 5.1). */
function ageOf(headers: RawPairs): number {
  const [first = ''] = headerAll(headers, 'age').join(',').split(/[,;]/)
  return secondsMs(first.trim()) ?? 0
}

/** When an answer came. */
export interface Arrival {
  /** Wall milliseconds at which all of it was there. */
  readonly at: number
  /** Milliseconds since it was asked for. */
  readonly delayMs: number
}

/** How long it is fresh by the backend's word, from when it was made; undefined: it does not say. */
export function statedLifetime(
  { maxAgeMs, expiresAt, date }: ResponseDirectives,
  { at }: Arrival,
): number | undefined {
  if (maxAgeMs !== undefined) return maxAgeMs
  return expiresAt === undefined ? undefined : Math.max(0, expiresAt - (date ?? at))
}

/**
 * How old it was when it came (RFC 9111, section 4.2.3). Clocks are compared only where the backend has named a time: a
 * backend whose clock is slow, and which says nothing, is no reason to keep nothing.
 */
export function initialAge(said: ResponseDirectives, { at, delayMs }: Arrival): number {
  if (said === NOTHING_SAID) return 0
  const isStated = said.maxAgeMs !== undefined || said.expiresAt !== undefined
  // In whole seconds, as Date is.
  const apparent = said.date === undefined || !isStated ? 0 : Math.floor(at / 1000) * 1000 - said.date
  return Math.max(apparent, said.ageMs + delayMs)
}

/** Whether it was not too old already when it came. */
export function isFresh(said: ResponseDirectives, arrival: Arrival): boolean {
  if (said === NOTHING_SAID) return true
  const stated = statedLifetime(said, arrival)
  return stated === undefined || stated > initialAge(said, arrival)
}

/** As an entry has them; milliseconds. */
export interface Life {
  /** Wall time at which the answer was made. */
  readonly createdAt: number
  /** How long it is fresh, from then on. */
  readonly ttlMs: number
}

/** The life of an answer that is kept for `ttlMs` at most, and so long where the backend does not say. */
export function lifeOf(said: ResponseDirectives, arrival: Arrival, ttlMs: number): Life {
  const age = initialAge(said, arrival)
  const stated = said.noCache ? 0 : statedLifetime(said, arrival)
  const createdAt = arrival.at - age
  // What is stated counts from when it was made, the route's bound from when it came.
  return { createdAt, ttlMs: stated === undefined ? ttlMs : Math.min(stated, age + ttlMs) }
}
