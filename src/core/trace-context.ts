/** The trace that a call belongs to, as callers and backends hear of it: `traceparent` (W3C Trace Context). */

export const TRACEPARENT = 'traceparent'
export const TRACESTATE = 'tracestate'

export interface TraceParent {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** The caller's span: 16 hexadecimal digits. */
  readonly spanId: string
  /** The caller has its part of the trace recorded. */
  readonly isSampled: boolean
}

/** Version 00 has nothing behind its flags; later ones may. */
const FORM = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Undefined: there is none, or none that is sound. */
export function parseTraceparent(text: string | undefined): TraceParent | undefined {
  const [, version, traceId, spanId, flags, rest] = (text && FORM.exec(text)) || []
  if (traceId === undefined || spanId === undefined || (version === '00' && rest !== undefined))
    return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags as string, 16) & 1) === 1 }
}

/**
 * Whether the caller has its part of the trace recorded; undefined: it takes part in none. The same as of `parseTraceparent`, for
 * those who need no more of it.
 */
export function saysSampled(text: string): boolean | undefined {
  if (!FORM.test(text)) return undefined
  // With this length nothing is behind the flags; all others are read with care.
  return text.length === FLAGS_END ? isOdd(text.charCodeAt(FLAGS_END - 1)) : parseTraceparent(text)?.isSampled
}

const FLAGS_END = 55

/** Of a hexadecimal digit: those that are letters begin with 10, and with an odd code. */
function isOdd(digit: number): boolean {
  return (digit & 1) === (digit < 0x60 ? 1 : 0)
}

/** For a call whose spans are recorded. */
export function traceparent(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`
}
