/** Sends some rows of a call upstream as a request of their own. */
import type { Call, RawPairs } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { Charge } from '../../core/tenant-share.ts'
import type { Row } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import type { Dispatch } from '../upstream/upstream-call.ts'
import type { LookupContext } from './lookup-context.ts'

const MAX_BYTES = 16 * 1024 * 1024
const DEADLINE_MS = 30_000
/** The comparison is the gateway's own. */
const NOBODY: readonly Charge[] = []

/** Returns a function that resolves with a whole good answer, or with undefined. The request goes on if the caller leaves. */
export function createSendRows(dispatch: Dispatch, outgoing: (call: Call) => RawPairs) {
  return async (context: LookupContext, rows: readonly Row[]): Promise<Reply | undefined> => {
    const { call, matched, plan, body } = context
    const joined = matched.protocol.rows?.join(plan, rows, body)
    if (!joined) return undefined
    const { reply } = await dispatch(call, matched, {
      body: joined.body,
      contentLength: undefined,
      headers: requestHeaders(outgoing(call), joined.headers),
      key: rows[0]?.digest,
      signal: AbortSignal.timeout(DEADLINE_MS),
      collectBytes: MAX_BYTES,
      charges: NOBODY,
    })
    return verdictOf(matched.protocol, reply).kind === 'ok' && reply.body instanceof Uint8Array
      ? reply
      : undefined
  }
}

/**
 * The headers of a request made of rows: those of the call, replaced by `joined` where names are equal, without the fields that
 * allow an encoded answer.
 */
export function requestHeaders(headers: RawPairs, joined: RawPairs): RawPairs {
  if (joined.length > 0) return without(headers, joined)
  const known = PLAIN.get(headers)
  if (known) return known
  const plain = without(headers, NONE)
  PLAIN.set(headers, plain)
  return plain
}

const NONE: RawPairs = []
/** Results by input array, since equal heads share one array of fields. */
const PLAIN = new WeakMap<RawPairs, RawPairs>()

function without(headers: RawPairs, joined: RawPairs): string[] {
  const names = new Set([
    'accept-encoding',
    'grpc-accept-encoding',
    ...joined.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()),
  ])
  const out: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (!names.has((headers[i] as string).toLowerCase()))
      out.push(headers[i] as string, headers[i + 1] as string)
  return [...out, ...joined]
}
