/**
 * Coalesces loads across the workers of one process: of several workers that miss the same row at the same time one loads
 * it; the others sleep until it has, and find the answer in the memory they share.
 *
 *   1. claim all rows of the load
 *   2. ours → fetch, unless memory has the row meanwhile; held → follow the holder if the load can, or sleep, then look in memory
 *   3. a claim released without an answer may be claimed by anybody; who has waited for two holders in vain waits for no
 *      third one
 *
 * A claim is advice, never a lock: where it cannot be had, or is too old, the load goes on without it. Nobody waits beyond
 * his own deadline, and a row that is being fetched waits for no other, so two workers cannot deadlock.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ClaimTable, Held } from './claim-table.ts'

/** A load that the opener of flights runs. */
export interface ClaimedLoad {
  readonly digests: readonly Digest[]
  /** Aborted when nobody waits any more. */
  readonly signal: Signal
  /** Monotonic milliseconds after which nobody waits; may grow meanwhile. */
  readonly deadline: number
  /** Looks into memory, and uses what it finds there; true where that answers the row. */
  readonly found: (digest: Digest) => boolean
  /** Loads rows; calls `landed` for each as soon as waiting workers may look. Called once or more. */
  readonly fetch: (digests: readonly Digest[], landed: (digest: Digest) => void) => Promise<void>
  /**
   * Joins the load of the worker with this number, in place of sleeping until it is over; true where that answers the row.
   * Rejects with the signal's reason.
   */
  readonly follow?: ((digest: Digest, worker: number) => Promise<boolean>) | undefined
}

/** How many holders of one claim, one after the other, are waited for. */
const MAX_HOLDERS = 2
/** While a claim is held, memory is looked into this often, in case the holder hangs. */
const LOOK_MS = 1_000

export class Claims {
  readonly #table: ClaimTable
  readonly #clock: Pick<Clock, 'now'>

  constructor(table: ClaimTable, clock: Pick<Clock, 'now'>) {
    this.#table = table
    this.#clock = clock
  }

  /** Runs `work` for a row that nobody waits for; skips it where another worker is loading the row. */
  async alone(digest: Digest, work: () => Promise<void>): Promise<void> {
    const [claim] = this.#table.claim([digest])
    if (typeof claim === 'object') return
    try {
      await work()
    } finally {
      if (claim === 'ours') this.#table.release(digest)
    }
  }

  /** Makes a claim of this worker, where it has one, outlast its load: until `end`. */
  extend(digest: Digest): void {
    this.#table.extend(digest)
  }

  end(digest: Digest): void {
    this.#table.end(digest)
  }

  /**
   * Resolves when every row has been found or fetched. Rejects with the first error of `fetch`, with the
   * signal's reason, or with `deadline`; what was already under way has ended by then.
   */
  async load(load: ClaimedLoad): Promise<void> {
    /** For each row that is neither found nor being fetched: how many holders were waited for in vain. */
    const wanted = new Map(load.digests.map((digest) => [digest, 0]))
    const fetches: Promise<PromiseSettledResult<void>>[] = []
    let failure: unknown
    try {
      while (wanted.size > 0) {
        const { fetch, held } = this.#claim(load, wanted)
        if (fetch.size > 0) fetches.push(settled(this.#fetch(load, fetch)))
        await Promise.all([...held].map(([digest, claim]) => this.#wait(load, wanted, { digest, claim })))
      }
    } catch (error) {
      failure = error
    }
    for (const fetch of await Promise.all(fetches)) if (fetch.status === 'rejected') failure = fetch.reason
    if (failure !== undefined) throw failure as Error
  }

  /** Claims the rows still wanted. `fetch`: the rows to load now, and whether under a claim. */
  #claim(
    load: ClaimedLoad,
    wanted: Map<Digest, number>,
  ): { readonly fetch: Map<Digest, boolean>; readonly held: Map<Digest, Held> } {
    const digests = [...wanted.keys()]
    const claims = this.#table.claim(digests)
    const fetch = new Map<Digest, boolean>()
    const held = new Map<Digest, Held>()
    for (const [i, digest] of digests.entries()) {
      const claim = claims[i] ?? 'none'
      if (typeof claim === 'object' && (wanted.get(digest) ?? 0) < MAX_HOLDERS) {
        held.set(digest, claim)
        continue
      }
      wanted.delete(digest)
      // Another worker may have loaded and stored it between the lookup that missed and this claim.
      if (claim !== 'ours' || !load.found(digest)) fetch.set(digest, claim === 'ours')
      else this.#table.release(digest)
    }
    return { fetch, held }
  }

  async #fetch(load: ClaimedLoad, rows: ReadonlyMap<Digest, boolean>): Promise<void> {
    const landed = (digest: Digest) => {
      if (rows.get(digest)) this.#table.release(digest)
    }
    try {
      await load.fetch([...rows.keys()], landed)
    } finally {
      for (const digest of rows.keys()) landed(digest)
    }
  }

  async #wait(
    load: ClaimedLoad,
    wanted: Map<Digest, number>,
    { digest, claim }: { readonly digest: Digest; readonly claim: Held },
  ): Promise<void> {
    const { signal, found, follow } = load
    const left = load.deadline - this.#clock.now()
    if (left <= 0) throw new GatewayError('deadline', 'another worker was asking the backend for too long')
    const isAnswered = follow
      ? await follow(digest, claim.by)
      : await until(signal, this.#table.gone(claim, Math.min(left, LOOK_MS)))
    if (isAnswered || found(digest)) wanted.delete(digest)
    // Whoever cannot be followed, or not any more, is not asked for ever.
    else if (follow || this.#table.isGone(claim)) wanted.set(digest, (wanted.get(digest) ?? 0) + 1)
  }
}

/** Resolves, with nothing that answers a row, as `done` does; rejects with the signal's reason when that comes first. */
function until(signal: Signal, done: Promise<void>): Promise<false> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) return leave()
    signal.addEventListener('abort', leave, { once: true })
    void done.then(() => {
      signal.removeEventListener('abort', leave)
      resolve(false)
    })
  })
}

async function settled(work: Promise<void>): Promise<PromiseSettledResult<void>> {
  const [result] = await Promise.allSettled([work])
  return result
}
