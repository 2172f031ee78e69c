/** Where a warming has its calls from: the sample of a running gateway, or a list that grows while it is asked. */
import type { Digest } from '../../core/key.ts'
import type { SampledCall, WarmRequest } from '../../core/warm.ts'
import { Condition } from '../../lib/condition.ts'

/** A call to look at, and how often it is asked. */
export interface WarmItem {
  readonly request: WarmRequest
  readonly weight: number
}

export interface WarmSource {
  /** How many there are; undefined: nobody knows yet. */
  readonly total: number | undefined
  /** In the order in which they are to be asked. */
  items(signal: AbortSignal): AsyncIterable<WarmItem>
}

/** What one worker has in a sample, and what it gives of it. */
export interface WorkerSample {
  readonly worker: number
  readonly calls: readonly SampledCall[]
}

export interface SampleAccess {
  sampled(route: string, most: number): Promise<readonly WorkerSample[]>
  sampledRequests(
    worker: number,
    route: string,
    ids: readonly Digest[],
  ): Promise<readonly (WarmRequest | undefined)[]>
}

/** A call of the sample, and the workers that have it. */
interface Ranked {
  readonly id: Digest
  weight: number
  costMs: number
  readonly worker: number
}

/** Calls whose bodies are asked for at a time. */
const FETCHED = 32

/**
 * The sample of a route in the order of what misses would cost: how often a call is asked, times what its answer takes. A call
 * that several workers have is one.
 */
export async function sampleOf(
  access: SampleAccess,
  {
    route,
    model,
    limit,
  }: { readonly route: string; readonly model?: string | undefined; readonly limit: number },
): Promise<WarmSource> {
  const ranked = new Map<Digest, Ranked>()
  for (const { worker, calls } of await access.sampled(route, limit))
    for (const call of calls) {
      if (model !== undefined && call.model !== model) continue
      const known = ranked.get(call.id)
      if (!known) ranked.set(call.id, { id: call.id, weight: call.weight, costMs: call.costMs, worker })
      else {
        known.weight += call.weight
        known.costMs = Math.max(known.costMs, call.costMs)
      }
    }
  const inOrder = [...ranked.values()].sort((a, b) => costOf(b) - costOf(a)).slice(0, limit)
  return {
    total: inOrder.length,
    async *items(signal) {
      for (let at = 0; at < inOrder.length && !signal.aborted; at += FETCHED) {
        const some = inOrder.slice(at, at + FETCHED)
        const bodies = await requestsOf(access, route, some)
        for (const { id, weight } of some) {
          const request = bodies.get(id)
          // It was purged, or has made room, since.
          if (request) yield { request, weight }
        }
      }
    },
  }
}

/** What is not known costs a millisecond. */
function costOf({ weight, costMs }: Ranked): number {
  return weight * Math.max(1, costMs)
}

async function requestsOf(
  access: SampleAccess,
  route: string,
  some: readonly Ranked[],
): Promise<ReadonlyMap<Digest, WarmRequest>> {
  const found = new Map<Digest, WarmRequest>()
  await Promise.all(
    [...Map.groupBy(some, ({ worker }) => worker)].map(async ([worker, calls]) => {
      const requests = await access.sampledRequests(
        worker,
        route,
        calls.map(({ id }) => id),
      )
      for (const [i, { id }] of calls.entries()) {
        const request = requests[i]
        if (request) found.set(id, request)
      }
    }),
  )
  return found
}

/** A list that somebody adds to while it is asked. */
export class FedSource implements WarmSource {
  readonly #waiting: WarmItem[] = []
  readonly #changed = new Condition()
  readonly #most: { readonly calls: number; readonly bytes: number }
  #bytes = 0
  #isEnded = false
  total: number | undefined

  /** `most`: what may wait. */
  constructor(most: { readonly calls: number; readonly bytes: number }) {
    this.#most = most
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Takes as many as there is room for, from the first on, and says how many. */
  add(items: readonly WarmItem[]): number {
    let taken = 0
    for (const item of items) {
      const isFull = this.#waiting.length >= this.#most.calls || this.#bytes >= this.#most.bytes
      if (isFull || this.#isEnded) break
      this.#waiting.push(item)
      this.#bytes += item.request.body.length
      taken++
    }
    this.#changed.notify()
    return taken
  }

  end(): void {
    this.#isEnded = true
    this.#changed.notify()
  }

  async *items(signal: AbortSignal): AsyncGenerator<WarmItem> {
    const stop = () => this.#changed.notify()
    signal.addEventListener('abort', stop, { once: true })
    try {
      while (!signal.aborted) {
        const item = this.#waiting.shift()
        if (item) {
          this.#bytes -= item.request.body.length
          yield item
        } else if (this.#isEnded) return
        else await this.#changed.wait()
      }
    } finally {
      signal.removeEventListener('abort', stop)
      this.#waiting.length = this.#bytes = 0
      this.#isEnded = true
    }
  }
}
