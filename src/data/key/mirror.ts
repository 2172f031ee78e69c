/**
 * A worker's copies of epochs and deployments, which the control thread settles for the whole process. A worker asks the
 * control thread for what it does not know. The control thread pushes each change to all workers before it reports that
 * the change holds. Where it does not answer, a unique value for this one call stands in: cold, but right.
 */
import { randomBytes } from 'node:crypto'
import type { Target } from '../../core/call.ts'
import {
  type DeploymentState,
  type DeploymentToken,
  deploymentNames,
  joinTokens,
  labelName,
  mayAnswer,
  mayAnswerAs,
} from './deployed.ts'
import { type EpochState, type EpochValues, valuesOf } from './epochs.ts'

/** Asks the control thread; rejects where that does not answer. */
export interface FactSource {
  epochs(names: readonly string[]): Promise<readonly EpochState[]>
  /** `withinMs`: how long the control thread may wait for the backends. */
  deployment(pool: string, model: string, withinMs?: number): Promise<DeploymentState>
}

/** Callers make up names; the control thread evicts some, and says so. */
const MAX_NAMES = 20_000

interface EpochCopy extends EpochState {
  /** A call has used it since the last report to the control thread. */
  isUsed?: boolean
}

export class MirroredEpochs {
  /** Changes whenever `peek` may give another answer, and with each report of used epochs. */
  revision = 0
  readonly #source: Pick<FactSource, 'epochs'>
  readonly #epochs = new Map<string, EpochCopy>()

  constructor(source: Pick<FactSource, 'epochs'>) {
    this.#source = source
  }

  peek(names: readonly string[]): EpochValues | undefined {
    return valuesOf(this.#epochs, names)
  }

  async load(names: readonly string[]): Promise<EpochValues> {
    const missing = names.filter((name) => !this.#epochs.has(name))
    const answers = await this.#source.epochs(missing).catch(() => [])
    for (const [i, epoch] of answers.entries()) this.#keep(missing[i] as string, epoch)
    const epochs = names.map((name) => this.#epochs.get(name) ?? { value: unique(), shared: false })
    return { values: epochs.map(({ value }) => value), shared: epochs.every(({ shared }) => shared) }
  }

  /** Takes a change of an epoch; undefined: it was evicted. True where the copy here had another value. */
  update(name: string, epoch: EpochState | undefined): boolean {
    // Also for an unknown epoch: a call may be running under a value of its own.
    this.revision++
    const known = this.#epochs.get(name)
    if (!known) return false
    if (epoch) this.#epochs.set(name, { ...epoch, isUsed: known.isUsed === true })
    else this.#epochs.delete(name)
    return known.value !== epoch?.value
  }

  /** The epochs that calls have used since the last report: the control thread evicts others first. */
  takeUsed(): string[] {
    this.revision++
    const used: string[] = []
    for (const [name, epoch] of this.#epochs) {
      if (!epoch.isUsed) continue
      epoch.isUsed = false
      used.push(name)
    }
    return used
  }

  #keep(name: string, epoch: EpochState): void {
    this.revision++
    if (this.#epochs.size >= MAX_NAMES) this.#epochs.clear()
    this.#epochs.set(name, epoch)
  }
}

interface Copy extends DeploymentState {
  readonly pool: string
  readonly model: string
}

export class MirroredDeployments {
  /** See `MirroredEpochs`. */
  revision = 0
  readonly #source: Pick<FactSource, 'deployment'>
  readonly #copies = new Map<string, Copy>()
  /** Those that calls have named since the last report. */
  readonly #called = new Set<Copy>()

  constructor(source: Pick<FactSource, 'deployment'>) {
    this.#source = source
  }

  peek(pool: string, target: Target): DeploymentToken | undefined {
    const token = (name: string) => {
      const copy = this.#copies.get(nameOf(pool, name))
      if (copy) this.#called.add(copy)
      return copy?.token
    }
    return joinTokens(deploymentNames(target).map(token))
  }

  async load(pool: string, target: Target, withinMs?: number): Promise<DeploymentToken> {
    const tokens = await Promise.all(deploymentNames(target).map((name) => this.#load(pool, name, withinMs)))
    return joinTokens(tokens) as DeploymentToken
  }

  async #load(pool: string, model: string, withinMs: number | undefined): Promise<DeploymentToken> {
    const state = await this.#source.deployment(pool, model, withinMs).catch(() => undefined)
    if (!state) return { value: unique(), shared: false, writable: false }
    this.revision++
    if (this.#copies.size >= MAX_NAMES) this.#copies.clear()
    this.#copies.set(nameOf(pool, model), { ...state, pool, model })
    return state.token
  }

  mayKeep(pool: string, target: Target, version: string | undefined): boolean {
    const label = labelName(target)
    if (label !== undefined && !mayAnswerAs(this.#copies.get(nameOf(pool, label)), version)) return false
    return mayAnswer(this.#copies.get(nameOf(pool, target.model ?? '')), target, version)
  }

  /** See `MirroredEpochs`. */
  update(pool: string, model: string, state: DeploymentState | undefined): boolean {
    this.revision++
    const name = nameOf(pool, model)
    const known = this.#copies.get(name)
    if (!known) return false
    if (state) this.#copies.set(name, { ...state, pool, model })
    else this.#copies.delete(name)
    return known.token.value !== state?.token.value
  }

  /** The models that calls have named since the last report, by pool. */
  takeCalled(): ReadonlyMap<string, readonly string[]> {
    this.revision++
    const called = Map.groupBy(this.#called, ({ pool }) => pool)
    this.#called.clear()
    return new Map([...called].map(([pool, copies]) => [pool, copies.map(({ model }) => model)]))
  }
}

function nameOf(pool: string, model: string): string {
  return `${pool}\n${model}`
}

function unique(): string {
  return randomBytes(12).toString('base64url')
}
