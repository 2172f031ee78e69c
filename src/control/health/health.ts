/**
 * Active health checks: one prober for each backend, which probes it, judges the answer and informs the registry. The
 * next probe is planned when the last one has ended, so slow backends are probed less often and never twice at a time.
 */
import type { Backend, PoolView } from '../../core/backend.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Registry } from '../registry/registry.ts'
import { Signatures } from '../registry/signatures.ts'
import { accessOf, type Probe, type ProbeAccess, reached } from './probe.ts'
import { type HealthPath, judge, type ProbeQuestion, type ProbeVerdict, questions } from './probe-plan.ts'

export interface HealthSettings extends ProbeAccess {
  readonly path: HealthPath
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly unhealthyAfter: number
  readonly healthyAfter: number
}

export const DEFAULT_HEALTH: HealthSettings = {
  path: 'auto',
  intervalMs: 5_000,
  timeoutMs: 1_000,
  unhealthyAfter: 3,
  healthyAfter: 2,
}

export interface HealthOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly probe: Probe
  /** Uniform in [0, 1), for the jitter. */
  readonly random: () => number
  /** The settings of a pool, read before every probe; undefined: the pool is not probed. */
  readonly settings: (pool: string) => HealthSettings | undefined
}

/** First retry for a backend that was never healthy, which may be starting: sooner than the interval. */
const FIRST_RETRY_MS = 250
/**
 * Most time until the next probe of a backend that begins to recover: a pool whose backends all recover must not wait.
 */
const RETURN_MS = 1_000
const JITTER = 0.1

export class Health {
  readonly #options: HealthOptions
  readonly #probers = new Map<number, HealthProber>()
  readonly #signatures: Signatures
  #unfollow: (() => void) | undefined

  constructor(options: HealthOptions) {
    this.#options = options
    this.#signatures = new Signatures(options.probe)
  }

  start(): void {
    this.#unfollow ??= this.#options.registry.follow((view) => this.#follow(view))
  }

  stop(): void {
    this.#unfollow?.()
    this.#unfollow = undefined
    for (const prober of this.#probers.values()) prober.stop()
    this.#probers.clear()
  }

  /** Backends being probed. */
  get size(): number {
    return this.#probers.size
  }

  #follow(view: PoolView): void {
    const wanted = new Map(view.backends.map((backend) => [backend.generation, backend]))
    for (const [generation, prober] of this.#probers) {
      if (prober.pool !== view.pool || wanted.has(generation)) continue
      prober.stop()
      this.#probers.delete(generation)
      this.#signatures.forget(generation)
    }
    for (const [generation, backend] of wanted) {
      const known = this.#probers.get(generation)
      if (known) known.backend = backend
      else {
        const prober = new HealthProber(view.pool, backend, {
          ...this.#options,
          signatures: this.#signatures,
        })
        this.#probers.set(generation, prober)
        prober.start()
      }
    }
  }
}

type HealthProberOptions = HealthOptions & { readonly signatures: Signatures }

class HealthProber {
  readonly pool: string
  backend: Backend
  readonly #options: HealthProberOptions
  #answered: ProbeQuestion['kind'] | undefined
  #failures = 0
  #successes = 0
  #attempts = 0
  /** The last verdict that was reported; undefined: none yet. */
  #reported: 'well' | 'sick' | undefined
  #everWell = false
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(pool: string, backend: Backend, options: HealthProberOptions) {
    this.pool = pool
    this.backend = backend
    this.#options = options
  }

  start(): void {
    void this.#run()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async #run(): Promise<void> {
    const settings = this.#options.settings(this.pool)
    if (settings) {
      const verdict = await this.#probe(settings)
      const isFirst = verdict.verdict === 'well' && !this.#everWell
      const misfit = isFirst ? await this.#misfit(settings) : undefined
      if (misfit === undefined) this.#report(verdict, settings)
      else this.#keepWarming(misfit)
    }
    if (this.#stopped) return
    this.#cancel = this.#options.clock.after(
      this.#pauseMs(settings ?? DEFAULT_HEALTH),
      () => void this.#run(),
    )
  }

  /** Sends the probe that the backend answered before, or tries all in order until one is answered. */
  async #probe(settings: HealthSettings): Promise<ProbeVerdict> {
    const all = questions(settings.path, this.backend.models)
    const remembered = all.find((question) => question.kind === this.#answered)
    for (const question of remembered ? [remembered] : all) {
      const { timeoutMs } = settings
      const request = { ...reached(this.backend), path: question.path, timeoutMs, ...accessOf(settings) }
      const verdict = judge(question, await this.#options.probe(request), remembered !== undefined)
      if (verdict.verdict === 'well') this.#answered = question.kind
      if (verdict.verdict === 'sick' && verdict.down) this.#answered = undefined
      if (verdict.verdict !== 'other') return verdict
    }
    return { verdict: 'sick', reason: 'probe: no question was answered', weight: 1, down: false }
  }

  /** Why a healthy backend must not serve the pool; undefined: it may. */
  #misfit(settings: HealthSettings): Promise<string | undefined> {
    const { registry, signatures } = this.#options
    const { timeoutMs } = settings
    const { backend } = this
    const others = () =>
      (registry.view(this.pool)?.backends ?? []).filter(
        ({ id, state }) => id !== backend.id && state !== 'draining',
      )
    return signatures.check({ backend, others, timeoutMs, ...accessOf(settings) })
  }

  #keepWarming(reason: string): void {
    if (this.#stopped) return
    this.#attempts++
    const { id, generation } = this.backend
    this.#options.registry.markWarming(this.pool, id, { generation, reason })
  }

  #report(verdict: ProbeVerdict, settings: HealthSettings): void {
    // Probing may have been switched off while the answer was on its way.
    if (this.#stopped || verdict.verdict === 'other' || !this.#options.settings(this.pool)) return
    const { registry } = this.#options
    const { id, generation } = this.backend
    const { reason } = verdict
    this.#attempts++
    if (verdict.verdict === 'well') {
      this.#failures = 0
      this.#successes++
      if (this.#everWell && this.#reported === 'sick' && this.#successes < settings.healthyAfter) return
      this.#everWell = true
      this.#reported = 'well'
      registry.markHealthy(this.pool, id, { generation, reason })
      return
    }
    this.#successes = 0
    this.#failures += verdict.weight
    if (this.#failures < settings.unhealthyAfter) return
    this.#reported = 'sick'
    registry.markUnhealthy(this.pool, id, { generation, reason })
  }

  #pauseMs({ intervalMs }: HealthSettings): number {
    const { random } = this.#options
    if (!this.#everWell) {
      return Math.min(
        intervalMs,
        backoffMs(this.#attempts, { baseMs: FIRST_RETRY_MS, maxMs: intervalMs, random }),
      )
    }
    const isReturning = this.#reported === 'sick' && this.#successes > 0
    const pauseMs = isReturning ? Math.min(intervalMs, RETURN_MS) : intervalMs
    return pauseMs * (1 - JITTER + 2 * JITTER * random())
  }
}
