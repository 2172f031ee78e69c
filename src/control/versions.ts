/**
 * Finds out what is deployed: from registrations at once, and from backends that do not say it there by asking
 * them each second for the models that settings or calls name. What it finds is evidence for whoever keeps
 * answers; `offering.ts` has the rules of what counts. One watcher a backend, which asks one question after the other.
 */
import type { Backend, ModelOffer, PoolView } from '../core/backend.ts'
import type { Clock } from '../lib/clock.ts'
import { type Offer, Offering } from './offering.ts'
import type { Probe, ProbeResult } from './probe.ts'
import type { Registry } from './registry.ts'
import { readMetadata, readStatus, type VersionAnswer } from './version-answer.ts'

/** What a pool offers under a model's name; a new text is a new deployment. */
export interface Deployed {
  readonly pool: string
  /** The empty string: everything that the pool's backends say of all their models. */
  readonly model: string
  readonly evidence: string
  /** The versions that may answer; left out where not every backend says its own. */
  readonly versions?: readonly string[]
}

export interface VersionsOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly probe: Probe
  /** The models of a pool that calls named lately, the most important first. */
  readonly models: (pool: string) => readonly string[]
  /** Of a pool; undefined: its backends are asked nothing. */
  readonly settings: (
    pool: string,
  ) => { readonly timeoutMs: number; readonly host?: string | undefined } | undefined
  /** Time from one round of questions to the next, in milliseconds. Default 1,000. */
  readonly intervalMs?: number
  /** Told of each new evidence. */
  readonly deployed: (deployed: Deployed) => void
}

const INTERVAL_MS = 1000
/** Models that are asked about out of turn since a call is waiting, in each interval: callers may invent names. */
const MAX_LOOKS = 16
const MAX_MODELS = 256

export class Versions {
  readonly #options: VersionsOptions
  readonly #watchers = new Map<number, Watcher>()
  readonly #offerings = new Map<string, Map<string, Offering>>()
  #leave: (() => void) | undefined

  constructor(options: VersionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#leave ??= this.#options.registry.follow((view) => this.#follow(view))
  }

  stop(): void {
    this.#leave?.()
    this.#leave = undefined
    for (const watcher of this.#watchers.values()) watcher.stop()
    this.#watchers.clear()
  }

  /** Somebody calls a model that he knows nothing of: says what is known, or asks soon. */
  look(pool: string, model: string): void {
    if (this.#offerings.get(pool)?.get(model)?.evidence !== undefined) this.#tell(pool, model)
    else for (const watcher of this.#watchers.values()) if (watcher.pool === pool) watcher.look(model)
  }

  #follow(view: PoolView): void {
    const backends = new Map(view.backends.map((backend) => [backend.generation, backend]))
    for (const [generation, watcher] of this.#watchers) {
      if (watcher.pool !== view.pool) continue
      const backend = backends.get(generation)
      if (backend && backend.state !== 'draining') continue
      watcher.stop()
      this.#watchers.delete(generation)
      for (const [model, offering] of this.#offerings.get(view.pool) ?? []) {
        if (offering.leave(generation, backend !== undefined)) this.#tell(view.pool, model)
      }
    }
    const fresh: Watcher[] = []
    for (const [generation, backend] of backends) {
      if (backend.state === 'draining') continue
      const known = this.#watchers.get(generation)
      if (known) known.backend = backend
      else fresh.push(this.#watch(view.pool, backend))
      this.#declared(view.pool, backend)
    }
    for (const watcher of fresh) watcher.start()
  }

  #watch(pool: string, backend: Backend): Watcher {
    const { clock, probe, settings, intervalMs = INTERVAL_MS } = this.#options
    const watcher = new Watcher(pool, backend, {
      clock,
      probe,
      intervalMs,
      timeoutMs: () => settings(pool)?.timeoutMs,
      host: () => settings(pool)?.host,
      models: (of) => this.#toAsk(pool, of),
      said: (model, offers) => {
        if (this.#offering(pool, model).say(backend.generation, offers)) this.#tell(pool, model)
      },
    })
    this.#watchers.set(backend.generation, watcher)
    return watcher
  }

  /** What a backend says by itself needs no question. */
  #declared(pool: string, { generation, models }: Backend): void {
    const offers = new Map<string, Offer[]>([['', []]])
    for (const { name, version = '', digest = '' } of models.filter(tells)) {
      offers.set(name, [...(offers.get(name) ?? []), `${version}@${digest}`])
      offers.get('')?.push(`${name}=${version}@${digest}`)
    }
    for (const [model, said] of offers) {
      if (this.#offering(pool, model).say(generation, said.sort())) this.#tell(pool, model)
    }
  }

  /** The models to ask a backend about, and forgets what nobody wants to know any more. */
  #toAsk(pool: string, { models }: Backend): string[] {
    const offerings = this.#offerings.get(pool)
    const named = this.#options.models(pool)
    const present = [...this.#watchers.values()].filter((watcher) => watcher.pool === pool)
    const wanted = new Set(['', ...named, ...present.flatMap(({ backend }) => backend.models.map(nameOf))])
    for (const model of offerings?.keys() ?? []) if (!wanted.has(model)) offerings?.delete(model)
    const told = new Set(models.filter(tells).map(nameOf))
    const served = models.length === 0 ? named : models.map(nameOf)
    return [...new Set(served)].filter((model) => !told.has(model)).slice(0, MAX_MODELS)
  }

  #offering(pool: string, model: string): Offering {
    const models = this.#offerings.get(pool) ?? new Map<string, Offering>()
    this.#offerings.set(pool, models)
    const offering = models.get(model) ?? new Offering()
    models.set(model, offering)
    return offering
  }

  #tell(pool: string, model: string): void {
    const { evidence, versions } = this.#offering(pool, model)
    if (evidence === undefined) return
    const known = model === '' || versions === undefined ? {} : { versions }
    this.#options.deployed({ pool, model, evidence, ...known })
  }
}

interface WatcherOptions {
  readonly clock: Clock
  readonly probe: Probe
  readonly intervalMs: number
  readonly timeoutMs: () => number | undefined
  /** For the Host field; undefined: the backend's own. */
  readonly host: () => string | undefined
  readonly models: (backend: Backend) => readonly string[]
  readonly said: (model: string, offers: readonly Offer[]) => void
}

type Dialect = 'status' | 'metadata'

const READ: Readonly<Record<Dialect, (result: ProbeResult) => VersionAnswer>> = {
  status: readStatus,
  metadata: readMetadata,
}

/** Asks one backend, round after round. */
class Watcher {
  readonly pool: string
  backend: Backend
  readonly #options: WatcherOptions
  readonly #spoken = new Map<string, Dialect>()
  #looks = 0
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(pool: string, backend: Backend, options: WatcherOptions) {
    this.pool = pool
    this.backend = backend
    this.#options = options
  }

