/**
 * Room for each other's calls: what waits in one worker gets the place that comes free in another. Each worker tells in
 * the load table how many calls wait there for a pool, and since when; whoever has room to give rings the bell of the one that
 * has waited longest. A bell that is not heard costs time only: every worker looks for itself ten times a second.
 */
import { columnOf, type LoadTable } from '../table.ts'

/** The other workers, as one pool of this worker sees them. */
export class Neighbours {
  readonly #table: LoadTable
  /** Undefined: nobody knows of anybody. */
  readonly #column: number | undefined
  /** The wait that a place was left for. */
  #left = 0

  constructor(table: LoadTable, pool: string) {
    this.#table = table
    this.#column = table.workers === 1 ? undefined : columnOf(table, pool)
  }

  /** Since when a call waits here, undefined: none does; and how many do. */
  tell(since: number | undefined, depth: number): void {
    if (this.#column === undefined) return
    const { worker, slots, waiting, queued } = this.#table
    waiting[worker * slots + this.#column] = since ?? 0
    Atomics.store(queued, worker * slots + this.#column, depth)
  }

  /** Calls that wait for the pool in other workers. */
  get queued(): number {
    if (this.#column === undefined) return 0
    const { workers, worker, slots, queued } = this.#table
    let sum = 0
    for (let other = 0; other < workers; other++)
      if (other !== worker) sum += Atomics.load(queued, other * slots + this.#column)
    return sum
  }

  /**
   * A place has come free: true where a call in another worker has waited longer than any here, and that worker has been
   * told. Once for each such call: what it waits for may be something else.
   */
  leavesPlace(since: number | undefined, hasRoom: () => boolean): boolean {
    if (this.#column === undefined) return false
    const [worker, from] = this.#longestWaiting(this.#column, since)
    if (worker < 0 || !hasRoom()) return false
    Atomics.add(this.#table.bell, worker, 1)
    Atomics.notify(this.#table.bell, worker)
    const isNews = this.#left !== from
    this.#left = from
    return isNews
  }

  #longestWaiting(column: number, since = Infinity): readonly [worker: number, from: number] {
    const { workers, worker, slots, waiting } = this.#table
    let longest = since
    let found = -1
    for (let other = 0; other < workers; other++) {
      const from = other === worker ? 0 : (waiting[other * slots + column] ?? 0)
      if (from <= 0 || from >= longest) continue
      longest = from
      found = other
    }
    return [found, longest]
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
