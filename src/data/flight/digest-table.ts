/**
 * A hash table by digest whose values are chained through themselves. It replaces a Map where a value comes and goes with
 * every call. V8 keeps the tables that a Map has outgrown, each linked to the next, so one that has reached the old
 * generation keeps all later ones alive until a full mark of the heap.
 */
import { type Digest, wordOf } from '../../core/key.ts'

/** A value of one table. */
export interface Chained<V> {
  readonly digest: Digest
  /** The next in its bucket. Written by the table only. */
  next: V | undefined
}

const MIN_BUCKETS = 64

export class DigestTable<V extends Chained<V>> {
  #buckets = new Array<V | undefined>(MIN_BUCKETS).fill(undefined)
  #size = 0

  get size(): number {
    return this.#size
  }

  get(digest: Digest): V | undefined {
    for (let at = this.#buckets[this.#bucketOf(digest)]; at; at = at.next) if (at.digest === digest) return at
    return undefined
  }

  /** Replaces the value with the same digest, where there is one. */
  set(value: V): void {
    this.delete(value.digest)
    if (this.#size >= this.#buckets.length) this.#grow()
    this.#put(value)
    this.#size++
  }

  delete(digest: Digest): void {
    const bucket = this.#bucketOf(digest)
    let before: V | undefined
    for (let at = this.#buckets[bucket]; at; before = at, at = at.next) {
      if (at.digest !== digest) continue
      if (before) before.next = at.next
      else this.#buckets[bucket] = at.next
      at.next = undefined
      this.#size--
      return
    }
  }

  /** Digests are evenly distributed, so some of their bits serve as the hash. */
  #bucketOf(digest: Digest): number {
    return wordOf(digest, 0) & (this.#buckets.length - 1)
  }

  #put(value: V): void {
    const bucket = this.#bucketOf(value.digest)
    value.next = this.#buckets[bucket]
    this.#buckets[bucket] = value
  }

  #grow(): void {
    const old = this.#buckets
    this.#buckets = new Array<V | undefined>(2 * old.length).fill(undefined)
    for (const first of old)
      for (let at = first; at; ) {
        const next: V | undefined = at.next
        this.#put(at)
        at = next
      }
  }
}
