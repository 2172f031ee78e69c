/** Schedules probes: which backends are asked, and how often, so that probing never becomes a load of its own. */

/** Takes a probe's answer, which may come any time later, or never. */
export interface ProbeSink {
  answered(slot: number, running: number, latencyMs: number): void
}

/** Asks a backend for its load, without anybody waiting for it. Must not throw. */
export interface LoadProber {
  probe(slot: number, sink: ProbeSink): void
}

export interface ProbeSchedulerOptions {
  /** Without one, the gateway's own calls give the readings. */
  readonly prober?: LoadProber
  /** Default 2000. */
  readonly maxProbesPerSecond?: number
}

/** A backend of a small pool is probed again after this time. */
const REFRESH_MS = 250

export class ProbeScheduler {
  readonly #prober: LoadProber | undefined
  readonly #sink: ProbeSink
  readonly #perSecond: number
  readonly #probedAt: Float64Array
  #tokens: number
  #tokensAt = -Infinity

  constructor(slots: number, { prober, maxProbesPerSecond = 2_000 }: ProbeSchedulerOptions, sink: ProbeSink) {
    this.#prober = prober
    this.#sink = sink
    this.#perSecond = maxProbesPerSecond
    this.#tokens = maxProbesPerSecond
    this.#probedAt = new Float64Array(slots).fill(-Infinity)
  }

  /** Probes a backend, within the rate. False: there is no prober, and the caller uses the gateway's own readings. */
  probe(slot: number, now: number): boolean {
    if (this.#prober === undefined) return false
    const elapsed = this.#tokensAt === -Infinity ? 0 : Math.max(0, now - this.#tokensAt)
    this.#tokens = Math.min(this.#perSecond, this.#tokens + (elapsed * this.#perSecond) / 1_000)
    this.#tokensAt = now
    if (this.#tokens < 1) return true
    this.#tokens--
    this.#probedAt[slot] = now
    this.#prober.probe(slot, this.#sink)
    return true
  }

  /** Probes a backend whose last probe is long ago. */
  refresh(slot: number, now: number): void {
    if (this.#prober !== undefined && now - (this.#probedAt[slot] ?? 0) > REFRESH_MS) this.probe(slot, now)
  }

  forget(slot: number): void {
    this.#probedAt[slot] = -Infinity
  }
}
