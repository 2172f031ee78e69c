/**
 * A walk over the records of an arena, for a copy of them in a file, while calls go on. It follows the index, a few records at
 * a time, in several rounds: a record that moves meanwhile may be met twice, or not at all. It is a view of the arena's bytes, as an `Arena` is.
 */
import { Lock } from '../../../lib/lock.ts'
import { type ArenaBytes, LOCK_WORD, layoutOf, NUMBERS } from './arena-bytes.ts'
import { LIVE } from './record-meta.ts'
import { HEADER_CELLS } from './ring.ts'
import { WORTH_NUMBERS, Worth, worthOf } from './worth.ts'

/** A record that was met: valid until the visitor returns. */
export interface WalkedRecord {
  /** Monotonic milliseconds. */
  readonly expiresAt: number
  /** As in `record-meta.ts`, as if its turn ended now. */
  readonly meta: number
  /** In octaves. */
  readonly worth: number
  /** Bytes in the arena, header included. */
  readonly size: number
  /** 32 bytes, then the value: a view of the arena. */
  readonly bytes: Uint8Array
}

/**
 * `taken`: not to be met again in later rounds. `left`: to be met in the next round. `full`: to be met again in the next step, since
 * there was no room for it.
 */
export type Visitor = (record: WalkedRecord) => 'taken' | 'left' | 'full'

const WAIT_MS = 250

export class ArenaWalk {
  readonly #pairs: Uint32Array
  readonly #words: Uint32Array
  readonly #doubles: Float64Array
  readonly #data: Buffer
  readonly #worth: Worth
  readonly #lock: Lock | undefined
  /** A bit for each slot: its record was taken. */
  readonly #taken: Uint8Array
  #slot = 0

  /** `worker`: the number of this thread where the arena is shared. */
  constructor({ buffer, maxBytes }: ArenaBytes, worker: number | undefined) {
    const { slots, index, first, cells } = layoutOf(maxBytes)
    const numbers = new Float64Array(buffer, 0, index / 8)
    this.#worth = new Worth(numbers.subarray(NUMBERS.worth, NUMBERS.worth + WORTH_NUMBERS))
    this.#pairs = new Uint32Array(buffer, index, slots * 2)
    this.#taken = new Uint8Array(Math.ceil(slots / 8))
    this.#words = new Uint32Array(buffer, first, cells * 2)
    this.#doubles = new Float64Array(buffer, first, cells)
    this.#data = Buffer.from(buffer, first, cells * 8)
    this.#lock =
      worker === undefined
        ? undefined
        : new Lock(new Int32Array(buffer, 0, LOCK_WORD + 1), LOCK_WORD, worker + 1)
  }

  /** Visits the live records of the next `slots` slots; true: the round has come to its end, and the next begins. */
  step(slots: number, now: number, visit: Visitor): boolean {
    // A thread that died inside leaves the lock to the control thread, which is this one: it goes on in the next step.
    if (this.#lock && !this.#lock.acquire(WAIT_MS)) return false
    try {
      const end = Math.min(this.#slot + slots, this.#pairs.length / 2)
      for (; this.#slot < end; this.#slot++) {
        const cell = (this.#pairs[this.#slot * 2] as number) - 1
        if (cell < 0 || this.#isTaken(this.#slot)) continue
        const outcome = this.#visit(cell, now, visit)
        if (outcome === 'full') return false
        if (outcome === 'taken') this.#take(this.#slot)
      }
    } finally {
      this.#lock?.release()
    }
    if (this.#slot * 2 < this.#pairs.length) return false
    this.#slot = 0
    return true
  }

  #isTaken(slot: number): boolean {
    return ((this.#taken[slot >> 3] as number) & (1 << (slot & 7))) !== 0
  }

  #take(slot: number): void {
    this.#taken[slot >> 3] = (this.#taken[slot >> 3] as number) | (1 << (slot & 7))
  }

  #visit(cell: number, now: number, visit: Visitor): ReturnType<Visitor> {
    const expiresAt = this.#doubles[cell] as number
    const meta = this.#words[cell * 2 + 3] as number
    if ((meta & LIVE) === 0 || expiresAt <= now) return 'left'
    const length = this.#words[cell * 2 + 2] as number
    const cells = HEADER_CELLS + Math.ceil(length / 8)
    const turned = this.#worth.turnedNow(meta)
    return visit({
      expiresAt,
      meta: turned,
      worth: worthOf(turned, cells),
      size: cells * 8,
      bytes: this.#data.subarray(cell * 8 + 16, (cell + HEADER_CELLS) * 8 + length),
    })
  }
}
