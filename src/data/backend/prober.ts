/**
 * Probes backends for their load, for policies that use it: a GET that the backend answers from memory with
 * `{"running": 3, "latencyMs": 8.4}`. No call waits for it. A backend that answers anything else, or too late to be of use,
 * is not probed for a while; the gateway's own calls then give its readings.
 */
import type { Backend } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import type { LoadProber, ProbeSink } from '../balance/policies/probe-scheduler.ts'
import type { Clients } from './clients.ts'
import { collected, letGo } from './incoming.ts'

export interface HttpProberOptions {
  readonly clients: Clients
  readonly clock: Clock
  /** Path below the backend's URL. */
  readonly path: string
  /** The backend at a slot now. */
  readonly at: (slot: number) => Backend | undefined
}

/** A later answer says nothing about the present. */
const TIMEOUT_MS = 100
const MUTE_MS = 10_000
const MAX_BYTES = 1024

interface LoadReading {
  readonly running: number
  readonly latencyMs: number
}

export class HttpProber implements LoadProber {
  readonly #options: HttpProberOptions
  /** By slot: the generation being probed, or the time until which it is not probed. */
  readonly #probed = new Map<number, { generation: number; mutedUntil: number }>()

  constructor(options: HttpProberOptions) {
    this.#options = options
  }

  probe(slot: number, sink: ProbeSink): void {
    const { at, clock } = this.#options
    const backend = at(slot)
    const probed = this.#probed.get(slot)
    if (!backend?.url || (probed?.generation === backend.generation && clock.now() < probed.mutedUntil))
      return
    // Muted until it has answered: one probe at a time.
    const entry = { generation: backend.generation, mutedUntil: Infinity }
    this.#probed.set(slot, entry)
    void this.#read(backend.url).then((reading) => {
      entry.mutedUntil = reading ? 0 : clock.now() + MUTE_MS
      if (reading && at(slot)?.generation === backend.generation)
        sink.answered(slot, reading.running, reading.latencyMs)
    })
  }

  async #read(url: string): Promise<LoadReading | undefined> {
    const { clients, clock, path } = this.#options
    const late = new AbortController()
    const cancel = clock.after(TIMEOUT_MS, () => late.abort(new Error('the probe took too long')))
    try {
      const { reply } = await clients.send({
        url,
        method: 'GET',
        target: path,
        headers: ['accept', 'application/json', 'user-agent', 'infergate-probe'],
        body: undefined,
        contentLength: undefined,
        signal: late.signal,
        headTimeoutMs: TIMEOUT_MS,
      })
      const { complete, bytes } = await collected(reply.body, MAX_BYTES)
      if (!complete) letGo(reply.body)
      return complete && reply.status === 200 ? readingOf(bytes) : undefined
    } catch {
      return undefined
    } finally {
      cancel()
    }
  }
}

/** A latency that is left out, or 0, is one that the backend does not know yet. */
function readingOf(bytes: Uint8Array): LoadReading | undefined {
  const text = new TextDecoder().decode(bytes)
  const { running, latencyMs = 0 } = Object(JSON.parse(text)) as Record<string, unknown>
  if (typeof running !== 'number' || typeof latencyMs !== 'number') return undefined
  const isReading = Number.isSafeInteger(running) && running >= 0 && latencyMs >= 0 && latencyMs < Infinity
  return isReading ? { running, latencyMs } : undefined
}
