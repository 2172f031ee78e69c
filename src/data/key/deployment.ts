/**
 * What is deployed, as part of every key: a token for each model of a pool, unique and never used again. A new
 * deployment (a rollback is one too) makes a new token, so the answers of the old one cannot be reached any more.
 * Where nothing new was seen the token stays, whatever happens to the backends: what was kept is still what the
 * model says.
 *
 * A token has two parts: the stamp of the last deployment, which gateways share through the first shared tier, and the
 * evidence that this gateway has of it. Gateways whose backends differ (another region, half of a roll-out) therefore
 * never have a token in common, and each new deployment, seen by whomever, ends the tokens of all.
 *
 *   who sees new evidence   replaces the fact, unless it has that evidence already; then its stamp is taken
 *   who sees a later stamp  takes it, within a second
 *   who finds no fact, or an earlier stamp than was known before, makes one with a new stamp
 *   who has no evidence yet looks up what the others keep under theirs, and keeps nothing there
 *
 * There is no compare-and-set: of two that replace a fact at once the last one wins, and both end with a stamp that is
 * later than both. Until then some answers are asked for again, and none is wrong. While the tier cannot be asked a
 * stamp is this process's own, and nothing goes to shared tiers under it.
 */
import type { Target } from '../../core/call.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { Poll } from '../../lib/poll.ts'
import { withTimeout } from '../../lib/with-timeout.ts'
import {
  type DeploymentState,
  type DeploymentToken,
  deploymentNames,
  type Evidence,
  type Fact,
  forgetOne,
  hashOf,
  isOf,
  joinTokens,
  labelName,
  mayAnswer,
  mayAnswerAs,
  parseFact,
} from './deployed.ts'
import { agree, type Deployment, newDeployment } from './deployment-fact.ts'
import type { FactStore } from './epochs.ts'
import { isLater, type Stamp, stampAfter } from './stamp.ts'

export interface DeploymentsOptions {
  /** Undefined: this process is alone. */
  readonly shared: FactStore | undefined
  /** Milliseconds a call waits for the shared tier; then the stamp is this process's own for now. Default 25. */
  readonly waitMs?: number
  readonly clock: Clock
  readonly log: Log
  /** Called whenever a token has changed. */
  readonly changed: () => void
  /** Told of each model's new state, and of one that is forgotten, so that others may keep a copy. */
  readonly told?: (pool: string, model: string, state: DeploymentState | undefined) => void
  /** Called for a model that no evidence is known of when a call first names it. */
  readonly unknown?: (pool: string, model: string) => void
}

const POLL_MS = 1000
const WAIT_MS = 25
/** Names come from callers, so there is a bound. */
const MAX_MODELS = 1024
/** What is called for the first time waits so long, at most, until all its backends have been asked what they have. */
const FIRST_WAIT_MS = 1000
/** Longer than all of these together. */
const LOAD_MS = 3000
/** Later than this, first evidence may not be that of the answers kept so far. */
const FIRST_EVIDENCE_MS = 2000

export class Deployments {
  /** Another number whenever `peek` may give another answer than before, and with every poll: it wants to know who asks. */
  revision = 0
  readonly #options: DeploymentsOptions
  readonly #pools = new Map<string, Map<string, Deployment>>()
  /** Of which it was said that nobody tells what they have. */
  readonly #silent = new Set<string>()
  readonly #poll: Poll

  constructor(options: DeploymentsOptions) {
    this.#options = options
    const { clock, log } = options
    const failed = (error: unknown) => log.warn('deployments.poll', { error: String(error) })
    this.#poll = new Poll({ clock, ms: POLL_MS, run: () => this.poll(), failed })
  }

  start(): void {
    this.#poll.start()
  }

  stop(): void {
    this.#poll.stop()
  }

  /** The token of the called model, or undefined when the shared tier must be asked first. */
  peek(pool: string, target: Target): DeploymentToken | undefined {
    const models = this.#pools.get(pool)
    const token = (name: string) => {
      const known = models?.get(name)
      if (!known?.loaded) return undefined
      known.isUsed = true
      return known.token
    }
    return joinTokens(deploymentNames(target).map(token))
  }

  /** As `peek`, after asking the shared tier, and the backends, about what is unknown: for `withinMs` at most. Never rejects. */
  async load(pool: string, target: Target, withinMs?: number): Promise<DeploymentToken> {
    const names = deploymentNames(target)
    const states = await Promise.all(names.map((name) => this.loadModel(pool, name, withinMs)))
    return joinTokens(states.map(({ token }) => token)) as DeploymentToken
  }

