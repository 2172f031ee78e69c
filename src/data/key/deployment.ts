/**
 * What is deployed, as part of every key: a unique token for each model of a pool, never used again. A new deployment (a
 * rollback is one too) makes a new token, so nobody reaches the answers of the old one any more. Where no new deployment
 * was seen the token stays, whatever happens to the backends: the stored answers are still what the model says.
 *
 * A token has two parts: the stamp of the last deployment, which gateways share through the first shared tier, and the
 * evidence that this gateway has of it. Gateways whose backends differ (another region, half of a roll-out) therefore
 * never have a token in common, and each new deployment, whoever sees it, ends the tokens of all.
 *
 *   a gateway with new evidence   replaces the fact, unless the fact has that evidence and was made after the gateway last
 *                                 saw otherwise; then it adopts the fact's stamp
 *   … that reads a later stamp    adopts it, within a second
 *   … that finds no fact, or an earlier stamp than before, publishes a fact with a new stamp
 *   … without evidence            reads the others' entries under their stamp, and writes none
 *
 * There is no compare-and-set: of two gateways that replace a fact at once the last one wins, and both end with a stamp
 * that is later than both. Until then some answers are fetched again, and none is wrong. While the tier cannot be asked
 * a stamp is this process's own, and nothing is written to shared tiers under it.
 */
import type { Target } from '../../core/call.ts'
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
import { agree, type Deployment, mayPrecede, newDeployment } from './deployment-fact.ts'
import type { DeploymentsOptions } from './deployments-options.ts'
import { type KeptDeployment, KeptStamps } from './kept-facts.ts'
import { isLater, type Stamp, stampAfter } from './stamp.ts'

const POLL_MS = 1000
const WAIT_MS = 25
/** Callers make up names, so there is a bound. */
const MAX_MODELS = 1024
/** A model's first call waits at most this long for its backends to report what they have. */
const FIRST_WAIT_MS = 1000
/** More than the two waits above together. */
const LOAD_MS = 3000
/** First evidence that comes later may not be that of the answers stored so far. */
const FIRST_EVIDENCE_MS = 2000

export class Deployments {
  /** Changes whenever `peek` may give another answer, and with every poll, which needs to see which models are used. */
  revision = 0
  readonly #options: DeploymentsOptions
  readonly #pools = new Map<string, Map<string, Deployment>>()
  /** Pools for which the log says that no backend reports its models. */
  readonly #silent = new Set<string>()
  readonly #poll: Poll
  readonly #kept: KeptStamps

  constructor(options: DeploymentsOptions) {
    this.#options = options
    this.#kept = new KeptStamps(options.kept ?? [])
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

  /** The token of the called model; undefined: it must be loaded first. */
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

  /** Like `peek`, but asks the shared tier and the backends for what is unknown, for `withinMs` at most. Never rejects. */
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
      const within = { ms: Math.min(withinMs, LOAD_MS), fallback: undefined }
      await withTimeout(this.#options.clock, known.loading, within)
    }
    return known
  }

  /** Notes that calls at other workers name these models. */
  noteUsed(pool: string, models: readonly string[]): void {
    for (const model of models) {
      const known = this.#pools.get(pool)?.get(model)
      if (known) known.isUsed = true
    }
  }

  async #load(known: Deployment): Promise<void> {
    // The fact and the backends' report are fetched at once: only both together say whose answers the shared ones are, and
    // the first evidence changes the token, so a herd of calls before and after it would load twice.
    const { heard, cancel } = this.#firstEvidence(known)
    const isAsked = await this.#settleSoon(known)
    if (known.evidence === undefined) {
      await heard
      if (isAsked) await this.#settleSoon(known)
    }
    cancel()
    known.onEvidence = undefined
    this.revision++
    known.loaded = true
    known.loading = undefined
    if (isAsked && known.evidence === undefined && this.#options.shared) this.#sayUnknown(known)
  }

