/** The calls of an open loop in the order in which they are due. */
import type { Question } from './question.ts'
import type { QuestionSource } from './question-source.ts'
import type { Schedule } from './schedule.ts'

export interface Arrivals {
  /** When the next call is due, milliseconds from the beginning; Infinity: none is known at present. */
  readonly dueMs: number
  /** There is none any more. */
  readonly isOver: boolean
  /** The next call. Only where one is known. */
  take(): Question
  /** Leaves the next call out. */
  skip(): void
  /** Set by who reads: called when one has become known, or that there is none. */
  onChange: () => void
  close(): void
}

/** Questions that are drawn, at the times of a schedule. */
export class ScheduledArrivals implements Arrivals {
  readonly #schedule: Schedule
  readonly #source: QuestionSource
  #next: number | undefined
  onChange = (): void => {}

  constructor(schedule: Schedule, source: QuestionSource) {
    this.#schedule = schedule
    this.#source = source
    this.#next = schedule.next()
  }

  get dueMs(): number {
    return this.#next ?? Number.POSITIVE_INFINITY
  }

  get isOver(): boolean {
    return this.#next === undefined
  }

  take(): Question {
    this.skip()
    return this.#source.next()
  }

  skip(): void {
    this.#next = this.#schedule.next()
  }

  close(): void {
    this.#next = undefined
  }
}
