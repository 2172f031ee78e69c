/** What is known of a deployment (evidence, token, state), and how it is written in shared facts. */
import { createHash } from 'node:crypto'
import type { Target } from '../../core/call.ts'
import { isStamp, type Stamp } from './stamp.ts'

/** What the backends of a pool offer under a model's name. Different text means another deployment. */
export interface Evidence {
  readonly pool: string
  /** The empty string: calls that name no model. */
  readonly model: string
  /** Undefined: no backend has reported yet; answers may have stated their version. */
  readonly evidence: string | undefined
  /** The versions that may answer; undefined: not every backend reports its own. */
  readonly versions?: readonly string[]
  /** The evidence comes from answers, not from a backend's report, and holds for calls that name no version. */
  readonly isStated?: boolean
  /** Another deployment, though the backends report the same as before. */
  readonly isNew?: boolean
  /** When the backend whose report is new last reported otherwise, by the clock's `now`; undefined: never. */
  readonly otherwiseAt?: number | undefined
}

export interface DeploymentToken {
  readonly value: string
  /** False: this process alone knows it, so nothing under it is read from or written to shared tiers. */
  readonly shared: boolean
  /** False: no backend has reported here. Entries of other gateways may be read under it; none may be written. */
  readonly writable: boolean
}

/** What a lookup needs to know of a model's deployment. */
export interface DeploymentState {
  readonly token: DeploymentToken
  /** The versions that may answer; undefined: not every backend reports its own. */
  readonly versions: readonly string[] | undefined
  /** See `Evidence`. */
  readonly isStated: boolean
}

/** A shared fact: the evidence for which a deployment began, and the stamp of its beginning. */
export interface Fact {
  readonly evidence: string
  readonly stamp: Stamp
}

export function printFact({ evidence, stamp }: Fact): string {
  return `${evidence}:${stamp}`
}

/** Undefined: no fact, or text that is none. */
export function parseFact(text: string | undefined): Fact | undefined {
  const [evidence = '', stamp, more] = (text ?? '').split(':')
  return isStamp(stamp) && more === undefined ? { evidence, stamp } : undefined
}

/**
 * The names under which a call's deployment is known: the model's, and that of the label the call names. A label moves
 * from one version to another while the model's versions stay, so it has a deployment of its own.
 */
export function deploymentNames(target: Target): readonly string[] {
  const model = target.model ?? ''
  const label = labelName(target)
  return label === undefined ? [model] : [model, label]
}

/** `/` cannot occur in a model's name. */
export function labelName(target: Target): string | undefined {
  const { model = '', version } = target
  return version?.startsWith(LABELS) ? `${model}/${version}` : undefined
}

const LABELS = 'labels/'

/** One token for all names of a call's deployment; undefined: one of them must be loaded first. */
export function joinTokens(tokens: readonly (DeploymentToken | undefined)[]): DeploymentToken | undefined {
  const [first, second] = tokens
  if (tokens.length === 1 || !first || !second) return tokens.length === 1 ? first : undefined
  return {
    value: `${first.value}+${second.value}`,
    shared: first.shared && second.shared,
    writable: first.writable && second.writable,
  }
}

/** Whether this version is one of those deployed, as far as anybody knows. */
export function mayAnswer(
  state: Pick<DeploymentState, 'versions' | 'isStated'> | undefined,
  { version: asked }: Target,
  version: string | undefined,
): boolean {
  const versions = state?.versions
  if (version === undefined || versions === undefined) return true
  return (state?.isStated === true && asked !== undefined) || versions.includes(version)
}

/** The same for calls by a label. Where no backend says what the label points to, nothing is stored. */
export function mayAnswerAs(
  label: Pick<DeploymentState, 'versions'> | undefined,
  version: string | undefined,
): boolean {
  const versions = label?.versions
  return versions !== undefined && (version === undefined || versions.includes(version))
}

/** Evicts the oldest name that only callers have used, and once: nobody would report the other deployments again. */
export function forgetOne<T extends { readonly isReported: boolean; isUsed: boolean }>(
  models: Map<string, T>,
  made: T,
): string | undefined {
  for (const [model, known] of models) {
    if (known === made || known.isReported) continue
    models.delete(model)
    if (!known.isUsed) return model
    // It was used again: it is spared once, and tried again after all others.
    known.isUsed = false
    models.set(model, known)
  }
  for (const [model, known] of models) {
    if (known === made) continue
    models.delete(model)
    return model
  }
  return undefined
}

/** Evidence as it is written in facts and tokens. */
export function hashOf(evidence: string): string {
  return createHash('sha256').update(evidence).digest('base64url').slice(0, 22)
}

/** Whether a deployment's name is the model's own or that of one of its labels; the empty string stands for any model. */
export function isOf(name: string, model: string): boolean {
  return model === '' || name === model || name.startsWith(`${model}/`)
}
