/**
 * A simulated model server: so many calls at a time, the others in line, first come first served. Its speed and its
 * health are functions of the virtual time. It does not notice that a caller has left: like most model servers
 * it computes answers nobody waits for.
 */
import type { Engine } from '../engine.ts'

export interface BackendPlan {
  /** Calls served at a time. */
  readonly slots: number
  /** One service time, given the virtual time, in milliseconds. */
  readonly serviceMs: (now: number) => number
  /** Whether a call that begins now fails, and after how long. Undefined: it does not. */
  readonly failsAfterMs?: (now: number) => number | undefined
  /** Part of its slots in use, 0 to 1; a backend at half capacity has lost half its slots. Default 1. */
  readonly capacity?: (now: number) => number
}

export type Done = (isOk: boolean) => void

export class SimBackend {
  /** Calls that arrived here. */
  received = 0
  readonly #engine: Engine
  readonly #plan: BackendPlan
  readonly #line: Done[] = []
  #running = 0

  constructor(engine: Engine, plan: BackendPlan) {
    this.#engine = engine
    this.#plan = plan
  }

  accept(done: Done): void {
    this.received++
    const failure = this.#plan.failsAfterMs?.(this.#engine.now())
    // A fast failure takes no slot: nothing is computed.
    if (failure !== undefined) this.#engine.at(this.#engine.now() + failure, () => done(false))
    else {
      this.#line.push(done)
      this.#serve()
    }
  }

  #serve(): void {
    const now = this.#engine.now()
    const slots = Math.max(1, Math.floor(this.#plan.slots * (this.#plan.capacity?.(now) ?? 1)))
    while (this.#running < slots) {
      const done = this.#line.shift()
      if (done === undefined) return
      this.#running++
      this.#engine.at(now + this.#plan.serviceMs(now), () => {
        this.#running--
        done(true)
        this.#serve()
      })
    }
  }
}