  async loadModel(pool: string, model: string, withinMs = LOAD_MS): Promise<DeploymentState> {
    const known = this.#find(pool, model)
    if (known.evidence === undefined) this.#options.unknown?.(pool, model)
    if (!known.loaded) {
      known.loading ??= this.#load(known)
      await withTimeout(this.#options.clock, known.loading, {
        ms: Math.min(withinMs, LOAD_MS),
        fallback: undefined,
      })
    }
    return known
  }

  /** Calls that others have answered name these models. */
  heardOf(pool: string, models: readonly string[]): void {
    for (const model of models) {
      const known = this.#pools.get(pool)?.get(model)
      if (known) known.isUsed = true
    }
  }

  async #load(known: Deployment): Promise<void> {
    // Both at once: the fact, and what the backends have. Only both together say whose answers the shared ones are; and
    // the first evidence changes the token: a herd that came before and after it would be two loads.
    const { heard, cancel } = this.#firstEvidence(known)
    const isAsked = await this.#settleSoon(known)
    if (known.evidence === undefined) {
      await heard
      if (isAsked) await this.#settleSoon(known)
    }
    cancel()
    known.heard = undefined
    this.revision++
    known.loaded = true
    known.loading = undefined
    if (isAsked && known.evidence === undefined && this.#options.shared) this.#sayUnknown(known)
  }

  /** Once for each pool: callers make up names. */
  #sayUnknown({ pool, model }: Deployment): void {
    if (this.#silent.has(pool)) return
    this.#silent.add(pool)
    const reason =
      'no backend says what it has of this model: until one does, answers are kept in memory only'
    this.#options.log.warn('deployment.unknown', { pool, model, reason })
  }

  #firstEvidence(known: Deployment): { heard: Promise<void>; cancel: () => void } {
    let cancel = () => {}
    const heard = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(FIRST_WAIT_MS, resolve)
      known.heard = resolve
    })
    return { heard, cancel }
  }

  /** A tier that says nothing must not hold up a call: false then, and what it says later is taken then. */
  #settleSoon(known: Deployment): Promise<boolean> {
    const { clock, waitMs = WAIT_MS } = this.#options
    return withTimeout(clock, this.#settle(known), { ms: waitMs, fallback: false })
  }

  /** Takes note of what is deployed; what is no news changes nothing. True: what was kept until now is out of reach. */
  learn(told: Evidence): boolean {
    const { pool, model, evidence, isNew = false } = told
    const known = this.#find(pool, model)
    this.#versions(known, told)
    known.isReal ||= evidence !== undefined && evidence !== ''
    // Who waits for first evidence need not wait for more than there is.
    if (evidence === undefined) known.heard?.()
    const hash = evidence === undefined ? known.evidence : hashOf(evidence)
    if (known.evidence === hash && !isNew) return false
    const isNext = known.loaded && (known.evidence !== undefined || isNew)
    // Where another gateway saw it first, its stamp is here already.
    if (isNew || known.standsFor !== hash) this.#begin(known, hash, isNew)
    known.evidence = hash
    this.#compose(known)
    void this.#settle(known)
    known.heard?.()
    return isNext
  }

  #versions(known: Deployment, { versions, isStated = false }: Evidence): void {
    const isNews = known.isStated !== isStated || known.versions?.join('\n') !== versions?.join('\n')
    known.versions = versions
    known.isStated = isStated
    if (isNews) this.#options.told?.(known.pool, known.model, known)
  }

  /** The first evidence of what is deployed already begins nothing, unless it comes late. */
  #begin(known: Deployment, hash: string | undefined, isNew: boolean): void {
    const isFirst = known.evidence === undefined && known.standsFor === undefined
    const isLate = this.#options.clock.now() - known.bornAt > FIRST_EVIDENCE_MS
    if (isNew || !isFirst || isLate) this.#renew(known)
    known.isNews ||= isNew && this.#options.shared !== undefined
    if (hash !== undefined) known.standsFor = hash
  }

  /** A call that passed through has loaded or unloaded the model. Resolves when what was kept until now is out of reach. */
  async redeployed(pool: string, model: string): Promise<void> {
    const names = new Set([...(this.#pools.get(pool)?.keys() ?? [])].filter((name) => isOf(name, model)))
    for (const name of names.add('').add(model)) {
      const known = this.#find(pool, name)
      await this.#settleSoon(known)
      this.#renew(known)
      known.isNews = this.#options.shared !== undefined
      this.#compose(known)
      await this.#settleSoon(known)
    }
  }

  /**
   * True where an answer of this version may be kept under the model's present token. False for a version that is
   * not known to be deployed: a new one before it was noticed, or a late answer of one that is gone.
   */
  mayKeep(pool: string, target: Target, version: string | undefined): boolean {
    const models = this.#pools.get(pool)
    const label = labelName(target)
    if (label !== undefined && !mayAnswerAs(models?.get(label), version)) return false
    return mayAnswer(models?.get(target.model ?? ''), target, version)
  }

  /** All models of a pool that calls named and that are not forgotten: what is kept of them must not outlive them. */
  asked(pool: string): string[] {
    return [...(this.#pools.get(pool)?.keys() ?? [])].filter((model) => model !== '')
  }

  /** Brings this process up to date with what other gateways have learnt. */
  async poll(): Promise<void> {
    this.revision++
    const { shared } = this.#options
    if (!shared) return
    const all = [...this.#pools.values()].flatMap((models) => [...models.values()])
    const mine = all.filter(({ isShared }) => isShared)
    const before = mine.map(({ stamp }) => stamp)
    await Promise.all(all.filter(({ isShared }) => !isShared).map((own) => this.#settle(own)))
    if (mine.length === 0) return
    const facts = await shared.facts(mine.map(({ fact }) => fact))
    if (!facts) return
    mine.forEach((known, i) => {
      // Renewed while we asked: what the tier said then is older than what we know now.
      if (known.stamp !== before[i]) return
      const fact = parseFact(facts[i])
      if (fact?.stamp === known.stamp) return
      if (fact && isLater(fact.stamp, known.floor)) return this.#adopt(known, fact)
      this.#renew(known)
      this.#compose(known)
      void this.#settle(known)
    })
  }

  #find(pool: string, model: string): Deployment {
    const models = this.#pools.get(pool) ?? new Map<string, Deployment>()
    this.#pools.set(pool, models)
    const known = models.get(model)
    if (known) return known
    const { clock, shared } = this.#options
    const stamp = stampAfter(clock.wall())
    const made = newDeployment({ pool, model, stamp, bornAt: clock.now() }, shared === undefined)
    models.set(model, made)
    this.revision++
    const forgotten = models.size > MAX_MODELS ? forgetOne(models, made) : undefined
    if (forgotten !== undefined) this.#options.told?.(pool, forgotten, undefined)
    return made
  }

  #renew(known: Deployment, than?: Stamp): void {
    const { shared, clock } = this.#options
    known.stamp = stampAfter(clock.wall(), known.stamp, known.floor, than)
    known.isShared = shared === undefined
  }

  #adopt(known: Deployment, { evidence, stamp }: Fact): void {
    known.standsFor = evidence
    known.isNews = false
    known.stamp = stamp
    known.floor = stamp
    known.isShared = true
    this.#compose(known)
  }

  /** The token, of what is known now. */
  #compose(known: Deployment): void {
    const { shared } = this.#options
    const { stamp, isShared, evidence, standsFor, token: before } = known
    const value = shared ? `${stamp}/${evidence ?? standsFor ?? ''}` : stamp
    const writable = isShared && (evidence !== undefined || !shared)
    if (before.value === value && before.shared === isShared && before.writable === writable) return
    this.revision++
    known.token = { value, shared: isShared, writable }
    this.#options.told?.(known.pool, known.model, known)
    // Before it is loaded only calls with little time have seen the old one, and none asks under it again.
    if (before.value !== value && known.loaded) this.#options.changed()
  }

  /** Makes the tier and this process agree on the stamp; one at a time for each model. False: it cannot be asked. */
  #settle(known: Deployment): Promise<boolean> {
    const { shared, log } = this.#options
    if (!shared || known.isShared) return Promise.resolve(true)
    known.settling ??= agree(known, shared, {
      adopt: (fact) => this.#adopt(known, fact),
      restamp: (than) => {
        this.#renew(known, than)
        this.#compose(known)
      },
    })
      .catch((error: unknown) => {
        log.warn('deployment.fact', { fact: known.fact, error: String(error) })
        return false
      })
      .finally(() => {
        known.settling = undefined
      })
    return known.settling
  }
}
