/**
 * Scales a Kubernetes object through its `scale` subresource: reads it and patches the number where it differs, with
 * the resource version that was read. It does nothing where another autoscaler has the same target, since the two would
 * fight.
 */
import type { Log } from '../../core/log.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { parseJson } from '../../lib/json-list.ts'
import type { FindApiServer } from '../discovery/kubernetes.ts'
import { type DiscoveryRequest, type DiscoveryResponse, fetchWhole } from '../discovery/request.ts'
import type { Emitter, ScaleSignal } from './signal.ts'

export interface KubernetesScaleOptions {
  readonly kind: 'Deployment' | 'StatefulSet' | 'ReplicaSet'
  readonly namespace: string
  readonly name: string
  readonly server: FindApiServer
  readonly clock: Clock
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
}

const TIMEOUT_MS = 10_000
/** Interval of repetitions: somebody else may have changed the number. */
const REPEAT_MS = 30_000
const RETRY = { baseMs: 500, maxMs: 30_000 }
const UNAUTHORIZED = 401
const CONFLICT = 409

interface Scale {
  readonly metadata: { readonly resourceVersion?: string }
  readonly spec?: { readonly replicas?: number }
}

/** The target reference of an autoscaler; HorizontalPodAutoscaler and KEDA's ScaledObject have the same. */
interface Autoscaler {
  readonly kind?: string
  readonly metadata: { readonly name: string }
  readonly spec?: { readonly scaleTargetRef?: { readonly kind?: string; readonly name?: string } }
}

/** The object was changed between reading and writing. */
class Conflict extends Error {}

export function createKubernetesScale(options: KubernetesScaleOptions): Emitter {
  return new KubernetesScale(options)
}

class KubernetesScale implements Emitter {
  readonly name: string
  readonly #options: KubernetesScaleOptions
  readonly #ending = new AbortController()
  #newest: ScaleSignal | undefined
  #token = 0
  #isRunning = false
  #failures = 0
  #refusedToken: string | undefined
  #cancel = () => {}

  constructor(options: KubernetesScaleOptions) {
    this.#options = options
    this.name = `kubernetes ${options.namespace}/${options.kind.toLowerCase()}/${options.name}`
  }

  emit(signal: ScaleSignal): void {
    // Signals of a former leader are ignored (fencing).
    if (this.#ending.signal.aborted || signal.token < this.#token) return
    const isNew = signal.id !== this.#newest?.id
    this.#token = signal.token
    this.#newest = signal
    if (isNew) void this.#run()
  }

  close(): void {
    this.#ending.abort()
    this.#cancel()
  }

  async #run(): Promise<void> {
    this.#cancel()
    if (this.#isRunning || this.#ending.signal.aborted) return
    const signal = this.#newest
    if (!signal) return
    this.#isRunning = true
    const { log, random, clock } = this.#options
    let waitMs = REPEAT_MS
    try {
      await this.#bring(signal.decision.desired)
      this.#failures = 0
    } catch (error) {
      const isConflict = error instanceof Conflict
      waitMs = backoffMs(isConflict ? 0 : this.#failures++, { ...RETRY, random })
      if (!this.#ending.signal.aborted && !isConflict && this.#failures === 1)
        log.warn('scale.kubernetes', { pool: signal.pool, target: this.name, error: String(error) })
    }
    this.#isRunning = false
    if (this.#ending.signal.aborted) return
    if (this.#newest?.id !== signal.id) return void this.#run()
    this.#cancel = clock.after(waitMs, () => void this.#run())
  }

  /** Sets the number of replicas; writes nothing where it is right already. */
  async #bring(replicas: number): Promise<void> {
    const rival = await this.#rival()
    if (rival) throw new Error(`${rival} scales the same object: remove one of the two`)
    const { kind, namespace, name, log } = this.#options
    const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/${kind.toLowerCase()}s/${encodeURIComponent(name)}/scale`
    const read = await this.#ask({ path })
    if (read.status !== 200) throw refused(read, 'get')
    const { metadata, spec } = parseJson(Buffer.from(read.body)) as Scale
    if ((spec?.replicas ?? 0) === replicas) return
    const { resourceVersion } = metadata
    const body = JSON.stringify({ metadata: { resourceVersion }, spec: { replicas } })
    const written = await this.#ask({ path, method: 'PATCH', body })
    if (written.status === CONFLICT) throw new Conflict('changed meanwhile')
    if (written.status !== 200) throw refused(written, 'patch')
    log.info('scale.kubernetes', { target: this.name, from: spec?.replicas ?? 0, replicas })
  }

  /** Another autoscaler with the same target, if any. Kinds that the cluster does not have are skipped. */
  async #rival(): Promise<string | undefined> {
    const { kind, namespace, name } = this.#options
    const within = `namespaces/${encodeURIComponent(namespace)}`
    for (const [what, path] of [
      ['HorizontalPodAutoscaler', `/apis/autoscaling/v2/${within}/horizontalpodautoscalers`],
      ['ScaledObject', `/apis/keda.sh/v1alpha1/${within}/scaledobjects`],
    ] as const) {
      const response = await this.#ask({ path })
      if (response.status === 404) continue
      if (response.status !== 200) throw refused(response, 'list')
      const { items } = parseJson(Buffer.from(response.body)) as { items?: readonly Autoscaler[] | null }
      const found = (items ?? []).find(({ spec }) => {
        const target = spec?.scaleTargetRef
        return target?.name === name && (target.kind ?? 'Deployment') === kind
      })
      if (found) return `the ${what} "${found.metadata.name}"`
    }
    return undefined
  }

  async #ask({
    path,
    method,
    body,
  }: {
    path: string
    method?: string
    body?: string
  }): Promise<DiscoveryResponse> {
    const { url, token, ca } = await this.#options.server(this.#refusedToken)
    const request: DiscoveryRequest = {
      url: `${url}${path}`,
      headers: {
        accept: 'application/json',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/merge-patch+json' }),
      },
      ca,
      timeoutMs: TIMEOUT_MS,
      signal: this.#ending.signal,
      ...(method === undefined ? {} : { method }),
      ...(body === undefined ? {} : { body }),
    }
    const response = await fetchWhole(request)
    if (response.status === UNAUTHORIZED) this.#refusedToken = token
    return response
  }
}

function refused({ status, body }: DiscoveryResponse, verb: string): Error {
  const hint =
    status === 403
      ? ` (the service account needs ${verb}: get and patch on the scale subresource, list on horizontalpodautoscalers and scaledobjects)`
      : ''
  return new Error(`the API server answered ${status}${hint}: ${body.slice(0, 200)}`)
}
