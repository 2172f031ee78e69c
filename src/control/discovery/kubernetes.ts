/**
 * Watches the EndpointSlices of a Kubernetes service: one LIST, then a WATCH from its resource version, as the API
 * concepts page describes. Bookmarks keep that version recent; where it has expired (410 Gone) the list is read again.
 * While the API server is unreachable, the last list stays.
 */
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { JsonList, parseJson } from '../../lib/json-list.ts'
import { BOUNDS } from '../registry/registration.ts'
import { backendsOf, type EndpointSlice, readSlice } from './endpoint-slices.ts'
import { isText, objectOf } from './found.ts'
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  fetchLines,
  fetchList,
  MAX_OBJECT,
} from './request.ts'
import type { DiscoverySource, Snapshot } from './source.ts'

/** How the API server is reached. */
export interface ApiServer {
  /** Without a trailing slash. */
  readonly url: string
  readonly token: string | undefined
  readonly ca: string | undefined
}

/**
 * Called before every request, because tokens are rotated; `refusedToken`: one that the server has answered with 401. Rejects
 * with what is missing.
 */
export type FindApiServer = (refusedToken?: string) => Promise<ApiServer>

export interface KubernetesOptions {
  readonly namespace: string
  readonly service: string
  /** Number or name; undefined: the first. */
  readonly port: number | string | undefined
  readonly server: FindApiServer
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
}

const LIST_TIMEOUT_MS = 30_000
/** The server ends a watch after this time, so that a dead connection is noticed. */
const WATCH_SECONDS = 300
const WATCH_GRACE_MS = 30_000
const RETRY = { baseMs: 500, maxMs: 30_000 }
/** Pause before the next watch: a proxy may end each of them at once. */
const PAUSE_MS = 100
/** Changes that come faster are told together: a rollout of many pods is hundreds of events. */
const TELL_MS = 100
/** Slices beyond so many endpoints are not kept: each change reads all that are. */
const MAX_ENDPOINTS = 8 * BOUNDS.backends
const TOO_MANY = 'the service has more endpoints than a pool can hold: the rest is left out'
const UNAUTHORIZED = 401
const GONE = 410
/** Events that change the list; a BOOKMARK only moves the version. */
const CHANGES: ReadonlySet<unknown> = new Set(['ADDED', 'MODIFIED', 'DELETED'])

/** The resource version of the watch has expired. */
class WatchExpired extends Error {
  constructor() {
    super('the watch expired before it said anything (410 Gone)')
  }
}

export function createKubernetesSource(options: KubernetesOptions): DiscoverySource {
  return new KubernetesSource(options)
}

class KubernetesSource implements DiscoverySource {
  readonly name: string
  readonly #options: KubernetesOptions
  readonly #slices = new Map<string, EndpointSlice>()
  /** In all slices together. */
  #endpoints = 0
  #version: string | undefined
  #apply: ((snapshot: Snapshot) => void) | undefined
  #failures = 0
  /** Of the newest request. */
  #token: string | undefined
  #refusedToken: string | undefined
  /** Watches in a row that expired before they said anything. */
  #expiries = 0
  /** Set for a while after each list that was told. */
  #cancelTell: (() => void) | undefined
  #isUntold = false
  #cancel: (() => void) | undefined
  #abort = new AbortController()

  constructor(options: KubernetesOptions) {
    this.#options = options
    this.name = `kubernetes:${options.namespace}/${options.service}`
  }

  start(apply: (snapshot: Snapshot) => void): void {
    this.#apply = apply
    void this.#run()
  }

