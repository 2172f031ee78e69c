/**
 * An open loop: calls are sent when they are due, whatever comes back. Where all connections are in use a call waits for one, and
 * its latency counts from when it was due, not from when it was sent: otherwise a server that stalls would delay the very calls that
 * would have shown it ("coordinated omission", Tene).
 *
 * Timers fire up to two milliseconds late. A call that is late by no more than that, though a connection was free, counts from when
 * it was sent, since hits take a tenth of it; one that is later counts from when it was due, and is told as late, because then the
 * generator was too slow and not the server.
 */
import type { Arrivals } from './arrivals.ts'
import type { Loop, LoopParts } from './loop.ts'
import type { CallEnd } from './tally.ts'

/** By how much a timer of Node may be late on a machine that has time. */
const TIMER_MS = 2.5

export interface OpenPlan {
  /** Calls under way at a time. */
  readonly connections: number
  /** When no more calls are sent, milliseconds from the beginning; Infinity: when the arrivals are over. */
  readonly durationMs: number
}

export class OpenLoop implements Loop {
  readonly #plan: OpenPlan
  readonly #arrivals: Arrivals
  readonly #parts: LoopParts
  #running = 0
  /** All connections were in use when the next call was due, or are. */
  #isBlocked = false
  #isStopped = false
  #timer: NodeJS.Timeout | undefined
  readonly #done = Promise.withResolvers<void>()

  constructor(plan: OpenPlan, arrivals: Arrivals, parts: LoopParts) {
    this.#plan = plan
    this.#arrivals = arrivals
    this.#parts = parts
    arrivals.onChange = () => this.#send()
  }

  run(): Promise<void> {
    this.#send()
    return this.#done.promise
  }

  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    clearTimeout(this.#timer)
    this.#countUnsent(performance.now())
    this.#arrivals.close()
    this.#endIfOver()
  }

  /** Sends what is due, and comes back when the next is. */
  #send(): void {
    clearTimeout(this.#timer)
    if (this.#isStopped) return
    const { arrivals, now } = { arrivals: this.#arrivals, now: performance.now() }
    const elapsed = now - this.#parts.beganMs
    const due = Math.min(elapsed, this.#plan.durationMs)
    while (arrivals.dueMs <= due && this.#running < this.#plan.connections) this.#ask(now)
    if (arrivals.isOver || elapsed >= this.#plan.durationMs) return this.stop()
    this.#isBlocked = this.#running >= this.#plan.connections
    const next = this.#isBlocked ? this.#plan.durationMs : Math.min(arrivals.dueMs, this.#plan.durationMs)
    if (next < Number.POSITIVE_INFINITY)
      this.#timer = setTimeout(() => this.#send(), Math.min(MAX_TIMER_MS, Math.max(0, next - elapsed)))
  }

  #ask(now: number): void {
    const { asker, signal, tallyAt, beganMs } = this.#parts
    const dueMs = beganMs + this.#arrivals.dueMs
    const late = now - dueMs
    const { numbers, lateness } = tallyAt(now)
    numbers.sent++
    if (this.#isBlocked) numbers.waited++
    else {
      lateness.add(late * 1000)
      if (late > TIMER_MS) numbers.late++
    }
    const from = this.#isBlocked || late > TIMER_MS ? dueMs : now
    this.#running++
    asker.ask(this.#arrivals.take(), from, signal, (end) => this.#ended(end))
  }

  #ended(end: CallEnd): void {
    const { signal, tallyAt } = this.#parts
    const tally = tallyAt(performance.now())
    if (signal.aborted && end.fault !== undefined) tally.numbers.unfinished++
    else tally.ended(end)
    this.#running--
    if (this.#isStopped) return this.#endIfOver()
    if (this.#isBlocked) this.#send()
  }

  /** What was due by now and has not been sent. */
  #countUnsent(now: number): void {
    const { tallyAt, beganMs } = this.#parts
    const until = Math.min(now - beganMs, this.#plan.durationMs)
    const { numbers } = tallyAt(now)
    for (; this.#arrivals.dueMs < until; this.#arrivals.skip())
      numbers[this.#isBlocked ? 'unsentBlocked' : 'unsentLate']++
  }

  #endIfOver(): void {
    if (this.#running === 0) this.#done.resolve()
  }
}

const MAX_TIMER_MS = 2 ** 31 - 1
