/** How many calls are open and run, and how long those of late took: for the drain, and for balancers. */
import { setTimeout as sleep } from 'node:timers/promises'
import { SlidingQuantiles } from '../lib/window.ts'

/** During the drain: calls that a balancer sent before it knew may still arrive for this long. */
const QUIET_MS = 200
/** Window of the latency that is reported to balancers. */
const LATENCY_WINDOW_MS = 10_000

export class CallMeter {
  #open = 0
  #lastEnd = 0
  #running = 0
  readonly #latencies = new SlidingQuantiles(LATENCY_WINDOW_MS)

  /** A call of any kind has come; call `close` when it is answered. */
  open(): void {
    this.#open++
  }

  close(): void {
    this.#open--
    this.#lastEnd = performance.now()
  }

  /** Counts a prediction while it runs, and its latency if it succeeds. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const began = performance.now()
    this.#running++
    try {
      const answer = await work()
      const now = performance.now()
      this.#latencies.add(now, now - began)
      return answer
    } finally {
      this.#running--
    }
  }

  /** The load report for balancers; 0 where no recent prediction gives a latency. */
  get load(): { readonly running: number; readonly latencyMs: number } {
    const latencyMs = this.#latencies.quantile(performance.now(), 0.5) ?? 0
    return { running: this.#running, latencyMs: Math.round(latencyMs * 1000) / 1000 }
  }

  /** Resolves when no call has been open for a moment, or after `timeoutMs`. */
  async quiet(timeoutMs: number): Promise<void> {
    const start = performance.now()
    this.#lastEnd = Math.max(this.#lastEnd, start)
    while (performance.now() - start < timeoutMs) {
      if (this.#open === 0 && performance.now() - this.#lastEnd >= QUIET_MS) return
      await sleep(20)
    }
  }

  /** Resolves when no call is open, or after `timeoutMs`. */
  async idle(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (this.#open > 0 && performance.now() < deadline) await sleep(10)
  }
}
