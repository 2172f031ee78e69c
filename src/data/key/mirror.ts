/**
 * Epochs and deployments as one worker of several knows them: copies of what the control thread settles for the whole
 * process. What was never asked for is asked there; every change is pushed down before anybody is told that it holds.
 * Where the control thread does not answer, a value of this call alone stands in: cold, but right.
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

/** Asks the control thread; rejects where it does not answer. */
export interface FactSource {
  epochs(names: readonly string[]): Promise<readonly EpochState[]>
  /** `withinMs`: what it may wait there for the backends. */
  deployment(pool: string, model: string, withinMs?: number): Promise<DeploymentState>
}

/** Names come from callers; the control thread forgets some, and says so. */
const MAX_NAMES = 20_000

interface EpochCopy extends EpochState {
  /** By a call, since it was last told. */
  isUsed?: boolean
}

export class MirroredEpochs {
  /** Another number whenever `peek` may give another answer than before, and after each report of what is used. */
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
    const asked = await this.#source.epochs(missing).catch(() => [])
    for (const [i, epoch] of asked.entries()) this.#keep(missing[i] as string, epoch)
    const epochs = names.map((name) => this.#epochs.get(name) ?? { value: unique(), shared: false })
    return { values: epochs.map(({ value }) => value), shared: epochs.every(({ shared }) => shared) }
  }

  /** An epoch has changed; undefined: it was forgotten. True where another value stood here. */
  told(name: string, epoch: EpochState | undefined): boolean {
    // Of what is not known here too: a call may go on under a value of its own.
    this.revision++
    const known = this.#epochs.get(name)
    if (!known) return false
    if (epoch) this.#epochs.set(name, { ...epoch, isUsed: known.isUsed === true })
    else this.#epochs.delete(name)
    return known.value !== epoch?.value
  }

  /** Those that calls have used since this was last asked: the control thread forgets others first. */
  used(): string[] {
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
  /** As of epochs. */
  revision = 0
  readonly #source: Pick<FactSource, 'deployment'>
  readonly #copies = new Map<string, Copy>()
  /** Named by calls since the last report. */
  readonly #asked = new Set<Copy>()

  constructor(source: Pick<FactSource, 'deployment'>) {
    this.#source = source
  }

  peek(pool: string, target: Target): DeploymentToken | undefined {
    const token = (name: string) => {
      const copy = this.#copies.get(nameOf(pool, name))
      if (copy) this.#asked.add(copy)
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

  /** As for epochs. */
  told(pool: string, model: string, state: DeploymentState | undefined): boolean {
    this.revision++
    const name = nameOf(pool, model)
    const known = this.#copies.get(name)
    if (!known) return false
    if (state) this.#copies.set(name, { ...state, pool, model })
    else this.#copies.delete(name)
    return known.token.value !== state?.token.value
  }

  /** The models that calls have named since this was last asked, by pool. */
  asked(): ReadonlyMap<string, readonly string[]> {
    this.revision++
    const asked = Map.groupBy(this.#asked, ({ pool }) => pool)
    this.#asked.clear()
    return new Map([...asked].map(([pool, copies]) => [pool, copies.map(({ model }) => model)]))
  }
}

function nameOf(pool: string, model: string): string {
  return `${pool}\n${model}`
}

function unique(): string {
  return randomBytes(12).toString('base64url')
}
