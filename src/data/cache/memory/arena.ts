/**
 * The store of the process memory: all entries as bytes in one buffer, without an object for each, so that a million of
 * them cost the garbage collector nothing and workers can share the buffer. All state lies in the buffer: an Arena is a
 * view of it, and has no state of its own. It takes no lock; see `shared-arena.ts`.
 *
 * The buffer holds two logs, as in S3-FIFO (Yang et al., SOSP 2023). A new entry goes to the small log, a tenth of the
 * bytes. When it reaches the tail, it moves to the main log if it was read at least once, or if entries that cost as much are
 * often read later; otherwise it is evicted, and a fingerprint stays behind, so that it goes to the main log at once if it
 * comes back. So one pass over keys that are used once flows through the small log and leaves the main log alone. While the
 * main log has free space every entry may move there: nothing is evicted before the arena is full. At the tail of the main log
 * an entry gets another turn if it saves enough backend time for its size (`worth.ts`).
 *
 * A record is a header and the bytes, in cells of eight bytes:
 *
 *   expiry f64 · length u32 · meta u32 (`record-meta.ts`) · digest[32] · bytes
 *
 * An overwritten or deleted record stays in place, marked dead, until the tail reaches it.
 */
import { type Digest, wordOf } from '../../../core/key.ts'
import { type ArenaBytes, layoutOf, NUMBERS, SLOT_BYTES, WORDS } from './arena-bytes.ts'
import { DigestIndex } from './digest-index.ts'
import {
  IN_MAIN,
  isRead,
  LIVE,
  metaNew,
  metaPromoted,
  metaRead,
  metaRestored,
  metaReturned,
  metaTurned,
} from './record-meta.ts'
import type { KeptRecord, NewRecord, Terms } from './record-terms.ts'
import { HEADER_CELLS, RING_STATE, Ring } from './ring.ts'
import { WORTH_NUMBERS, Worth } from './worth.ts'

/** Bounds on the second turns that one insertion may give, so that no `set` takes long. */
const MAX_TURNS = 128
const MAX_TURN_CELLS = 32 * 1024

/** Allocates an empty arena. The system commits pages as they are first used. */
export function allocateArena(maxBytes: number, isShared = false): ArenaBytes {
  const { end } = layoutOf(maxBytes)
  const bytes = { buffer: isShared ? new SharedArrayBuffer(end) : new ArrayBuffer(end), maxBytes }
  new Arena(bytes).found()
  return bytes
}

export class Arena {
  /** The largest value that can be held. */
  readonly maxValueBytes: number
  readonly #numbers: Float64Array
  readonly #header: Uint32Array
  readonly #index: DigestIndex
  readonly #ghosts: Uint32Array
  readonly #small: Ring
  readonly #main: Ring
  readonly #worth: Worth
  readonly #data: Buffer
  readonly #words: Uint32Array
  readonly #doubles: Float64Array
  // Odd random factors: nobody can choose digests that collide in one chain of the index.
  #mixA: number
  #mixB: number

