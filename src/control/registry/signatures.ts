/**
 * Checks whether a new backend takes the same inputs as its pool. A backend with other inputs would answer other
 * questions, and its answers would be stored. It stays warming until the others have the same inputs or are gone.
 * Another version of a model may have another signature, since keys contain the version.
 */
import type { Backend, ModelOffer } from '../../core/backend.ts'
import {
  type Probe,
  type ProbeAccess,
  type ProbeRequest,
  type ProbeResult,
  reached,
} from '../health/probe.ts'

/** `name:type` of each input, sorted. */
type Signature = string

interface Known {
  readonly version: string | undefined
  readonly signature: Signature
}

export interface Candidate extends ProbeAccess {
  readonly backend: Backend
  /** The pool's other backends; called after the queries, since a backend may join in the meantime. */
  readonly others: () => readonly Backend[]
  readonly timeoutMs: number
}

type How = Omit<ProbeRequest, 'path'>

/** Most models that are queried of a backend, which waits for all answers. */
const MAX_MODELS = 8

export class Signatures {
  readonly #probe: Probe
  /** The signatures of joined backends, by generation, then model. */
  readonly #known = new Map<number, ReadonlyMap<string, Known>>()

  constructor(probe: Probe) {
    this.#probe = probe
  }

  /** Why the backend must not join, or undefined. A backend that declares no inputs may join. */
  async check({ backend, others, ...how }: Candidate): Promise<string | undefined> {
    const own = new Map<string, Known>()
    for (const { name, version } of backend.models.slice(0, MAX_MODELS)) {
      const signature = await this.#query({ ...reached(backend), ...how }, name)
      if (signature !== undefined) own.set(name, { version, signature })
    }
    const joined = others()
    for (const [model, mine] of own) {
      const other = joined.find((member) => isOther(this.#known.get(member.generation)?.get(model), mine))
      if (!other) continue
      const theirs = this.#known.get(other.generation)?.get(model)?.signature
      return `model "${model}" takes ${shown(mine.signature)}, and ${shown(theirs ?? '')} at ${other.id}: register it in a pool of its own, or under a version of its own`
    }
    this.#known.set(backend.generation, own)
    return undefined
  }

  forget(generation: number): void {
    this.#known.delete(generation)
  }

  async #query(how: How, model: ModelOffer['name']): Promise<Signature | undefined> {
    const name = encodeURIComponent(model)
    const v2 = readV2(await this.#probe({ ...how, path: `/v2/models/${name}` }))
    return v2 ?? readV1(await this.#probe({ ...how, path: `/v1/models/${name}/metadata` }))
  }
}

function isOther(theirs: Known | undefined, mine: Known): boolean {
  if (!theirs || theirs.signature === mine.signature) return false
  return theirs.version === undefined || mine.version === undefined || theirs.version === mine.version
}

const shown = (signature: Signature): string => signature.slice(0, 200) || 'no input'

/** The model metadata of the Open Inference Protocol: `inputs` with names and datatypes. */
function readV2(result: ProbeResult): Signature | undefined {
  const { inputs } = bodyOf(result) as { inputs?: unknown }
  if (!Array.isArray(inputs)) return undefined
  return textOf(inputs.map((input: { name?: unknown; datatype?: unknown }) => [input?.name, input?.datatype]))
}

interface V1Metadata {
  readonly metadata?: {
    readonly signature_def?: {
      readonly signature_def?: Readonly<
        Record<string, { readonly inputs?: Readonly<Record<string, { readonly dtype?: unknown } | null>> }>
      >
    }
  }
}

/** TensorFlow Serving's metadata: the inputs of `serving_default`, in the other protocol's words. */
function readV1(result: ProbeResult): Signature | undefined {
  const { metadata } = bodyOf(result) as V1Metadata
  const inputs = metadata?.signature_def?.signature_def?.['serving_default']?.inputs
  if (typeof inputs !== 'object' || inputs === null) return undefined
  return textOf(Object.entries(inputs).map(([name, input]) => [name, v2TypeOf(input?.dtype)]))
}

const TYPES: Readonly<Record<string, string>> = {
  DT_BOOL: 'BOOL',
  DT_HALF: 'FP16',
  DT_BFLOAT16: 'BF16',
  DT_FLOAT: 'FP32',
  DT_DOUBLE: 'FP64',
  DT_INT8: 'INT8',
  DT_INT16: 'INT16',
  DT_INT32: 'INT32',
  DT_INT64: 'INT64',
  DT_UINT8: 'UINT8',
  DT_UINT16: 'UINT16',
  DT_UINT32: 'UINT32',
  DT_UINT64: 'UINT64',
  DT_STRING: 'BYTES',
}

/** `dtype` may be anything, even an object that cannot be printed. */
function v2TypeOf(dtype: unknown): unknown {
  return typeof dtype === 'string' && Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : dtype
}

function textOf(inputs: readonly (readonly [unknown, unknown])[]): Signature | undefined {
  if (!inputs.every(([name, type]) => typeof name === 'string' && typeof type === 'string')) return undefined
  return inputs
    .map((input) => input.join(':'))
    .sort()
    .join(', ')
}

function bodyOf(result: ProbeResult): object {
  if (result.kind !== 'status' || result.status < 200 || result.status >= 300) return {}
  try {
    const body: unknown = JSON.parse(result.body)
    return typeof body === 'object' && body !== null ? body : {}
  } catch {
    return {}
  }
}