  /** Reads the list again instead of relying on the events so far. */
  refresh(): void {
    if (!this.#apply) return
    this.#version = undefined
    this.#abort.abort()
    this.#plan(0)
  }

  stop(): void {
    this.#apply = undefined
    this.#cancel?.()
    this.#cancelTell?.()
    this.#abort.abort()
  }

  #plan(ms: number): void {
    this.#cancel?.()
    if (this.#apply) this.#cancel = this.#options.clock.after(ms, () => void this.#run())
  }

  /** Reads the list if needed, watches once, and plans the next round. */
  async #run(): Promise<void> {
    const abort = new AbortController()
    this.#abort = abort
    try {
      if (this.#version === undefined) await this.#list(abort.signal)
      await this.#watch(abort.signal)
      if (!abort.signal.aborted) this.#plan(PAUSE_MS * (1 + this.#options.random()))
    } catch (error) {
      if (abort.signal.aborted) return
      if (error instanceof WatchExpired) this.#version = undefined
      this.#retry(error)
    }
  }

  #retry(error: unknown): void {
    const { log, random } = this.#options
    const isGone = error instanceof WatchExpired
    // With jitter: a restart of the API server expires the watches of all clients at once.
    const waitMs = backoffMs(isGone ? this.#expiries++ : this.#failures++, { ...RETRY, random })
    // That a watch expires is ordinary, but not that the next one expires at once.
    if (isGone ? this.#expiries === 2 : this.#failures === 1) {
      log.warn('discovery.kubernetes', { source: this.name, error: String(error), retryMs: waitMs })
    }
    this.#plan(waitMs)
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { log } = this.#options
    const request = await this.#request('', LIST_TIMEOUT_MS, signal)
    const slices: EndpointSlice[] = []
    let endpoints = 0
    const items = new JsonList({
      depth: 2,
      maxBytes: MAX_OBJECT,
      element(item) {
        const slice = endpoints < MAX_ENDPOINTS ? readSlice(item) : undefined
        if (!slice) return
        endpoints += countOf(slice)
        slices.push(slice)
      },
    })
    const response = await fetchList(request, items)
    if (response.status !== 200) throw this.#refused(response)
    const version = objectOf(objectOf(response.document)?.['metadata'])?.['resourceVersion']
    if (!isText(version)) throw new Error('the list has no resource version')
    if (signal.aborted) return
    this.#slices.clear()
    this.#endpoints = 0
    // Sorted oldest first where versions are comparable, so that the newer of two slices counts.
    for (const slice of slices.toSorted(byVersion)) this.#put(slice)
    if (endpoints >= MAX_ENDPOINTS)
      log.warn('discovery.kubernetes', { source: this.name, error: TOO_MANY, kept: endpoints })
    this.#version = version
    this.#recovered()
    this.#tell()
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const query = `&watch=1&allowWatchBookmarks=1&timeoutSeconds=${WATCH_SECONDS}`
    const from = `${query}&resourceVersion=${encodeURIComponent(this.#version ?? '')}`
    const request = await this.#request(from, WATCH_SECONDS * 1000 + WATCH_GRACE_MS, signal)
    const response = await fetchLines(request, (line) => {
      if (!signal.aborted) this.#take(line)
    })
    if (response.status === GONE) throw new WatchExpired()
    if (response.status !== 200) throw this.#refused(response)
    this.#expiries = 0
    this.#recovered()
  }

  /**
   * Handles one event. An event that cannot be read may have been a change, so the list is read again; the watch
   * continues behind it.
   */
  #take(line: string): void {
    try {
      this.#event(objectOf(parseJson(Buffer.from(line))) ?? {})
    } catch (error) {
      this.#version = undefined
      throw error
    }
  }

  #event({ type, object: given }: Readonly<Record<string, unknown>>): void {
    const object = objectOf(given) ?? {}
    if (type === 'ERROR') {
      if (object['code'] === GONE) throw new WatchExpired()
      const { message } = object
      throw new Error(typeof message === 'string' ? message.slice(0, 200) : 'the watch failed')
    }
    this.#expiries = 0
    const version = objectOf(object['metadata'])?.['resourceVersion']
    if (isText(version)) this.#version = version
    if (!CHANGES.has(type)) return
    const slice = readSlice(object)
    // A slice without a name cannot be matched to a known one.
    if (!slice) throw new Error('an event about nothing')
    this.#drop(slice.metadata.name)
    if (type !== 'DELETED' && this.#endpoints < MAX_ENDPOINTS) this.#put(slice)
    this.#changed()
  }

  #put(slice: EndpointSlice): void {
    this.#drop(slice.metadata.name)
    this.#slices.set(slice.metadata.name, slice)
    this.#endpoints += countOf(slice)
  }

  #drop(name: string): void {
    const known = this.#slices.get(name)
    if (!known) return
    this.#slices.delete(name)
    this.#endpoints -= countOf(known)
  }

  /** Tells of a change at once, and of those that follow it closely together. */
  #changed(): void {
    if (this.#cancelTell) {
      this.#isUntold = true
      return
    }
    this.#tell()
    this.#cancelTell = this.#options.clock.after(TELL_MS, () => {
      this.#cancelTell = undefined
      if (this.#isUntold) this.#changed()
    })
  }

  #tell(): void {
    this.#isUntold = false
    this.#apply?.(backendsOf(this.#slices.values(), this.#options.port))
  }

  #refused(response: DiscoveryResponse): Error {
    if (response.status === UNAUTHORIZED) this.#refusedToken = this.#token
    return refused(response)
  }

  #recovered(): void {
    if (this.#failures > 0)
      this.#options.log.info('discovery.kubernetes', { source: this.name, recovered: true })
    this.#failures = 0
  }

  async #request(query: string, timeoutMs: number, signal: AbortSignal): Promise<DiscoveryRequest> {
    const { namespace, service, server } = this.#options
    const { url, token, ca } = await server(this.#refusedToken)
    this.#token = token
    const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`)
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`
    return {
      url: `${url}${slices}?labelSelector=${selector}${query}`,
      headers: { accept: 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ca,
      timeoutMs,
      signal,
    }
  }
}

function refused({ status, body }: DiscoveryResponse): Error {
  const hint = status === 403 ? ' (the service account needs list and watch on endpointslices)' : ''
  return new Error(`the API server answered ${status}${hint}: ${body.slice(0, 200)}`)
}

function countOf({ endpoints }: EndpointSlice): number {
  return endpoints?.length ?? 0
}

function byVersion(a: EndpointSlice, b: EndpointSlice): number {
  const [one, two] = [Number(a.metadata.resourceVersion), Number(b.metadata.resourceVersion)]
  return Number.isFinite(one - two) ? one - two : 0
}
