/**
 * Names the group of calls whose rows may share an upstream request: calls that a backend cannot tell apart but by their rows.
 * The request bears the header fields of one caller, so all fields that may matter must be equal. Fields for logs and traces
 * only are not compared.
 */
import type { RawPairs } from '../../core/call.ts'
import { FieldTable, TRACING_FIELDS } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { Labels } from '../../core/labels.ts'

const OF_ONE_CALL = new FieldTable(
  [
    ...TRACING_FIELDS,
    ...['accept-encoding', 'content-length', 'date', 'forwarded', 'host', 'idempotency-key', 'user-agent'],
  ].map((name) => [name, true] as const),
)

export interface Groupable {
  readonly route: string
  /** `Plan.batch`: a digest of what the dialect requires to be equal. */
  readonly batch: Digest
  /** Whose rows may share a request: from `audienceOf`. */
  readonly audience: readonly [kind: string, name: string]
  /** The fields that would go to the backend. */
  readonly headers: RawPairs
  /** Those that a backend must have; undefined: any backend will do. */
  readonly labels: Labels | undefined
}

/** The name of the group. Each text has its length in front, so that no two lists of fields give the same name. */
export function batchGroup({ route, batch, audience, headers, labels }: Groupable): string {
  const fields: string[] = [measured('', labels && JSON.stringify(labels))]
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (!OF_ONE_CALL.get(name)) fields.push(measured(name.toLowerCase(), headers[i + 1]))
  }
  return digestOf([measured(route, batch), measured(...audience), ...fields].join(''))
}

function measured(a: string, b = ''): string {
  return `${a.length}:${a}${b.length}:${b}`
}
