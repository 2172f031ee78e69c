/** A closed loop: so many callers, each of which makes its next call when the last has ended. */
import type { Loop, LoopParts } from './loop.ts'
import type { QuestionSource } from './question-source.ts'
import type { CallEnd } from './tally.ts'

export interface ClosedPlan {
  readonly callers: number
  readonly durationMs: number
}

/** A caller whose call had no answer waits so long: a server that refuses connections would be asked without end. */
const PAUSE_MS = 10

export class ClosedLoop implements Loop {
  readonly #plan: ClosedPlan
  readonly #source: QuestionSource
  readonly #parts: LoopParts
  #isStopped = false
  #callers = 0
  readonly #done = Promise.withResolvers<void>()
  readonly #pausing = new Set<NodeJS.Timeout>()

  constructor(plan: ClosedPlan, source: QuestionSource, parts: LoopParts) {
    this.#plan = plan
    this.#source = source
    this.#parts = parts
  }

  run(): Promise<void> {
    this.#callers = this.#plan.callers
    for (let i = 0; i < this.#plan.callers; i++) this.#next()
    return this.#done.promise
  }

  stop(): void {
    this.#isStopped = true
    for (const pause of this.#pausing) {
      clearTimeout(pause)
      this.#left()
    }
    this.#pausing.clear()
  }

  #next(): void {
    const now = performance.now()
    const { beganMs, asker, signal, tallyAt } = this.#parts
    if (this.#isStopped || now - beganMs >= this.#plan.durationMs) return this.#left()
    tallyAt(now).numbers.sent++
    asker.ask(this.#source.next(), now, signal, (end) => this.#ended(end))
  }

  #ended(end: CallEnd): void {
    const { signal, tallyAt } = this.#parts
    const tally = tallyAt(performance.now())
    if (signal.aborted && end.fault !== undefined) tally.numbers.unfinished++
    else tally.ended(end)
    if (end.fault === undefined || this.#isStopped) return this.#next()
    const pause = setTimeout(() => {
      this.#pausing.delete(pause)
      this.#next()
    }, PAUSE_MS)
    this.#pausing.add(pause)
  }

  #left(): void {
    if (--this.#callers === 0) this.#done.resolve()
  }
}
