/**
 * What is deployed, as part of every key: a token for each model of a pool, unique and never used again. A new
 * deployment (a rollback is one too) makes a new token, so the answers of the old one cannot be reached any more.
 * Where nothing new was seen the token stays, whatever happens to the backends: what was kept is still what the
 * model says.
 *
 * Gateways share tokens through the first shared tier, as a fact that says for which evidence the token stands.
 *
 *   who sees new evidence   replaces the fact, unless it has that evidence already; then its token is taken
 *   who sees another token  takes it, within a second
 *   who finds no fact       makes one, with a new token
 *
 * There is no compare-and-set: of two that replace a fact at once the last one wins, and both end with its token.
 * Until then some answers are asked for again, and none is wrong. A token that was left is not taken back from a
 * fact that nobody has replaced. While the tier cannot be asked a token is this process's own, and nothing goes to
 * shared tiers under it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { type Target } from '../../core/call.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import {
  type DeploymentState,
  type DeploymentToken,
  type Evidence,
  forgetOne,
  mayAnswer,
  parseFact,
} from './deployed.ts'
import type { SharedFacts } from './epochs.ts'

export interface DeploymentsOptions {
  /** Undefined: this process is alone. */
  readonly shared: SharedFacts | undefined
  /** Milliseconds a call waits for the shared tier; then the token is this process's own for now. Default 25. */
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

interface Deployment {
  readonly pool: string
  readonly model: string
  readonly fact: string
  token: DeploymentToken
  /** What was last learnt here, hashed. */
  evidence: string | undefined
  /** For which evidence the token stands. */
  standsFor: string | undefined
  /** The fact's token that was left for the present one. */
  left: string | undefined
  versions: readonly string[] | undefined
  /** A backend has said something about it, so the name is no caller's invention. */
  isReal: boolean
  readonly bornAt: number
  /** The revision at which a call last asked for it. */
  askedIn: number
  /** Asked for again since it was last spared: most names that callers make up are heard once. */
  isUsed: boolean
  settling: Promise<boolean> | undefined
  loading: Promise<void> | undefined
  /** The tier was asked and first evidence waited for, or need not be. */
  loaded: boolean
  /** Ends the wait for first evidence. */
  heard: (() => void) | undefined
}

const POLL_MS = 1000
const WAIT_MS = 25
/** Names come from callers, so there is a bound. */
const MAX_MODELS = 1024
/** Models of a pool that its backends are asked about each second. */
const MAX_ASKED = 64
/** What is called for the first time waits so long for its backends to say what they have. */
const FIRST_WAIT_MS = 250
/** Later than this, first evidence may not be that of the answers kept so far. */
const FIRST_EVIDENCE_MS = 2000

export class Deployments {
  /** Another number whenever `peek` may give another answer than before, and with every poll: it wants to know who asks. */
  revision = 0
  readonly #options: DeploymentsOptions
  readonly #pools = new Map<string, Map<string, Deployment>>()
  #stopPoll: (() => void) | undefined

  constructor(options: DeploymentsOptions) {
    this.#options = options
  }

  start(): void {
    if (!this.#stopPoll) this.#schedule()
  }

  stop(): void {
    this.#stopPoll?.()
    this.#stopPoll = undefined
  }

  /** The token of the called model, or undefined when the shared tier must be asked first. */
  peek(pool: string, target: Target): DeploymentToken | undefined {
    const known = this.#pools.get(pool)?.get(target.model ?? '')
    if (!known?.loaded) return undefined
    this.#used(known)
    return known.token
  }

  /** As `peek`, after asking the shared tier, and the backends, about what is unknown. Never rejects. */
  async load(pool: string, target: Target): Promise<DeploymentToken> {
    return (await this.loadModel(pool, target.model ?? '')).token
  }

  async loadModel(pool: string, model: string): Promise<DeploymentState> {
    const known = this.#find(pool, model)
    known.askedIn = this.revision
    if (known.evidence === undefined) this.#options.unknown?.(pool, model)
    if (!known.loaded) {
      known.loading ??= this.#load(known)
      await known.loading
    }
    return known
  }

  /** Calls that others have answered name these models. */
  heardOf(pool: string, models: readonly string[]): void {
    for (const model of models) this.#used(this.#pools.get(pool)?.get(model))
  }

  #used(known: Deployment | undefined): void {
    if (!known) return
    known.askedIn = this.revision
    known.isUsed = true
  }

