/**
 * Finds out what is deployed: from registrations at once, and from backends that do not declare it there by querying
 * them every second for the models that settings or calls name. It reports the evidence; `offering.ts` decides what
 * counts as a deployment. Each backend has one watcher.
 */
import type { Backend, ModelOffer, PoolView } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import { accessOf, type Probe, type ProbeAccess } from '../health/probe.ts'
import type { Registry } from '../registry/registry.ts'
import { Offering, type VersionOffer } from './offering.ts'
import { Watcher } from './version-watcher.ts'

/** What a pool offers under a model's name; different evidence is a new deployment. */
export interface Deployed {
  readonly pool: string
  /** The empty string: everything that the pool's backends say of all their models. */
  readonly model: string
  /** Undefined where no backend has declared anything although all were queried; answers may still state versions. */
  readonly evidence: string | undefined
  /** The versions that may answer; left out where a backend does not declare its own. */
  readonly versions?: readonly string[]
  /** Only answers have stated the versions, and no backend has declared them. */
  readonly isStated?: boolean
  /** A new deployment although the evidence is the same. */
  readonly isNew?: boolean
  /** When the backend whose report made the evidence last reported otherwise, by the clock's `now`. */
  readonly otherwiseAt?: number | undefined
}

/** The version that an answer of a backend states. */
export interface Stated {
  readonly pool: string
  readonly model: string
  /** The backend's generation; 0: an answer that another gateway has stored. */
  readonly generation: number
  readonly version: string
  /** The version of its previous answer. */
  readonly before: string | undefined
}

export interface VersionsOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly probe: Probe
  /** The models that calls to a pool named. */
  readonly models: (pool: string) => readonly string[]
  /** The settings of a pool; undefined: its backends are not queried. */
  readonly settings: (pool: string) => ({ readonly timeoutMs: number } & ProbeAccess) | undefined
  /** Time from one round of queries to the next, in milliseconds. Default 1,000. */
  readonly intervalMs?: number
  /** Called with each new evidence. */
  readonly deployed: (deployed: Deployed) => void
}

const INTERVAL_MS = 1000

export class Versions {
  readonly #options: VersionsOptions
  readonly #watchers = new Map<number, Watcher>()
  readonly #offerings = new Map<string, Map<string, Offering>>()
  #unfollow: (() => void) | undefined

  constructor(options: VersionsOptions) {
    this.#options = options
  }

  start(): void {
    this.#unfollow ??= this.#options.registry.follow((view) => this.#follow(view))
  }

  stop(): void {
    this.#unfollow?.()
    this.#unfollow = undefined
    for (const watcher of this.#watchers.values()) watcher.stop()
    this.#watchers.clear()
  }

  /** Called for a model of unknown deployment: reports what is known, or queries the backends soon. */
  query(pool: string, model: string): void {
    if (this.#offerings.get(pool)?.get(model)?.evidence !== undefined) this.#report(pool, model)
    else this.#query(pool, model)
  }

  /** Queries the backends at once, after a call has loaded or unloaded a model. */
  changed(pool: string, model: string): void {
    this.#query(pool, model)
  }

  /**
   * Handles the version that an answer states. It counts where the backends do not declare their versions. Where they
   * do, another version means that their declaration has changed, and they are queried.
   */
  stated({ pool, model, generation, version, before }: Stated): void {
    const offering = this.#offering(pool, model)
    const statement = offering.setStatement(generation, version, before)
    if (offering.versions === undefined) {
      if (statement !== 'known') this.#report(pool, model, statement === 'next')
    } else if (!offering.versions.includes(version)) this.#query(pool, model)
  }

  #query(pool: string, model: string): void {
    for (const watcher of this.#watchers.values()) if (watcher.pool === pool) watcher.query(model)
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
        const effect = offering.remove(generation, backend !== undefined)
        if (effect !== 'none') this.#report(view.pool, model, effect === 'new')
      }
    }
    const added: Watcher[] = []
    for (const [generation, backend] of backends) {
      if (backend.state === 'draining') continue
      const known = this.#watchers.get(generation)
      if (known) known.backend = backend
      else added.push(this.#watch(view.pool, backend))
      this.#declared(view.pool, backend)
    }
    for (const watcher of added) watcher.start()
  }

  #watch(pool: string, backend: Backend): Watcher {
    const { clock, probe, settings, intervalMs = INTERVAL_MS } = this.#options
    const addedAt = clock.now()
    const watcher = new Watcher(pool, backend, {
      clock,
      probe,
      intervalMs,
      timeoutMs: () => settings(pool)?.timeoutMs,
      access: () => accessOf(settings(pool) ?? {}),
      models: (of) => this.#modelsToQuery(pool, of),
      offered: (model, offers) => {
        const offering = this.#offering(pool, model)
        const isNews = offering.setOffers(backend.generation, { offers, at: clock.now(), addedAt })
        if (isNews || !offering.isReported) this.#report(pool, model)
      },
      queried: (model) => {
        const offering = this.#offerings.get(pool)?.get(model)
        if (offering && !offering.isReported) this.#report(pool, model)
      },
    })
    this.#watchers.set(backend.generation, watcher)
    return watcher
  }

