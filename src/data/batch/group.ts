/**
 * Whose rows may share an upstream request: those of calls that a backend could not tell apart but by their rows.
 * The request bears one caller's header fields, so all that may matter must be equal; what only says who is
 * calling, when and by which way, for logs and traces, is left out of the comparison.
 */
import type { RawPairs } from '../../core/call.ts'
import { FieldTable, TRACING_FIELDS } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'

const OF_ONE_CALL = new FieldTable(
  [
    ...TRACING_FIELDS,
    ...['accept-encoding', 'content-length', 'date', 'forwarded', 'host', 'idempotency-key', 'user-agent'],
  ].map((name) => [name, true] as const),
)

export interface Groupable {
  readonly route: string
  /** `Plan.batch`: what the dialect says must be equal. */
  readonly batch: Digest
  /** Digest of the caller's credentials. */
  readonly principal: string
  /** The fields that would go to the backend. */
  readonly headers: RawPairs
}

/** The name of the group; lengths go before the texts, so that no two lists of fields run into the same name. */
export function batchGroup({ route, batch, principal, headers }: Groupable): string {
  const fields: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (!OF_ONE_CALL.get(name)) fields.push(measured(name.toLowerCase(), headers[i + 1]))
  }
  return digestOf([measured(route, batch), measured(principal, ''), ...fields].join(''))
}

function measured(a: string, b = ''): string {
  return `${a.length}:${a}${b.length}:${b}`
}
