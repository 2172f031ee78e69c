/**
 * Parses a backend's answers about the versions it serves, of four protocols: TensorFlow Serving's model status, the
 * model metadata of the Open Inference Protocol, the list of models of OpenAI's API and TorchServe's management API. An error is distinguished from an answer without versions, because
 * only the latter is a statement.
 */
import { createHash } from 'node:crypto'
import type { ProbeResult } from '../health/probe.ts'
import type { VersionOffer } from './offering.ts'

/**
 * `offers`: the versions, sorted. `unversioned`: the model is there, with a signature but without versions. `other`:
 * the backend does not speak this protocol. `silent`: no answer, or none that says anything at present.
 */
export type VersionAnswer =
  | { readonly kind: 'offers'; readonly offers: readonly VersionOffer[] }
  | { readonly kind: 'unversioned'; readonly digest: string }
  | { readonly kind: 'other' }
  | { readonly kind: 'silent'; readonly isUnreachable: boolean }

const OTHER: VersionAnswer = { kind: 'other' }
const SILENT: VersionAnswer = { kind: 'silent', isUnreachable: false }
const UNREACHABLE: VersionAnswer = { kind: 'silent', isUnreachable: true }

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

/**
 * `GET /v2/models/M` of the Open Inference Protocol: `versions`, and `parameters.revision` where there is one. MLServer
 * and KServe leave the versions out; then what goes in and comes out counts, as a model with other tensors is another one.
 */
export function readMetadata(result: ProbeResult): VersionAnswer {
  return read(result, ({ name, versions, parameters, inputs, outputs }) => {
    if (typeof name !== 'string') return OTHER
    const revision = (parameters as { revision?: unknown } | null | undefined)?.revision
    const digest = isVersion(revision) ? `rev:${revision}` : ''
    const named = Array.isArray(versions) ? versions.filter(isVersion).map(String) : []
    if (named.length === 0) return { kind: 'unversioned', digest: digest + signature(inputs, outputs) }
    return { kind: 'offers', offers: [...new Set(named)].sort().map((version) => `${version}@${digest}`) }
  })
}

/**
 * `GET /v1/models` of vLLM, SGLang, TGI, llama.cpp and Ollama. It has no versions: what a model was loaded from and what it was made
 * of count, and when it was listed, in which order and with which permissions do not. A server that takes any name lists none of
 * them; then all that it lists counts.
 */
export function readList(result: ProbeResult, model: string): VersionAnswer {
  return read(result, ({ data }) => {
    if (!Array.isArray(data)) return OTHER
    const all = (data as (ModelEntry | null)[]).filter((entry) => typeof entry?.id === 'string')
    if (all.length === 0) return SILENT
    const own = all.filter((entry) => entry?.id === model)
    const facts = (own.length > 0 ? own : all).map((entry) => JSON.stringify(factsOf(entry as ModelEntry)))
    const digest = createHash('sha256').update(facts.sort().join('\n')).digest('base64url').slice(0, 22)
    return { kind: 'offers', offers: [`@list:${digest}`] }
  })
}

interface ModelEntry {
  readonly id?: unknown
  readonly root?: unknown
  readonly parent?: unknown
  readonly max_model_len?: unknown
  /** Of llama.cpp: sizes of the model's file. */
  readonly meta?: { readonly n_params?: unknown; readonly size?: unknown } | null
}

function factsOf({ id, root, parent, max_model_len, meta }: ModelEntry): readonly unknown[] {
  return [id, root, parent, max_model_len, meta?.n_params, meta?.size]
}

/**
 * `GET /models/M` of TorchServe's management, where that has the address of its predictions: the version that answers where
 * none is asked for, and the archive that it was loaded from.
 */
export function readManaged(result: ProbeResult, model: string): VersionAnswer {
  return read(result, (body) => {
    const [found] = Array.isArray(body) ? (body as (ManagedModel | null)[]) : []
    if (found?.modelName !== model || !isVersion(found.modelVersion)) return OTHER
    return {
      kind: 'offers',
      offers: [`${found.modelVersion}@${isVersion(found.modelUrl) ? found.modelUrl : ''}`],
    }
  })
}

interface ManagedModel {
  readonly modelName?: unknown
  readonly modelVersion?: unknown
  readonly modelUrl?: unknown
}

/** `POST /v2/repository/index` of the same protocol's repository extension, asked for an unversioned model. */
export function readIndex(result: ProbeResult, model: string, digest: string): VersionAnswer {
  const unversioned: VersionAnswer = { kind: 'offers', offers: [`@${digest}`] }
  const answer = read(result, (body) => {
    if (!Array.isArray(body)) return OTHER
    const known = (body as ({ name?: unknown; version?: unknown; state?: unknown } | null)[]).filter(
      (entry) => entry?.name === model,
    )
    const ready = known.filter((entry) => (entry?.state ?? 'READY') === 'READY')
    if (ready.length === 0) return known.length === 0 ? OTHER : SILENT
    const versions = ready.map((entry) => (isVersion(entry?.version) ? String(entry?.version) : ''))
    return { kind: 'offers', offers: [...new Set(versions)].sort().map((version) => `${version}@${digest}`) }
  })
  return answer.kind === 'other' ? unversioned : answer
}

/** Names, datatypes and shapes. Other members are left out: they may change from one answer to the next. */
function signature(inputs: unknown, outputs: unknown): string {
  const tensors = [inputs, outputs].map((list) =>
    (Array.isArray(list) ? list : [])
      .map((tensor: { name?: unknown; datatype?: unknown; shape?: unknown } | null) =>
        JSON.stringify([tensor?.name, tensor?.datatype, tensor?.shape]),
      )
      .sort(),
  )
  if (tensors.every((list) => list.length === 0)) return ''
  return `io:${createHash('sha256').update(JSON.stringify(tensors)).digest('base64url').slice(0, 16)}`
}

function read(
  result: ProbeResult,
  judge: (body: Readonly<Record<string, unknown>>) => VersionAnswer,
): VersionAnswer {
  if (result.kind !== 'status') return UNREACHABLE
  // 501: TensorFlow Serving and others for what they have no code for.
  if (result.status >= 500 && result.status !== 501) return SILENT
  if (result.status < 200 || result.status >= 300) return result.status === 429 ? SILENT : OTHER
  // Any other text is a generic page; an object that was cut off still begins like one.
  if (!/^\s*[[{]/.test(result.body)) return OTHER
  try {
    const body: unknown = JSON.parse(result.body)
    return typeof body === 'object' && body !== null ? judge(body as Record<string, unknown>) : OTHER
  } catch {
    return SILENT
  }
}

/** A version must be short and must not contain separators of the evidence. Some servers print versions as numbers. */
function isVersion(value: unknown): value is string | number {
  if (typeof value === 'number') return Number.isSafeInteger(value)
  return typeof value === 'string' && /^[^\s@]{1,256}$/.test(value)
}
