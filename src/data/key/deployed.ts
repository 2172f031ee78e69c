/** What is known of a deployment, and the forms in which it is told. */
import { createHash } from 'node:crypto'
import type { Target } from '../../core/call.ts'
import { isStamp, type Stamp } from './stamp.ts'

/** What the backends of a pool offer under a model's name; another text is another deployment. */
export interface Evidence {
  readonly pool: string
  /** The empty string: calls that name no model. */
  readonly model: string
  /** Undefined: no backend has told yet what it has; its answers may have said of which version they are. */
  readonly evidence: string | undefined
  /** The versions that may answer; undefined: not every backend says its own. */
  readonly versions?: readonly string[]
  /** Answers have said so, and no backend when it was asked: it holds for calls that leave the version open. */
  readonly isStated?: boolean
  /** Another deployment, though the backends say the same as before. */
  readonly isNew?: boolean
}

export interface DeploymentToken {
  readonly value: string
  /** False: known to this process alone, so shared tiers have no part in what is under it. */
  readonly shared: boolean
  /** False: no backend has said here what it has. What others keep under it may be looked up, and nothing added. */
  readonly writable: boolean
}

/** What calls need to know of a model. */
export interface DeploymentState {
  readonly token: DeploymentToken
  /** The versions that may answer; undefined: not every backend says its own. */
  readonly versions: readonly string[] | undefined
  /** As of `Evidence`. */
  readonly isStated: boolean
}

/** A shared fact: the evidence for which a deployment began, and when. */
export interface Fact {
  readonly evidence: string
  readonly stamp: Stamp
}

export function printFact({ evidence, stamp }: Fact): string {
  return `${evidence}:${stamp}`
}

/** Undefined: there is none, or something else. */
export function parseFact(text: string | undefined): Fact | undefined {
  const [evidence = '', stamp, more] = (text ?? '').split(':')
  return isStamp(stamp) && more === undefined ? { evidence, stamp } : undefined
}

/**
 * The names under which a call's deployment is known: the model's, and that of the label it names. A label is moved from
 * one version to another while the model's versions stay, so it is deployed by itself.
 */
export function deploymentNames(target: Target): readonly string[] {
  const model = target.model ?? ''
  const label = labelName(target)
  return label === undefined ? [model] : [model, label]
}

/** `/` is in no model's name. */
export function labelName(target: Target): string | undefined {
  const { model = '', version } = target
  return version?.startsWith(LABELS) ? `${model}/${version}` : undefined
}

const LABELS = 'labels/'

/** One for all that the call's deployment is known by; undefined: one of them must be loaded first. */
export function joinTokens(tokens: readonly (DeploymentToken | undefined)[]): DeploymentToken | undefined {
  const [first, second] = tokens
  if (tokens.length === 1 || !first || !second) return tokens.length === 1 ? first : undefined
  return {
    value: `${first.value}+${second.value}`,
    shared: first.shared && second.shared,
    writable: first.writable && second.writable,
  }
}

/** Whether an answer of this version is one of those deployed, as far as anybody knows. */
export function mayAnswer(
  state: Pick<DeploymentState, 'versions' | 'isStated'> | undefined,
  { version: asked }: Target,
  version: string | undefined,
): boolean {
  const versions = state?.versions
  if (version === undefined || versions === undefined) return true
  return (state?.isStated === true && asked !== undefined) || versions.includes(version)
}

/** The same for calls by a label: where it points to is known from the backends or not at all, and then nothing is kept. */
export function mayAnswerAs(
  label: Pick<DeploymentState, 'versions'> | undefined,
  version: string | undefined,
): boolean {
  const versions = label?.versions
  return versions !== undefined && (version === undefined || versions.includes(version))
}

/** The oldest that only callers know of, and did not use again, goes first: nobody would tell us again about the others. */
export function forgetOne<T extends { readonly isReal: boolean; isUsed: boolean }>(
  models: Map<string, T>,
  made: T,
): string | undefined {
  for (const [model, known] of models) {
    if (known === made || known.isReal) continue
    models.delete(model)
    if (!known.isUsed) return model
    // Spared once, and looked at again when all others were.
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

/** Evidence as it stands in facts and tokens. */
export function hashOf(evidence: string): string {
  return createHash('sha256').update(evidence).digest('base64url').slice(0, 22)
}

/** Whether what is known under a name is the model's, or a label's of it; the empty string: of any. */
export function isOf(name: string, model: string): boolean {
  return model === '' || name === model || name.startsWith(`${model}/`)
}
