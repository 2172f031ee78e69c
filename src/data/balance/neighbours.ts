/**
 * Room for each other's calls: what waits in one worker gets the place that comes free in another. Each worker tells in
 * the load table since when its first call waits for a pool; whoever has room to give rings the bell of the one that
 * has waited longest. A bell that is not heard costs time only: every worker looks for itself ten times a second.
 */
import type { Backend } from '../../core/backend.ts'
import type { LoadTable } from './table.ts'

/** The other workers, as one pool of this worker sees them. */
export class Neighbours {
  readonly #table: LoadTable
  /** The pool's first slot, by which the others know it; -1: it has no backend. */
  #first = -1
  /** The wait that a place was left for. */
  #left = 0

  constructor(table: LoadTable) {
    this.#table = table
  }

  /** The pool has these backends now. */
  follow(backends: readonly Backend[]): void {
    this.tell(undefined)
    this.#first = backends.reduce((least, { slot }) => (least < 0 ? slot : Math.min(least, slot)), -1)
  }

  /** Since when a call waits here; undefined: none does. */
  tell(since: number | undefined): void {
    const { workers, worker, slots, waiting } = this.#table
    if (workers > 1 && this.#first >= 0) waiting[worker * slots + this.#first] = since ?? 0
  }

  /**
   * A place has come free: true where a call in another worker has waited longer than any here, and that worker has been
   * told. Once for each such call: what it waits for may be something else.
   */
  leavesPlace(since: number | undefined, hasRoom: () => boolean): boolean {
    if (this.#table.workers === 1 || this.#first < 0) return false
    const worker = this.#longestWaiting(since)
    if (worker < 0 || !hasRoom()) return false
    Atomics.add(this.#table.bell, worker, 1)
    Atomics.notify(this.#table.bell, worker)
    const from = this.#from(worker)
    const isNews = this.#left !== from
    this.#left = from
    return isNews
  }

  #longestWaiting(since = Infinity): number {
    let longest = since
    let found = -1
    for (let worker = 0; worker < this.#table.workers; worker++) {
      const from = worker === this.#table.worker ? 0 : this.#from(worker)
      if (from <= 0 || from >= longest) continue
      longest = from
      found = worker
    }
    return found
  }

  #from(worker: number): number {
    return this.#table.waiting[worker * this.#table.slots + this.#first] ?? 0
  }
}

/** Whoever has ended may be listening for so long. */
const LISTEN_MS = 1_000

/** Runs `heard` whenever this worker's bell rings, until `signal` is aborted. */
export async function hearBell(
  { bell, worker }: LoadTable,
  heard: () => void,
  signal: AbortSignal,
): Promise<void> {
  let seen = Atomics.load(bell, worker)
  while (!signal.aborted) {
    const wait = Atomics.waitAsync(bell, worker, seen, LISTEN_MS)
    if (wait.async) await wait.value
    const now = Atomics.load(bell, worker)
    if (now !== seen && !signal.aborted) heard()
    seen = now
  }
}