  /** Logged once for each pool, as callers make up names. */
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
      known.onEvidence = resolve
    })
    return { heard, cancel }
  }

  /** A silent tier must not hold up a call: after the wait it resolves false, and a later answer is still adopted. */
  #settleSoon(known: Deployment): Promise<boolean> {
    const { clock, waitMs = WAIT_MS } = this.#options
    return withTimeout(clock, this.#settle(known), { ms: waitMs, fallback: false })
  }

  /** Takes evidence of what is deployed. True: it is a new deployment, and answers stored until now are unreachable. */
  learn(reported: Evidence): boolean {
    const { pool, model, evidence } = reported
    const known = this.#find(pool, model)
    this.#versions(known, reported)
    known.isReported ||= evidence !== undefined && evidence !== ''
    // A call that waits for first evidence need not wait longer: the backends have nothing to report.
    if (evidence === undefined) known.onEvidence?.()
    const hash = evidence === undefined ? known.evidence : hashOf(evidence)
    if (known.evidence === hash && !reported.isNew) return false
    const isNew = reported.isNew || this.#isUnseen(known, hash, reported.otherwiseAt)
    const isNext = known.loaded && (known.evidence !== undefined || isNew)
    // Another gateway may have seen it first; then its stamp has been adopted already.
    if (isNew || known.stampEvidence !== hash) this.#begin(known, hash, isNew)
    known.evidence = hash
    this.#compose(known)
    void this.#settle(known)
    known.onEvidence?.()
    return isNext
  }

  /** Whether another gateway's stamp for this evidence may be of a deployment before the one seen here last. */
  #isUnseen(known: Deployment, hash: string | undefined, otherwiseAt: number | undefined): boolean {
    if (!this.#options.shared || known.evidence === undefined || otherwiseAt === undefined) return false
    return mayPrecede(known, hash, otherwiseAt)
  }

  #versions(known: Deployment, { versions, isStated = false }: Evidence): void {
    const isNews = known.isStated !== isStated || known.versions?.join('\n') !== versions?.join('\n')
    known.versions = versions
    known.isStated = isStated
    if (isNews) this.#options.onState?.(known.pool, known.model, known)
  }

  /** First evidence shows what was deployed before, so it makes no new stamp, unless it comes late. */
  #begin(known: Deployment, hash: string | undefined, isNew: boolean): void {
    const isFirst = known.evidence === undefined && known.stampEvidence === undefined
    const isLate = this.#options.clock.now() - known.bornAt > FIRST_EVIDENCE_MS
    const kept = this.#kept.take(known, hash)
    if (kept !== undefined && !isNew) known.stamp = kept
    else if (isNew || !isFirst || isLate) this.#renew(known)
    known.isUnannounced ||= isNew && this.#options.shared !== undefined
    if (hash !== undefined) known.stampEvidence = hash
  }

  /** A call has loaded or unloaded the model. Resolves when the answers stored until now are unreachable. */
  async redeployed(pool: string, model: string): Promise<void> {
    const names = new Set([...(this.#pools.get(pool)?.keys() ?? [])].filter((name) => isOf(name, model)))
    for (const name of names.add('').add(model)) {
      const known = this.#find(pool, name)
      await this.#settleSoon(known)
      this.#renew(known)
      known.isUnannounced = this.#options.shared !== undefined
      this.#compose(known)
      await this.#settleSoon(known)
    }
  }

  /**
   * Whether an answer of this version may be stored under the model's present token. Not where the version is not known
   * to be deployed: it may be a new one that was not noticed yet, or a late answer of one that is gone.
   */
  mayKeep(pool: string, target: Target, version: string | undefined): boolean {
    const models = this.#pools.get(pool)
    const label = labelName(target)
    if (label !== undefined && !mayAnswerAs(models?.get(label), version)) return false
    return mayAnswer(models?.get(target.model ?? ''), target, version)
  }

  /** All models of a pool that calls have named and that are not forgotten: other state about models ends with them. */
  calledModels(pool: string): string[] {
    return [...(this.#pools.get(pool)?.keys() ?? [])].filter((model) => model !== '')
  }

  /** Everything that is known to be deployed, or that calls have named. */
  all(): readonly Deployment[] {
    return [...this.#pools.values()].flatMap((models) => [...models.values()])
  }

  /** The deployments of this process, for one after it. */
  keep(): KeptDeployment[] {
    const known = this.all().flatMap(({ pool, model, stamp, evidence }): KeptDeployment[] =>
      evidence === undefined ? [] : [{ pool, model, stamp, evidence }],
    )
    return [...known, ...this.#kept.waiting]
  }

  /** Adopts what other gateways have learnt. */
  async poll(): Promise<void> {
    this.revision++
    const { shared } = this.#options
    if (!shared) return
    const all = this.all()
    const mine = all.filter(({ isShared }) => isShared)
    const before = mine.map(({ stamp }) => stamp)
    await Promise.all(all.filter(({ isShared }) => !isShared).map((own) => this.#settle(own)))
    if (mine.length === 0) return
    const readAt = this.#options.clock.now()
    const facts = await shared.facts(mine.map(({ fact }) => fact))
    if (!facts) return
    mine.forEach((known, i) => {
      // Renewed during the request: the tier's answer is older than our stamp.
      if (known.stamp !== before[i]) return
      const fact = parseFact(facts[i])
      if (fact?.stamp === known.stamp) {
        known.floorAt = readAt
        return
      }
      if (fact && isLater(fact.stamp, known.floor)) return this.#adopt(known, fact, readAt)
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
    if (forgotten !== undefined) this.#options.onState?.(pool, forgotten, undefined)
    return made
  }

  #renew(known: Deployment, than?: Stamp): void {
    const { shared, clock } = this.#options
    known.stamp = stampAfter(clock.wall(), known.stamp, known.floor, than)
    known.isShared = shared === undefined
    this.#kept.take(known)
    this.#options.renewed?.()
  }

  #adopt(known: Deployment, { evidence, stamp }: Fact, readAt: number): void {
    known.stampEvidence = evidence
    known.isUnannounced = false
    known.stamp = stamp
    known.floor = stamp
    known.unmadeAt = known.floorAt
    known.floorAt = readAt
    known.isShared = true
    this.#compose(known)
  }

  /** Makes the token from what is known now. */
  #compose(known: Deployment): void {
    const { shared, onDeployed } = this.#options
    const { stamp, isShared, evidence, stampEvidence: standsFor, token: before } = known
    const value = shared ? `${stamp}/${evidence ?? standsFor ?? ''}` : stamp
    const writable = isShared && (evidence !== undefined || !shared)
    if (before.value === value && before.shared === isShared && before.writable === writable) return
    this.revision++
    known.token = { value, shared: isShared, writable }
    this.#options.onState?.(known.pool, known.model, known)
    // Before the deployment is loaded, only calls with little time have used the old token, and none will again.
    if (before.value === value || !known.loaded) return
    this.#options.changed()
    onDeployed?.(known.pool, known.model)
  }

  /** Agrees on the stamp with the tier, once at a time for each model. False: the tier cannot be asked. */
  #settle(known: Deployment): Promise<boolean> {
    const { shared, clock, log } = this.#options
    if (!shared || known.isShared) return Promise.resolve(true)
    known.settling ??= agree(known, shared, {
      now: () => clock.now(),
      adopt: (fact, readAt) => this.#adopt(known, fact, readAt),
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
