/**
 * Lets workers serve each other's queues: a call that waits in one worker gets the place that becomes free in another. Each
 * worker writes to the load table how many calls wait there for a pool, and since when. A worker with a free place rings
 * the bell of the one whose call has waited longest. A bell that is missed costs only time: every worker checks its queue
 * ten times a second.
 */
import { columnOf, type LoadTable } from '../table.ts'

/** The other workers, as one pool of this worker sees them. */
export class Neighbours {
  readonly #table: LoadTable
  /** Undefined: there are no other workers, or no column is left. */
  readonly #column: number | undefined
  /** Since when the call has waited for which a place was left last. */
  #left = 0

  constructor(table: LoadTable, pool: string) {
    this.#table = table
    this.#column = table.workers === 1 ? undefined : columnOf(table, pool)
  }

  /** Publishes since when a call waits here (undefined: none does), and how many do. */
  publish(since: number | undefined, depth: number): void {
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
   * A place has become free. True where a call in another worker has waited longer than any here, and that worker has been
   * woken. Only once for each such call: the place may be of no use to it.
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

/** A worker that has been stopped may be listening for this long. */
const LISTEN_MS = 1_000

/** Runs `heard` whenever this worker's bell rings, until `signal` is aborted. */
export async function listenForBell(
  { bell, worker }: LoadTable,
  onBell: () => void,
  signal: AbortSignal,
): Promise<void> {
  let seen = Atomics.load(bell, worker)
  while (!signal.aborted) {
    const wait = Atomics.waitAsync(bell, worker, seen, LISTEN_MS)
    if (wait.async) await wait.value
    const now = Atomics.load(bell, worker)
    if (now !== seen && !signal.aborted) onBell()
    seen = now
  }
}
