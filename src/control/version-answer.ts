/**
 * What a backend says about the versions it serves, in the words of two protocols: TensorFlow Serving's model
 * status and the model metadata of the Open Inference Protocol. A fault is told from an answer without versions,
 * since only the latter is a statement.
 */
import type { Offer } from './offering.ts'
import type { ProbeResult } from './probe.ts'

/** `offers`: sorted. `other`: it does not speak this. `silent`: no answer, or one that says nothing for now. */
export type VersionAnswer =
  | { readonly kind: 'offers'; readonly offers: readonly Offer[] }
  | { readonly kind: 'other' }
  | { readonly kind: 'silent'; readonly away: boolean }

const OTHER: VersionAnswer = { kind: 'other' }
const SILENT: VersionAnswer = { kind: 'silent', away: false }
const AWAY: VersionAnswer = { kind: 'silent', away: true }

/** `GET /v1/models/M` of TensorFlow Serving: the versions in state AVAILABLE. KServe's V1 has no versions there. */
export function readStatus(result: ProbeResult): VersionAnswer {
  return read(result, ({ model_version_status: status }) => {
    if (!Array.isArray(status)) return OTHER
    const available = status.flatMap((entry: { version?: unknown; state?: unknown } | null) =>
      entry?.state === 'AVAILABLE' && isVersion(entry.version) ? [`${entry.version}@`] : [],
    )
    return available.length === 0 ? SILENT : { kind: 'offers', offers: available.sort() }
  })
}

/** `GET /v2/models/M` of the Open Inference Protocol: `versions`, and `parameters.revision` where there is one. */
export function readMetadata(result: ProbeResult): VersionAnswer {
  return read(result, ({ name, versions, parameters }) => {
    if (typeof name !== 'string') return OTHER
    const revision = (parameters as { revision?: unknown } | null | undefined)?.revision
    const digest = isVersion(revision) ? `rev:${revision}` : ''
    const named = Array.isArray(versions) ? versions.filter(isVersion).map(String) : []
    // An empty list is a model that is being loaded; a list left out says nothing about versions.
    if (Array.isArray(versions) && named.length === 0) return SILENT
    if (named.length === 0) return digest === '' ? OTHER : { kind: 'offers', offers: [`@${digest}`] }
    return { kind: 'offers', offers: [...new Set(named)].sort().map((version) => `${version}@${digest}`) }
  })
}

function read(
  result: ProbeResult,
  judge: (body: Readonly<Record<string, unknown>>) => VersionAnswer,
): VersionAnswer {
  if (result.kind !== 'status') return AWAY
  // 501: TensorFlow Serving and others for what they have no code for.
  if (result.status >= 500 && result.status !== 501) return SILENT
  if (result.status < 200 || result.status >= 300) return result.status === 429 ? SILENT : OTHER
  try {
    const body: unknown = JSON.parse(result.body)
    return typeof body === 'object' && body !== null ? judge(body as Record<string, unknown>) : OTHER
  } catch {
    return SILENT
  }
}

/** Short and without separators of the evidence; Number as some servers print versions. */
function isVersion(value: unknown): value is string | number {
  if (typeof value === 'number') return Number.isSafeInteger(value)
  return typeof value === 'string' && /^[^\s@]{1,256}$/.test(value)
}
