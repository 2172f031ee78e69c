/**
 * Collects the lines of one thread, which go to the control thread when there are many or they are a tenth of a second old. What
 * is on its way there is bounded over all threads: while it cannot keep up, further lines are dropped and counted.
 */
import type { Clock } from '../../lib/clock.ts'

/** Lines of the access log, and which of them (by index) are worth showing to people. */
export interface CallBatch {
  readonly lines: readonly string[]
  readonly notable: readonly number[]
  /** Calls that are traced, as JSON. */
  readonly traced: readonly string[]
}

export interface CallOutboxParts {
  readonly send: (batch: CallBatch) => void
  /** Characters that were handed on and not yet written, over all threads; one number. */
  readonly queued: Int32Array
  /** A line, or a call that is traced, was dropped. */
  readonly lost: (what: 'log' | 'traces') => void
  readonly clock: Pick<Clock, 'after'>
}

/** Bound of what is handed on and not yet written. */
export const MAX_QUEUED_CHARS = 16 << 20
const BATCH_CHARS = 64 << 10
const BATCH_MS = 100
/** Of the lines of one interval so many are shown at most, those of slow and failed calls before any other. */
const MAX_NOTABLE = 20

export class CallOutbox {
  readonly #parts: CallOutboxParts
  #lines: string[] = []
  #chars = 0
  #notable: number[] = []
  #shown = 0
  #traced: string[] = []
  #cancel: (() => void) | undefined

  constructor(parts: CallOutboxParts) {
    this.#parts = parts
  }

  /** `isOdd`: the call was slow or has failed. */
  add(line: string, isOdd: boolean): void {
    if (!this.#hasRoom(line)) return this.#parts.lost('log')
    // What is in the sample leaves half of the places to what is odd.
    if (this.#shown < (isOdd ? MAX_NOTABLE : MAX_NOTABLE / 2)) {
      this.#shown++
      this.#notable.push(this.#lines.length)
    }
    this.#lines.push(line)
    this.#collected(line)
  }

  /** A call that is traced. */
  trace(call: string): void {
    if (!this.#hasRoom(call)) return this.#parts.lost('traces')
    this.#traced.push(call)
    this.#collected(call)
  }

  #hasRoom(text: string): boolean {
    return Atomics.load(this.#parts.queued, 0) + this.#chars + text.length <= MAX_QUEUED_CHARS
  }

  #collected(text: string): void {
    this.#chars += text.length
    this.#cancel ??= this.#parts.clock.after(BATCH_MS, () => {
      this.#cancel = undefined
      this.#shown = 0
      this.#send()
    })
    if (this.#chars >= BATCH_CHARS) this.#send()
  }

  /** Hands on what was collected. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#shown = 0
    this.#send()
  }

  #send(): void {
    if (this.#chars === 0) return
    const batch = { lines: this.#lines, notable: this.#notable, traced: this.#traced }
    Atomics.add(this.#parts.queued, 0, this.#chars)
    this.#lines = []
    this.#notable = []
    this.#traced = []
    this.#chars = 0
    this.#parts.send(batch)
  }
}

/** To be called by whoever has taken a batch and written it, or given it up. */
export function settleBatch(queued: Int32Array, { lines, traced }: CallBatch): void {
  let chars = 0
  for (const line of lines) chars += line.length
  for (const call of traced) chars += call.length
  Atomics.sub(queued, 0, chars)
}
