/**
 * A replica that is sent more calls than it has places, and says so to nobody: the others wait in it (`queueing`), or all are
 * worked on at once and each is slower (`sharing`, as a processor is shared; a batching server is much the same).
 */
import type { Engine } from '../engine.ts'

export type Crowding = 'queueing' | 'sharing'

export interface Crowd {
  /** `end(id)` is run when work that takes `ms` on an undisturbed place is done. */
  begin(ms: number, id: number): void
}

export function createCrowd(
  kind: Crowding,
  parts: { engine: Engine; places: number; end: (id: number) => void },
): Crowd {
  return kind === 'queueing' ? new Queueing(parts) : new Sharing(parts)
}

interface Parts {
  readonly engine: Engine
  readonly places: number
  readonly end: (id: number) => void
}

interface Work {
  readonly ms: number
  readonly id: number
}

class Queueing implements Crowd {
  readonly #parts: Parts
  readonly #line: Work[] = []
  #running = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  begin(ms: number, id: number): void {
    if (this.#running < this.#parts.places) this.#run({ ms, id })
    else this.#line.push({ ms, id })
  }

  #run({ ms, id }: Work): void {
    this.#running++
    this.#parts.engine.at(this.#parts.engine.now() + ms, this.#ended, id)
  }

  readonly #ended = (id: number) => {
    this.#running--
    const next = this.#line.shift()
    if (next) this.#run(next)
    this.#parts.end(id)
  }
}

/** Every call gets the same: what one has got since the start is a clock of its own, by which each call's end is known when it begins. */
class Sharing implements Crowd {
  readonly #parts: Parts
  /** In order of their ends, by that clock. */
  #running: Work[] = []
  #given = 0
  #at = 0
  #turn = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  begin(ms: number, id: number): void {
    this.#advance()
    const work = { ms: this.#given + ms, id }
    const place = this.#running.findIndex((other) => other.ms > work.ms)
    if (place < 0) this.#running.push(work)
    else this.#running.splice(place, 0, work)
    this.#plan()
  }

  get #rate(): number {
    return Math.min(1, this.#parts.places / Math.max(1, this.#running.length))
  }

  #advance(): void {
    const now = this.#parts.engine.now()
    this.#given += (now - this.#at) * this.#rate
    this.#at = now
  }

  #plan(): void {
    const turn = ++this.#turn
    const [first] = this.#running
    if (!first) return
    const due = this.#parts.engine.now() + Math.max(0, first.ms - this.#given) / this.#rate
    this.#parts.engine.at(due, () => {
      if (turn !== this.#turn) return
      this.#advance()
      this.#running.shift()
      this.#plan()
      this.#parts.end(first.id)
    })
  }
}