  start(): void {
    void this.#round()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  /** Asks about this one out of turn, or in the next round when there were too many. */
  look(model: string): void {
    if (this.#looks++ < MAX_LOOKS && this.#serves(model)) void this.#hear(model)
  }

  #serves(model: string): boolean {
    return this.#options.models(this.backend).includes(model)
  }

  async #round(): Promise<void> {
    const { clock, models, intervalMs } = this.#options
    const startedAt = clock.now()
    this.#looks = 0
    const names = models(this.backend)
    for (const model of this.#spoken.keys()) if (!names.includes(model)) this.#spoken.delete(model)
    for (const model of names) if (!(await this.#hear(model))) break
    if (this.#stopped) return
    this.#cancel = clock.after(Math.max(0, startedAt + intervalMs - clock.now()), () => void this.#round())
  }

  /** False: nobody is there to be asked more. */
  async #hear(model: string): Promise<boolean> {
    const limit = this.#options.timeoutMs()
    const answer: VersionAnswer = limit === undefined ? { kind: 'other' } : await this.#ask(model, limit)
    if (this.#stopped) return false
    if (answer.kind === 'offers') this.#options.said(model, answer.offers)
    if (answer.kind === 'other') this.#options.said(model, [])
    return answer.kind !== 'silent' || !answer.away
  }

  async #ask(model: string, timeoutMs: number): Promise<VersionAnswer> {
    const spoken = this.#spoken.get(model)
    const dialects: Dialect[] = spoken === 'metadata' ? ['metadata', 'status'] : ['status', 'metadata']
    for (const dialect of dialects) {
      const name = encodeURIComponent(model)
      const path = dialect === 'status' ? `/v1/models/${name}` : `/v2/models/${name}`
      const request = { url: this.backend.url, path, timeoutMs, host: this.#options.host() }
      const answer = READ[dialect](await this.#options.probe(request))
      if (answer.kind !== 'offers' && answer.kind !== 'silent') continue
      if (answer.kind === 'offers') this.#spoken.set(model, dialect)
      return answer
    }
    return { kind: 'other' }
  }
}

function tells({ version, digest }: ModelOffer): boolean {
  return version !== undefined || digest !== undefined
}

function nameOf({ name }: ModelOffer): string {
  return name
}