  constructor({ buffer, maxBytes }: ArenaBytes) {
    const { slots, ghosts, index, prints, first, cells } = layoutOf(maxBytes)
    this.#numbers = new Float64Array(buffer, 0, index / 8)
    this.#header = new Uint32Array(buffer, 0, index / 4)
    this.#worth = new Worth(this.#numbers.subarray(NUMBERS.worth, NUMBERS.worth + WORTH_NUMBERS))
    const count = this.#header.subarray(WORDS.count, WORDS.count + 1)
    this.#index = new DigestIndex(new Uint32Array(buffer, index, slots * 2), count)
    this.#ghosts = new Uint32Array(buffer, prints, ghosts)
    this.#data = Buffer.from(buffer, first, cells * 8)
    this.#words = new Uint32Array(buffer, first, cells * 2)
    this.#doubles = new Float64Array(buffer, first, cells)
    const border = Math.floor(cells / 10)
    const ring = (at: number) => ({ words: this.#words, state: this.#header.subarray(at, at + RING_STATE) })
    this.#small = new Ring(ring(WORDS.small), 0, border)
    this.#main = new Ring(ring(WORDS.main), border, cells)
    // The longest value is meant to be the exception: the log holds only two of that length.
    this.maxValueBytes = (Math.floor(this.#main.cells / 2) - HEADER_CELLS) * 8
    this.#mixA = this.#header[WORDS.mixes] as number
    this.#mixB = this.#header[WORDS.mixes + 1] as number
  }

  /** Live records with their headers and index slots; at most `maxBytes`. */
  get bytes(): number {
    return this.#numbers[NUMBERS.bytes] as number
  }

  get evictions(): number {
    return this.#numbers[NUMBERS.evictions] as number
  }

  /** Initialises memory that was just allocated, which is all zero. */
  found(): void {
    this.#worth.clear()
    this.#small.clear()
    this.#main.clear()
    this.#mixA = this.#header[WORDS.mixes] = randomOdd()
    this.#mixB = this.#header[WORDS.mixes + 1] = randomOdd()
  }

  /** Removes everything, whatever state the arena is in. */
  clear(): void {
    this.#numbers[NUMBERS.bytes] = 0
    this.#worth.clear()
    this.#index.clear()
    this.#ghosts.fill(0)
    this.#small.clear()
    this.#main.clear()
  }

  get entries(): number {
    return this.#index.count
  }

  /** A copy of the value, counted as a read where it is one; undefined where it is absent or has expired. */
  get(digest: Digest, now: number, isRead = true): Buffer | undefined {
    const slot = this.#find(digest)
    if (slot < 0) return undefined
    const cell = this.#index.cellAt(slot)
    if ((this.#doubles[cell] as number) <= now) {
      this.#forget(slot, cell)
      return undefined
    }
    const meta = this.#words[cell * 2 + 3] as number
    const read = metaRead(meta)
    if (isRead && read !== meta) this.#words[cell * 2 + 3] = read
    const length = this.#words[cell * 2 + 2] as number
    const from = (cell + HEADER_CELLS) * 8
    const copy = Buffer.allocUnsafe(length)
    this.#data.copy(copy, 0, from, from + length)
    return copy
  }

  has(digest: Digest, now: number): boolean {
    const slot = this.#find(digest)
    return slot >= 0 && (this.#doubles[this.#index.cellAt(slot)] as number) > now
  }

  /** Stores the value, evicting others as needed. `value.length` is at most `maxValueBytes`. */
  set(digest: Digest, value: Uint8Array, { expiresAt, cost, now }: Terms): boolean {
    const size = HEADER_CELLS + Math.ceil(value.length / 8)
    const replaced = this.#drop(digest)
    this.#clearSlot(now)

    const tag = this.#tagOf(digest)
    const isKnown = (replaced & IN_MAIN) !== 0 || this.#wasSeen(digest, tag)
    const inMain = isKnown || size * 2 > this.#small.cells
    const ring = inMain ? this.#main : this.#small
    if (inMain) this.#clearMain(size, now)
    else while (ring.room(size) < 0) this.#evictSmall(now)
    const fresh = metaNew(cost)
    const unread = inMain ? this.#worth.unread(fresh) : fresh
    this.#put(ring, { digest, value, tag, expiresAt, meta: isKnown ? metaReturned(cost, replaced) : unread })
    return true
  }

  /** Takes back a record of before with its meta, where there is free space and no newer one; false: not taken. */
  restore(digest: Digest, value: Uint8Array, { expiresAt, meta }: KeptRecord): boolean {
    if (this.#find(digest) >= 0 || !this.#hasSpare(HEADER_CELLS + Math.ceil(value.length / 8))) return false
    const kept = metaRestored(meta)
    this.#put(this.#main, { digest, value, tag: this.#tagOf(digest), expiresAt, meta: kept })
    return true
  }

  /** Appends a record to a log that has room for it. */
  #put(ring: Ring, { digest, value, tag, expiresAt, meta }: NewRecord): void {
    const size = HEADER_CELLS + Math.ceil(value.length / 8)
    const cell = ring.room(size)
    ring.take(cell, size)
    this.#doubles[cell] = expiresAt
    this.#words[cell * 2 + 2] = value.length
    this.#words[cell * 2 + 3] = meta
    this.#data.write(digest, cell * 8 + 16, 32, 'latin1')
    this.#data.set(value, (cell + HEADER_CELLS) * 8)
    this.#index.add(tag, cell)
    this.#grow(size * 8 + SLOT_BYTES)
  }

  delete(digest: Digest): boolean {
    this.#drop(digest)
    return true
  }

  /** Removes the entry, if there is one, and returns its meta; 0: there was none. */
  #drop(digest: Digest): number {
    const slot = this.#find(digest)
    if (slot < 0) return 0
    const cell = this.#index.cellAt(slot)
    const meta = this.#words[cell * 2 + 3] as number
    this.#forget(slot, cell)
    return meta
  }

  #forget(slot: number, cell: number): void {
    this.#index.removeAt(slot)
    this.#words[cell * 2 + 3] = 0
    this.#grow(-(this.#cellsAt(cell) * 8 + SLOT_BYTES))
  }

  #grow(by: number): void {
    this.#numbers[NUMBERS.bytes] = this.bytes + by
  }

  #cellsAt(cell: number): number {
    return HEADER_CELLS + Math.ceil((this.#words[cell * 2 + 2] as number) / 8)
  }

  /** Frees one slot of the index: values far below the mean size fill the index before the logs. */
  #clearSlot(now: number): void {
    for (let turns = MAX_TURNS; this.#index.count >= this.#index.limit; turns--) {
      if (this.#small.used > 0) this.#evictSmall(now, turns > 0)
      else this.#evictMain(now, turns > 0 ? MAX_TURN_CELLS : 0)
    }
  }

  /** Frees the record at the small log's tail: moves it to the main log if it was read and `mayStay`, else evicts it. */
  #evictSmall(now: number, mayStay = true): void {
    const cell = this.#small.tail
    const size = this.#cellsAt(cell)
    const meta = this.#words[cell * 2 + 3] as number
    if ((meta & LIVE) !== 0) {
      const expired = (this.#doubles[cell] as number) <= now
      const moved = !expired && mayStay ? this.#moved(cell, size, meta) : 0
      if (moved !== 0) {
        this.#clearMain(size, now)
        this.#carry(cell, size, moved)
      } else {
        if (!expired) this.#remember(cell)
        this.#discard(cell)
      }
    }
    this.#small.release(size)
  }

  /** The meta with which the record at the small log's tail moves to the main log; 0: it is to be evicted. */
  #moved(cell: number, size: number, meta: number): number {
    if (isRead(meta)) return metaPromoted(meta)
    if (this.#hasSpare(size)) return this.#worth.unread(meta)
    return this.#worth.tried(meta, size, this.#words[cell * 2 + 7] as number)
  }

  #hasSpare(size: number): boolean {
    return this.#index.count < this.#index.limit && this.#main.room(size) >= 0
  }

  /** Frees `size` cells in the main log. */
  #clearMain(size: number, now: number): void {
    let turns = MAX_TURNS
    let cells = MAX_TURN_CELLS
    while (this.#main.room(size) < 0) {
      const carried = this.#evictMain(now, turns > 0 ? cells : 0)
      if (carried > 0) turns--
      cells -= carried
    }
  }

  /** Frees the record at the main log's tail, or, up to `maxTurn` cells, gives it another turn; returns the cells moved. */
  #evictMain(now: number, maxTurn: number): number {
    const cell = this.#main.tail
    const size = this.#cellsAt(cell)
    const meta = this.#words[cell * 2 + 3] as number
    const isLive = (meta & LIVE) !== 0
    if (isLive) this.#worth.learn(meta)
    const turned = metaTurned(meta)
    const mayStay = isLive && size <= maxTurn && (this.#doubles[cell] as number) > now
    if (mayStay && this.#worth.stays(turned, size)) {
      // Released first: then it always fits at the head, even over its own old bytes.
      this.#main.release(size)
      this.#carry(cell, size, turned)
      return size
    }
    if (isLive) this.#discard(cell)
    this.#main.release(size)
    return 0
  }

  /** Moves a record to the main log's head. */
  #carry(cell: number, size: number, meta: number): void {
    const to = this.#main.room(size)
    this.#main.take(to, size)
    this.#data.copyWithin(to * 8, cell * 8, (cell + size) * 8)
    this.#words[to * 2 + 3] = meta
    this.#index.move(this.#tagAt(to), cell, to)
  }

  #discard(cell: number): void {
    this.#numbers[NUMBERS.evictions] = this.evictions + 1
    this.#forget(this.#index.slotOf(this.#tagAt(cell), cell), cell)
  }

