/**
 * Flights across the workers of one process: of several that miss the same row at the same time one loads it, the
 * others sleep until it has, and find the answer in the memory they share.
 *
 *   1. claim all rows of the load
 *   2. ours → fetched, unless it has come into memory meanwhile; held → slept on, then looked for in memory
 *   3. a claim given up without an answer is anybody's; who has waited for two holders in vain waits for no third one
 *
 * A claim is advice, never a lock: one that cannot be had, or is too old, is done without. Nobody waits beyond his own
 * deadline, and a row that is fetched is never waited with, so that two workers cannot wait for each other.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ClaimTable, Held } from './claim-table.ts'

/** What one flight's owner asks for. */
export interface ClaimedLoad {
  readonly digests: readonly Digest[]
  /** Aborted when nobody waits any more. */
  readonly signal: Signal
  /** Monotonic milliseconds after which nobody waits; it may grow meanwhile. */
  readonly deadline: number
  /** Looks into memory; true where what it has is of use, and has been. */
  readonly found: (digest: Digest) => boolean
  /** Loads rows; calls `landed` for each as soon as whoever waits for it may look. Called once or more. */
  readonly fetch: (digests: readonly Digest[], landed: (digest: Digest) => void) => Promise<void>
}

/** Holders of one claim, one after the other, that are waited for. */
const MAX_HOLDERS = 2
/** A worker that hangs is looked after so often. */
const LOOK_MS = 1_000

export class Claims {
  readonly #table: ClaimTable
  readonly #clock: Pick<Clock, 'now'>

  constructor(table: ClaimTable, clock: Pick<Clock, 'now'>) {
    this.#table = table
    this.#clock = clock
  }

  /** Runs `work` for a row that nobody waits for; not at all where another worker is loading it. */
  async alone(digest: Digest, work: () => Promise<void>): Promise<void> {
    const [claim] = this.#table.claim([digest])
    if (typeof claim === 'object') return
    try {
      await work()
    } finally {
      if (claim === 'ours') this.#table.release(digest)
    }
  }

  /**
   * Resolves when every row has been found or fetched. Rejects with the first error of `fetch`, with the
   * signal's reason, or with `deadline`; what was already under way has ended by then.
   */
  async load(load: ClaimedLoad): Promise<void> {
    /** Of each row that is neither found nor being fetched, the holders waited for in vain. */
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

  /** Claims what is still wanted; `fetch`: what is to be loaded now, and whether under a claim. */
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
      // Between the look-up that missed it and the claim another worker may have had it and stored it.
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
    const { signal, found } = load
    const left = load.deadline - this.#clock.now()
    if (left <= 0) throw new GatewayError('deadline', 'another worker was asking the backend for too long')
    await until(signal, this.#table.gone(claim, Math.min(left, LOOK_MS)))
    if (found(digest)) wanted.delete(digest)
    else if (this.#table.isGone(claim)) wanted.set(digest, (wanted.get(digest) ?? 0) + 1)
  }
}

/** Rejects with the signal's reason when that comes first. */
function until(signal: Signal, done: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason)
    if (signal.aborted) return leave()
    signal.addEventListener('abort', leave, { once: true })
    void done.then(() => {
      signal.removeEventListener('abort', leave)
      resolve()
    })
  })
}

async function settled(work: Promise<void>): Promise<PromiseSettledResult<void>> {
  const [result] = await Promise.allSettled([work])
  return result
}