  async #load(known: Deployment): Promise<void> {
    // Both at once: the fact, and for its absence what the backends have.
    const { heard, cancel } = this.#firstEvidence(known)
    const isAsked = await this.#settleSoon(known)
    // An answer to be shared needs a token that stands for something; one that is not, waits for nothing.
    if (isAsked && !known.token.shared) {
      if (known.evidence === undefined) await heard
      await this.#settleSoon(known)
    }
    cancel()
    known.heard = undefined
    this.revision++
    known.loaded = true
    known.loading = undefined
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
  async #settleSoon(known: Deployment): Promise<boolean> {
    const { clock, waitMs = WAIT_MS } = this.#options
    let cancel = () => {}
    const late = new Promise<false>((resolve) => {
      // What has arrived while the event loop was busy is read before the time is declared to be up.
      cancel = clock.after(waitMs, () => setImmediate(() => resolve(false)))
    })
    const isAsked = await Promise.race([this.#settle(known), late])
    cancel()
    return isAsked
  }

  /** Takes note of what is deployed; what is no news changes nothing. True: what was kept until now is out of reach. */
  learn({ pool, model, evidence, versions }: Evidence): boolean {
    const known = this.#find(pool, model)
    const hash = createHash('sha256').update(evidence).digest('base64url').slice(0, 22)
    const isNews = known.versions?.join('\n') !== versions?.join('\n')
    known.versions = versions
    if (isNews) this.#options.told?.(pool, model, known)
    known.isReal ||= evidence !== ''
    if (known.evidence === hash) return false
    const isNext = known.evidence !== undefined && known.loaded
    const isFirst = known.evidence === undefined && known.standsFor === undefined
    known.evidence = hash
    // Another gateway saw it first, and its token is here already.
    if (known.standsFor === hash) return isNext
    if (!isFirst || this.#options.clock.now() - known.bornAt > FIRST_EVIDENCE_MS) this.#renew(known)
    known.standsFor = hash
    void this.#settle(known)
    known.heard?.()
    return isNext
  }

  /**
   * True where an answer of this version may be kept under the model's present token. False for a version that is
   * not known to be deployed: a new one before it was noticed, or a late answer of one that is gone.
   */
  mayKeep(pool: string, model: string | undefined, version: string | undefined): boolean {
    const versions = this.#pools.get(pool)?.get(model ?? '')?.versions
    return mayAnswer(versions, version)
  }

  /** The models of a pool that calls named: at most 64, first those that backends are known to have, the latest first. */
  asked(pool: string): string[] {
    return [...(this.#pools.get(pool) ?? [])]
      .filter(([model]) => model !== '')
      .sort(([, a], [, b]) => Number(b.isReal) - Number(a.isReal) || b.askedIn - a.askedIn)
      .slice(0, MAX_ASKED)
      .map(([model]) => model)
  }

  /** Brings this process up to date with what other gateways have learnt. */
  async poll(): Promise<void> {
    this.revision++
    const { shared } = this.#options
    if (!shared) return
    const all = [...this.#pools.values()].flatMap((models) => [...models.values()])
    const mine = all.filter(({ token }) => token.shared)
    const before = mine.map(({ token }) => token)
    await Promise.all(all.filter(({ token }) => !token.shared).map((own) => this.#settle(own)))
    if (mine.length === 0) return
    const facts = await shared.facts(mine.map(({ fact }) => fact))
    if (!facts) return
    mine.forEach((known, i) => {
      // Renewed while we asked: what the tier said then is older than what we know now.
      if (known.token !== before[i]) return
      const fact = facts[i]
      if (fact !== undefined) return this.#adopt(known, fact)
      this.#renew(known)
      void this.#settle(known)
    })
  }

  #find(pool: string, model: string): Deployment {
    const models = this.#pools.get(pool) ?? new Map<string, Deployment>()
    this.#pools.set(pool, models)
    const known = models.get(model)
    if (known) return known
    const { clock, shared } = this.#options
    const made: Deployment = {
      pool,
      model,
      fact: `deploy:${pool}/${model}`,
      token: { value: this.#unique(), shared: shared === undefined },
      evidence: undefined,
      standsFor: undefined,
      left: undefined,
      versions: undefined,
      isReal: false,
      bornAt: clock.now(),
      askedIn: this.revision,
      isUsed: false,
      settling: undefined,
      loading: undefined,
      loaded: shared === undefined,
      heard: undefined,
    }
    models.set(model, made)
    this.revision++
    const forgotten = models.size > MAX_MODELS ? forgetOne(models, made) : undefined
    if (forgotten !== undefined) this.#options.told?.(pool, forgotten, undefined)
    return made
  }

  #renew(known: Deployment): void {
    const { shared } = this.#options
    if (known.token.shared) known.left = known.token.value
    this.#replace(known, { value: this.#unique(), shared: shared === undefined })
  }

  #replace(known: Deployment, token: DeploymentToken): void {
    const isSame = known.token.value === token.value
    this.revision++
    known.token = token
    this.#options.told?.(known.pool, known.model, known)
    // Before it is loaded no call has seen the old one, so there is nothing kept under it.
    if (!isSame && known.loaded) this.#options.changed()
  }

  #adopt(known: Deployment, fact: string): void {
    const { evidence, token } = parseFact(fact)
    known.standsFor = evidence
    if (known.token.value === token && known.token.shared) return
    this.#replace(known, { value: token, shared: true })
  }

  /** Makes the tier and this process agree on the token; one at a time for each model. False: it cannot be asked. */
  #settle(known: Deployment): Promise<boolean> {
    const { shared, log } = this.#options
    if (!shared || known.token.shared) return Promise.resolve(true)
    known.settling ??= this.#agree(known, shared)
      .catch((error: unknown) => {
        log.warn('deployment.fact', { fact: known.fact, error: String(error) })
        return false
      })
      .finally(() => {
        known.settling = undefined
      })
    return known.settling
  }

  async #agree(known: Deployment, shared: SharedFacts): Promise<boolean> {
    for (;;) {
      const { token, evidence } = known
      const isStale = () => known.token !== token || known.evidence !== evidence
      const facts = await shared.facts([known.fact])
      if (!facts) return false
      if (isStale()) continue
      let fact = facts[0]
      if (evidence === undefined) {
        // Nothing was learnt here yet: what the others know holds.
        if (fact !== undefined) this.#adopt(known, fact)
        return true
      }
      const ours = `${evidence}:${token.value}`
      fact ??= await shared.claim(known.fact, ours)
      if (fact === undefined) return false
      if (isStale()) continue
      const theirs = parseFact(fact)
      const isTheirs = theirs.evidence === evidence && theirs.token !== known.left
      if (fact !== ours && !isTheirs && !(await shared.publish(known.fact, ours))) return false
      if (isStale()) continue
      this.#adopt(known, isTheirs ? fact : ours)
      return true
    }
  }

  #unique(): string {
    return `${this.#options.clock.wall().toString(36)}.${randomBytes(8).toString('base64url')}`
  }

  #schedule(): void {
    this.#stopPoll = this.#options.clock.after(POLL_MS, () => {
      void this.poll()
        .catch((error: unknown) => this.#options.log.warn('deployments.poll', { error: String(error) }))
        .finally(() => {
          if (this.#stopPoll) this.#schedule()
        })
    })
  }
}
