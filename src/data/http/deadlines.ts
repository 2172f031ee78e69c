/**
 * Deadlines that callers send, in the forms that proxies and gRPC clients use. They may shorten the route's timeout, never
 * lengthen it. A backend gets what is left of them, also on a second attempt.
 */
import { header, type RawPairs } from '../../core/call.ts'
import { grpcTimeout, readGrpcTimeout } from '../../protocol/grpc/timeout.ts'

/** Time for the answer to travel back. */
const MARGIN_MS = 5

interface Form {
  readonly read: (value: string) => number | undefined
  readonly write: (ms: number) => string
}

const milliseconds: Form = {
  read: (value) => (/^\d{1,9}$/.test(value) ? Number(value) : undefined),
  write: (ms) => String(ms),
}

const FORMS: Readonly<Record<string, Form>> = {
  'x-request-deadline-ms': milliseconds,
  'x-envoy-expected-rq-timeout-ms': milliseconds,
  'grpc-timeout': { read: readGrpcTimeout, write: grpcTimeout },
}

/** When the first token should arrive. It is no hard deadline: it bounds the wait for a backend and cuts no call. */
const FIRST_TOKEN = 'x-slo-ttft-ms'

/** The fields above, by name. */
export const DEADLINE_FIELDS: readonly string[] = [FIRST_TOKEN, ...Object.keys(FORMS)]

const LENGTHS = new Set(DEADLINE_FIELDS.map(({ length }) => length))

/** The caller's timeout, in milliseconds from the arrival of the call; undefined: it sets none. */
export function callerTimeout(headers: RawPairs): number | undefined {
  for (const [name, { read }] of Object.entries(FORMS)) {
    const value = header(headers, name)
    const ms = value === undefined ? undefined : read(value)
    if (ms !== undefined) return ms
  }
  return undefined
}

/** How soon the caller wants the first token, in milliseconds; undefined: it does not say. */
export function firstTokenWithin(headers: RawPairs): number | undefined {
  const value = header(headers, FIRST_TOKEN)
  return value === undefined ? undefined : milliseconds.read(value)
}

/** How much of the caller's time is left, and how much is spent. */
export interface RemainingTime {
  readonly leftMs: number
  readonly spentMs: number
}

/** The headers with the caller's deadline reduced to what is left of it. */
export function remainingDeadline(headers: RawPairs, { leftMs, spentMs }: RemainingTime): RawPairs {
  let out: string[] | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const field = headers[i] as string
    if (!LENGTHS.has(field.length)) continue
    const name = field.toLowerCase()
    const form = name === FIRST_TOKEN ? milliseconds : FORMS[name]
    if (!form) continue
    const requested = name === FIRST_TOKEN ? form.read(headers[i + 1] as string) : undefined
    if (name === FIRST_TOKEN && requested === undefined) continue
    const ms = requested === undefined ? leftMs : Math.min(leftMs, requested - spentMs)
    out ??= [...headers]
    out[i + 1] = form.write(Math.max(1, Math.floor(ms - MARGIN_MS)))
  }
  return out ?? headers
}