  /** Takes over what the registration declares. */
  #declared(pool: string, { generation, models }: Backend): void {
    const offers = new Map<string, VersionOffer[]>([['', []]])
    for (const { name, version = '', digest = '' } of models.filter(declaresVersion)) {
      offers.set(name, [...(offers.get(name) ?? []), `${version}@${digest}`])
      offers.get('')?.push(`${name}=${version}@${digest}`)
    }
    const at = this.#options.clock.now()
    for (const [model, declared] of offers) {
      const offered = { offers: declared.sort(), at, addedAt: at }
      if (this.#offering(pool, model).setOffers(generation, offered)) this.#report(pool, model)
    }
  }

  /** The models to query a backend for. Forgets those that nobody needs any more. */
  #modelsToQuery(pool: string, { models }: Backend): string[] {
    const offerings = this.#offerings.get(pool)
    const named = this.#options.models(pool)
    const present = [...this.#watchers.values()].filter((watcher) => watcher.pool === pool)
    const wanted = new Set(['', ...named, ...present.flatMap(({ backend }) => backend.models.map(nameOf))])
    for (const model of offerings?.keys() ?? []) if (!wanted.has(model)) offerings?.delete(model)
    const declared = new Set(models.filter(declaresVersion).map(nameOf))
    const isLabel = (name: string) => models.some((model) => name.startsWith(`${model.name}/labels/`))
    const served = models.length === 0 ? named : [...models.map(nameOf), ...named.filter(isLabel)]
    return [...new Set(served)].filter((model) => !declared.has(model))
  }

  /**
   * True once all backends of the model were queried. A partial evidence would look like another deployment to a
   * gateway that knows all of it: gateways that start before backends of different versions would discard each other's
   * answers.
   */
  #isComplete(pool: string, model: string): boolean {
    return [...this.#watchers.values()].every((watcher) => watcher.pool !== pool || watcher.hasQueried(model))
  }

  #offering(pool: string, model: string): Offering {
    const models = this.#offerings.get(pool) ?? new Map<string, Offering>()
    this.#offerings.set(pool, models)
    const offering = models.get(model) ?? new Offering()
    models.set(model, offering)
    return offering
  }

  #report(pool: string, model: string, isNew = false): void {
    const offering = this.#offering(pool, model)
    const { evidence, otherwiseAt, versions: offered, stated } = offering
    if (!offering.isReported && stated === undefined && !this.#isComplete(pool, model)) return
    offering.isReported ||= evidence !== undefined
    const isStated = offered === undefined && stated !== undefined
    const versions = offered ?? stated
    const known = model === '' || versions === undefined ? {} : { versions, isStated }
    this.#options.deployed({ pool, model, evidence, ...known, isNew: isNew && isStated, otherwiseAt })
  }
}

function declaresVersion({ version, digest }: ModelOffer): boolean {
  return version !== undefined || digest !== undefined
}

function nameOf({ name }: ModelOffer): string {
  return name
}