  #remember(cell: number): void {
    const print = this.#words[cell * 2 + 6] as number
    this.#ghosts[this.#ghostSlot(this.#tagAt(cell))] = print | 1
  }

  #wasSeen(digest: Digest, tag: number): boolean {
    const slot = this.#ghostSlot(tag)
    if (this.#ghosts[slot] !== (wordOf(digest, 8) | 1) >>> 0) return false
    this.#ghosts[slot] = 0
    return true
  }

  #ghostSlot(tag: number): number {
    return Math.floor((tag / 4294967296) * this.#ghosts.length)
  }

  #find(digest: Digest): number {
    const tag = this.#tagOf(digest)
    let slot = this.#index.first(tag)
    while (slot >= 0 && !this.#isAt(this.#index.cellAt(slot), digest)) slot = this.#index.next(slot, tag)
    return slot
  }

  #isAt(cell: number, digest: Digest): boolean {
    const data = this.#data
    const from = cell * 8 + 16
    for (let i = 0; i < 32; i++) if (data[from + i] !== digest.charCodeAt(i)) return false
    return true
  }

  #tagOf(digest: Digest): number {
    return this.#mix(wordOf(digest, 0), wordOf(digest, 4))
  }

  #tagAt(cell: number): number {
    return this.#mix(this.#words[cell * 2 + 4] as number, this.#words[cell * 2 + 5] as number)
  }

  #mix(a: number, b: number): number {
    return (Math.imul(a, this.#mixA) + Math.imul(b, this.#mixB)) >>> 0
  }
}

function randomOdd(): number {
  return (Math.floor(Math.random() * 0x80000000) * 2 + 1) >>> 0
}
