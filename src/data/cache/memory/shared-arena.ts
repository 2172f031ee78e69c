/**
 * An arena that several threads use: the same operations, each under the arena's lock. A thread that does not get the lock
 * in time gets what an empty arena would return.
 */
import type { Digest } from '../../../core/key.ts'
import { freeLock, isHeldBy, Lock } from '../../../lib/lock.ts'
import { Arena } from './arena.ts'
import { type ArenaBytes, LOCK_WORD } from './arena-bytes.ts'
import type { KeptRecord, Terms } from './record-terms.ts'

/** Only a thread that died inside holds the lock for longer than its time slice; the control thread then frees the lock. */
const WAIT_MS = 250

export class SharedArena {
  readonly maxValueBytes: number
  readonly #arena: Arena
  readonly #lock: Lock

  /** `worker`: the number of this thread, from 0. */
  constructor(bytes: ArenaBytes, worker: number) {
    this.#arena = new Arena(bytes)
    this.#lock = new Lock(new Int32Array(bytes.buffer, 0, LOCK_WORD + 1), LOCK_WORD, worker + 1)
    this.maxValueBytes = this.#arena.maxValueBytes
  }

  get bytes(): number {
    return this.#arena.bytes
  }

  get evictions(): number {
    return this.#arena.evictions
  }

  get entries(): number {
    return this.#arena.entries
  }

  get(digest: Digest, now: number, isRead = true): Buffer | undefined {
    if (!this.#lock.acquire(WAIT_MS)) return undefined
    try {
      return this.#arena.get(digest, now, isRead)
    } finally {
      this.#lock.release()
    }
  }

  has(digest: Digest, now: number): boolean {
    if (!this.#lock.acquire(WAIT_MS)) return false
    try {
      return this.#arena.has(digest, now)
    } finally {
      this.#lock.release()
    }
  }

  /** False: not done. */
  set(digest: Digest, value: Uint8Array, terms: Terms): boolean {
    if (!this.#lock.acquire(WAIT_MS)) return false
    try {
      return this.#arena.set(digest, value, terms)
    } finally {
      this.#lock.release()
    }
  }

  /** False: not taken. */
  restore(digest: Digest, value: Uint8Array, kept: KeptRecord): boolean {
    if (!this.#lock.acquire(WAIT_MS)) return false
    try {
      return this.#arena.restore(digest, value, kept)
    } finally {
      this.#lock.release()
    }
  }

  /** False: not done. */
  delete(digest: Digest): boolean {
    if (!this.#lock.acquire(WAIT_MS)) return false
    try {
      return this.#arena.delete(digest)
    } finally {
      this.#lock.release()
    }
  }
}

/** The control thread calls this after a worker has died: empties an arena that it had locked, whose state is unknown. */
export function recoverArena(bytes: ArenaBytes, worker: number): boolean {
  const words = new Int32Array(bytes.buffer, 0, LOCK_WORD + 1)
  if (!isHeldBy(words, LOCK_WORD, worker + 1)) return false
  new Arena(bytes).clear()
  freeLock(words, LOCK_WORD)
  return true
}
