/**
 * Discovers the passing instances of a Consul service with blocking queries: each query names an index and is answered
 * when there is something newer, or after the wait. The rules are those of Consul's page on blocking queries: an index
 * that goes back or is not positive restarts at 0; an answer does not promise a change; and a client must not poll in a
 * tight loop.
 */
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { JsonList } from '../../lib/json-list.ts'
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'
import { foundAt, objectOf } from './found.ts'
import { fetchList, MAX_OBJECT } from './request.ts'
import type { DiscoverySource, Snapshot } from './source.ts'

export interface ConsulOptions {
  /** Base URL of the agent. */
  readonly address: string
  readonly service: string
  readonly token: string | undefined
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** How long the agent may wait for news. Default five minutes. */
  readonly waitMs?: number
}

const WAIT_MS = 300_000
/**
 * Time beyond the wait, of which the agent adds up to a sixteenth, so that not all queries end at once: the answer must travel. A
 * query that does not wait has no more.
 */
const GRACE_MS = 10_000
/** Least time between two queries. */
const MIN_PAUSE_MS = 250
const RETRY = { baseMs: 500, maxMs: 30_000 }

export function createConsulSource(options: ConsulOptions): DiscoverySource {
  return new ConsulSource(options)
}

class ConsulSource implements DiscoverySource {
  readonly name: string
  readonly #options: ConsulOptions
  #apply: ((snapshot: Snapshot) => void) | undefined
  #cancel: (() => void) | undefined
  #abort = new AbortController()
  #index = 0
  #failures = 0

  constructor(options: ConsulOptions) {
    this.#options = options
    this.name = `consul:${options.service}`
  }

  start(apply: (snapshot: Snapshot) => void): void {
    this.#apply = apply
    void this.#run()
  }

  refresh(): void {
    if (!this.#apply) return
    this.#index = 0
    this.#abort.abort()
    this.#plan(0)
  }

  stop(): void {
    this.#apply = undefined
    this.#cancel?.()
    this.#abort.abort()
  }

  async #run(): Promise<void> {
    const { log, random } = this.#options
    const abort = new AbortController()
    this.#abort = abort
    try {
      const snapshot = await this.#query(abort.signal)
      if (abort.signal.aborted) return
      if (this.#failures > 0) log.info('discovery.consul', { source: this.name, recovered: true })
      this.#failures = 0
      this.#apply?.(snapshot)
      this.#plan(MIN_PAUSE_MS * (1 + random()))
    } catch (error) {
      if (abort.signal.aborted) return
      if (this.#failures === 0) log.warn('discovery.consul', { source: this.name, error: String(error) })
      // After an error the agent may be another one, with an index of its own.
      this.#index = 0
      this.#plan(backoffMs(this.#failures++, { ...RETRY, random }))
    }
  }

  #plan(ms: number): void {
    this.#cancel?.()
    if (this.#apply) this.#cancel = this.#options.clock.after(ms, () => void this.#run())
  }

  /** Blocks only where an index is known. */
  async #query(signal: AbortSignal): Promise<Snapshot> {
    const { address, service, token, waitMs = WAIT_MS } = this.#options
    const wait = this.#index > 0 ? `&index=${this.#index}&wait=${Math.ceil(waitMs / 1000)}s` : ''
    const path = `/v1/health/service/${encodeURIComponent(service)}?passing=1${wait}`
    const found: FoundBackend[] = []
    const list = new JsonList({
      depth: 1,
      maxBytes: MAX_OBJECT,
      element(entry) {
        const backend = found.length < BOUNDS.backends ? backendOf(entry) : undefined
        if (backend) found.push(backend)
      },
    })
    const request = {
      url: address.replace(/\/+$/, '') + path,
      headers: { accept: 'application/json', ...(token ? { 'x-consul-token': token } : {}) },
      timeoutMs: (wait === '' ? 0 : waitMs * (1 + 1 / 16)) + GRACE_MS,
      signal,
    }
    const response = await fetchList(request, list)
    if (response.status !== 200)
      throw new Error(`the agent answered ${response.status}: ${response.body.slice(0, 200).trim()}`)
    const next = Number(response.headers['x-consul-index'])
    if (!Array.isArray(response.document)) throw new Error('the agent answered something else than a list')
    // The query was cancelled by a refresh: its answer is discarded.
    if (signal.aborted) return []
    // Consul starts its index anew after a restored snapshot: what we wait for may lie far ahead.
    this.#index = Number.isSafeInteger(next) && next > 0 && next >= this.#index ? next : 0
    return found
  }
}

/** Undefined for an entry without an address. */
function backendOf(entry: unknown): FoundBackend | undefined {
  const node = objectOf(objectOf(entry)?.['Node'])
  const service = objectOf(objectOf(entry)?.['Service'])
  return foundAt({
    // An instance without an address of its own is at its node's.
    host: service?.['Address'] || node?.['Address'],
    port: service?.['Port'],
    grpcPort: objectOf(objectOf(service?.['TaggedAddresses'])?.['grpc'])?.['Port'],
    weight: objectOf(service?.['Weights'])?.['Passing'] ?? 1,
    instance: service?.['ID'],
    zone: node?.['Datacenter'],
  })
}
