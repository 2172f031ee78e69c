/**
 * Deadlines that callers send, in the forms that proxies and gRPC clients use. They may shorten the route's own
 * timeout, never lengthen it, and go to the backend with what is left of them, also on a second attempt.
 */
import { header, type RawPairs } from '../core/call.ts'

/** Time for the answer's way back. */
const MARGIN_MS = 5

interface Form {
  readonly read: (value: string) => number | undefined
  readonly write: (ms: number) => string
}

const plain: Form = {
  read: (value) => (/^\d{1,9}$/.test(value) ? Number(value) : undefined),
  write: (ms) => String(ms),
}

const GRPC_UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
}

const FORMS: Readonly<Record<string, Form>> = {
  'x-request-deadline-ms': plain,
  'x-envoy-expected-rq-timeout-ms': plain,
  'grpc-timeout': {
    read(value) {
      const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(value) ?? []
      return digits === undefined ? undefined : Number(digits) * (GRPC_UNITS[unit as string] ?? 1)
    },
    write: (ms) => `${ms}m`,
  },
}

/** What the caller allows, in milliseconds from the arrival of the call; undefined: it does not say. */
export function callerTimeout(headers: RawPairs): number | undefined {
  for (const [name, { read }] of Object.entries(FORMS)) {
    const value = header(headers, name)
    const ms = value === undefined ? undefined : read(value)
    if (ms !== undefined) return ms
  }
  return undefined
}

/** The headers with the caller's deadline reduced to what is left of it. */
export function remainingDeadline(headers: RawPairs, leftMs: number): RawPairs {
  let out: string[] | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const form = FORMS[(headers[i] as string).toLowerCase()]
    if (!form) continue
    out ??= [...headers]
    out[i + 1] = form.write(Math.max(1, Math.floor(leftMs - MARGIN_MS)))
  }
  return out ?? headers
}
