/**
 * The claims of this process's workers: which worker is loading which row. Claims are to workers what leases are to
 * gateways. They lie in shared memory, so that a claim is a few writes and no message; a worker that waits for a claim
 * sleeps until it is released.
 *
 * Digests with the same hash share eight slots; where all eight are taken there is no claim, and the worker loads without
 * one. A slot never moves, so a worker can sleep on its `turn`.
 */
import { type Digest, wordOf } from '../../core/key.ts'
import { freeLock, isHeldBy, Lock } from '../../lib/lock.ts'

/** As plain data for `postMessage`. */
export interface ClaimBytes {
  /** The lock, in one word. */
  readonly lock: Int32Array
  /** Worker number + 1; 0: the slot is free. */
  readonly owner: Int32Array
  /** Grows with each claim that is released. */
  readonly turn: Int32Array
  /** When the claim was made, in monotonic milliseconds; infinite: it does not age. */
  readonly since: Float64Array
  /** Eight words a slot. */
  readonly digest: Uint32Array
}

/** `ours`: load it, then call `release`. `none`: load it without a claim. Held: another worker loads it; wait with `gone`. */
export type Claim = 'ours' | 'none' | Held

export interface Held {
  /** The number of the worker that has the claim. */
  readonly by: number
  readonly slot: number
  readonly turn: number
}

const WAYS = 8
const SLOTS = 8192
const WORDS = 8
/** A claim this old is that of a load that hangs: nobody waits for it. */
const STALE_MS = 5_000
const LOCK_MS = 250

export function allocateClaims(slots: number = SLOTS): ClaimBytes {
  const words = (length: number) => new SharedArrayBuffer(length * 4)
  return {
    lock: new Int32Array(words(1)),
    owner: new Int32Array(words(slots)),
    turn: new Int32Array(words(slots)),
    since: new Float64Array(new SharedArrayBuffer(slots * 8)),
    digest: new Uint32Array(words(slots * WORDS)),
  }
}

/** The control thread calls this after a worker has died: releases all claims of that worker. */
export function forgetClaims(bytes: ClaimBytes, worker: number): void {
  const { lock, owner, turn } = bytes
  // The table needs no repair if the worker died inside: one write makes a claim, and one releases it.
  if (isHeldBy(lock, 0, worker + 1)) freeLock(lock, 0)
  for (let slot = 0; slot < owner.length; slot++) {
    if (Atomics.compareExchange(owner, slot, worker + 1, 0) === worker + 1) wake(turn, slot)
  }
}

export class ClaimTable {
  readonly #bytes: ClaimBytes
  readonly #self: number
  readonly #lock: Lock
  readonly #now: () => number

  constructor(bytes: ClaimBytes, { worker, now }: { readonly worker: number; readonly now: () => number }) {
    this.#bytes = bytes
    this.#self = worker + 1
    this.#lock = new Lock(bytes.lock, 0, this.#self)
    this.#now = now
  }

  /** For each digest a claim, in their order. */
  claim(digests: readonly Digest[]): Claim[] {
    if (!this.#lock.acquire(LOCK_MS)) return digests.map(() => 'none')
    try {
      return digests.map((digest) => this.#claim(digest))
    } finally {
      this.#lock.release()
    }
  }

  /** Releases a claim of this worker that was not extended, and wakes the workers that wait for it. */
  release(digest: Digest): void {
    const slot = this.#find(digest)
    if (slot >= 0 && this.#bytes.since[slot] !== Number.POSITIVE_INFINITY) this.#free(slot)
  }

  /** Makes a claim of this worker, where it has one, last until `end`. */
  extend(digest: Digest): void {
    const { owner, since } = this.#bytes
    const slot = this.#find(digest)
    if (slot >= 0 && Atomics.load(owner, slot) === this.#self) since[slot] = Number.POSITIVE_INFINITY
  }

  /** Releases a claim of this worker, be it extended or not. */
  end(digest: Digest): void {
    const slot = this.#find(digest)
    if (slot >= 0) this.#free(slot)
  }

  /** Resolves when the claim has been released, or after `ms`. */
  async gone({ slot, turn }: Held, ms: number): Promise<void> {
    const wait = Atomics.waitAsync(this.#bytes.turn, slot, turn, ms)
    if (wait.async) await wait.value
  }

  isGone({ slot, turn }: Held): boolean {
    return Atomics.load(this.#bytes.turn, slot) !== turn
  }

  #claim(digest: Digest): Claim {
    const { owner, turn, since } = this.#bytes
    const known = this.#find(digest)
    if (known >= 0) {
      // The turn is read before the owner: a release after that changes the turn, so a sleeper on the old one wakes at once.
      const heldTurn = Atomics.load(turn, known)
      const holder = Atomics.load(owner, known)
      const isStale = this.#now() - (since[known] ?? 0) > STALE_MS
      if (holder === this.#self || (holder !== 0 && isStale)) return 'none'
      if (holder !== 0) return { by: holder - 1, slot: known, turn: heldTurn }
    }
    const first = this.#home(digest)
    for (let slot = first; slot < first + WAYS; slot++) {
      if (Atomics.load(owner, slot) !== 0) continue
      for (let word = 0; word < WORDS; word++)
        this.#bytes.digest[slot * WORDS + word] = wordOf(digest, word * 4)
      since[slot] = this.#now()
      Atomics.store(owner, slot, this.#self)
      return 'ours'
    }
    return 'none'
  }

  #free(slot: number): void {
    const { owner, turn } = this.#bytes
    // Without the lock: nobody else writes to a slot that is ours.
    if (Atomics.compareExchange(owner, slot, this.#self, 0) === this.#self) wake(turn, slot)
  }

  /** The slot in which the digest is claimed, or -1. */
  #find(digest: Digest): number {
    const { owner } = this.#bytes
    const first = this.#home(digest)
    for (let slot = first; slot < first + WAYS; slot++)
      if (Atomics.load(owner, slot) !== 0 && this.#isAt(slot, digest)) return slot
    return -1
  }

  #isAt(slot: number, digest: Digest): boolean {
    const words = this.#bytes.digest
    for (let word = 0; word < WORDS; word++)
      if (words[slot * WORDS + word] !== wordOf(digest, word * 4)) return false
    return true
  }

  #home(digest: Digest): number {
    return (wordOf(digest, 0) % (this.#bytes.owner.length / WAYS)) * WAYS
  }
}

function wake(turn: Int32Array, slot: number): void {
  Atomics.add(turn, slot, 1)
  Atomics.notify(turn, slot)
}
