/**
 * Fetches the metrics pages of backends for their load: one look at a time at each, with a deadline and a bounded page. The
 * next is planned when the last has ended, so a slow backend is asked less often.
 */

import type { Backend, PoolView } from '../../core/backend.ts'
import { type BackendLoad, LOAD_FAULTS, type LoadFault } from '../../core/backend-load.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { accessOf, type Probe, type ProbeAccess, type ProbeResult } from '../health/probe.ts'
import type { Registry } from '../registry/registry.ts'
import { readMetricsPage } from './metrics-page.ts'

export interface LoadSettings extends ProbeAccess {
  readonly path: string
  /** Where the page is, if not at the backend's own port. */
  readonly port?: number | undefined
  readonly intervalMs: number
  readonly timeoutMs: number
}

export interface LoadWatchOptions {
  readonly registry: Pick<Registry, 'follow'>
  readonly clock: Clock
  readonly log: Log
  readonly probe: Probe
  /** Uniform in [0, 1), for the jitter. */
  readonly random: () => number
  /** The settings of a pool, read before every look; undefined: it is not asked. */
  readonly settings: (pool: string) => LoadSettings | undefined
  readonly report: (backend: Backend, load: BackendLoad | LoadFault) => void
}

/** As `LOAD_FAULTS` says. */
const MAX_PAGE_BYTES = 2 * 1024 * 1024
/** How soon a pool whose settings ask for nothing is looked at again: they may change. */
const IDLE_MS = 1_000
const JITTER = 0.1

export class LoadWatch {
  readonly #options: LoadWatchOptions
  readonly #lookers = new Map<number, Looker>()
  #unfollow: (() => void) | undefined

  constructor(options: LoadWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#unfollow ??= this.#options.registry.follow((view) => this.#follow(view))
  }

  stop(): void {
    this.#unfollow?.()
    this.#unfollow = undefined
    for (const looker of this.#lookers.values()) looker.stop()
    this.#lookers.clear()
  }

  #follow({ pool, backends }: PoolView): void {
    const wanted = new Map(backends.map((backend) => [backend.generation, backend]))
    for (const [generation, looker] of this.#lookers) {
      if (looker.pool !== pool || wanted.has(generation)) continue
      looker.stop()
      this.#lookers.delete(generation)
    }
    for (const [generation, backend] of wanted) {
      // A server that takes only gRPC has no pages.
      if (backend.url === undefined || this.#lookers.has(generation)) continue
      const looker = new Looker(pool, backend, this.#options)
      this.#lookers.set(generation, looker)
      looker.start()
    }
  }
}

class Looker {
  readonly pool: string
  readonly #backend: Backend
  readonly #options: LoadWatchOptions
  /** The last reason why there was no report, for the log. */
  #fault: LoadFault | undefined
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(pool: string, backend: Backend, options: LoadWatchOptions) {
    this.pool = pool
    this.#backend = backend
    this.#options = options
  }

  start(): void {
    void this.#look()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  async #look(): Promise<void> {
    const { settings, report, clock, random } = this.#options
    const found = settings(this.pool)
    if (found) {
      const load = await this.#read(found)
      if (this.#stopped) return
      this.#tell(typeof load === 'string' ? load : undefined)
      report(this.#backend, load)
    }
    const pauseMs = (found?.intervalMs ?? IDLE_MS) * (1 - JITTER + 2 * JITTER * random())
    this.#cancel = clock.after(pauseMs, () => void this.#look())
  }

  async #read(settings: LoadSettings): Promise<BackendLoad | LoadFault> {
    const { path, port, timeoutMs } = settings
    const access = accessOf(settings)
    const request =
      port === undefined
        ? { url: this.#backend.url ?? '', ...access }
        : // Another port is another server: it is not shown what is for the backend.
          { url: withPort(this.#backend.url ?? '', port), ...access, credential: undefined }
    const result = await this.#options.probe({ ...request, path, timeoutMs, maxBodyBytes: MAX_PAGE_BYTES })
    return loadIn(result)
  }

  #tell(fault: LoadFault | undefined): void {
    if (fault === this.#fault) return
    this.#fault = fault
    const { log } = this.#options
    const which = { pool: this.pool, backend: this.#backend.id }
    if (fault === undefined) log.info('backend.load', which)
    else log.warn('backend.load', { ...which, reason: LOAD_FAULTS[fault] })
  }
}

function loadIn(result: ProbeResult): BackendLoad | LoadFault {
  if (result.kind !== 'status') return 'unreachable'
  if (result.isCut) return 'too large'
  return result.status === 200 ? readMetricsPage(result.body) : 'refused'
}

/** The same server at another port; the page is at its root, whatever path the backend has. */
function withPort(url: string, port: number): string {
  const { protocol, hostname } = new URL(url)
  return `${protocol}//${hostname}:${port}`
}
