/**
 * What decides what is kept, in simulation: the process memory as it is, and policies that it is compared with, which count the
 * bytes that a record of the process memory takes.
 */
import { type Digest, digestOf } from '../../../src/core/key.ts'
import { layoutOf, SLOT_BYTES } from '../../../src/data/cache/memory/arena-bytes.ts'
import { createMemory, type Memory } from '../../../src/data/cache/memory/memory.ts'
import { HEADER_CELLS } from '../../../src/data/cache/memory/ring.ts'
import type { Request } from './workloads.ts'

export interface Policy {
  /** Whether it was kept, counted as a read. */
  get(request: Request): boolean
  /** After a miss; `costMs`: what the miss was measured to take. */
  set(request: Request, costMs: number): void
}

export const recordBytes = (bytes: number) => (HEADER_CELLS + Math.ceil(bytes / 8)) * 8

/** The bytes for records in process memory of `maxBytes`. */
const room = (maxBytes: number) => layoutOf(maxBytes).cells * 8

interface ArenaOptions {
  /** Another checkout's memory. */
  readonly create?: (options: { maxBytes: number }) => Pick<Memory, 'get' | 'set'>
  /** It is not told what a miss costs. */
  readonly isBlind?: boolean
}

/** The process memory. */
export function arena(
  maxBytes: number,
  { create = createMemory, isBlind = false }: ArenaOptions = {},
): Policy {
  const memory = create({ maxBytes })
  const digests = new Map<number, Digest>()
  const digest = (key: number): Digest => {
    const known = digests.get(key) ?? digestOf(`${key}`)
    digests.set(key, known)
    return known
  }
  const value = Buffer.alloc(64 * 1024)
  return {
    get: ({ key }) => memory.get(digest(key)) !== undefined,
    set({ key, bytes }, costMs) {
      const terms = isBlind ? [] : [{ costMs }]
      memory.set(digest(key), value.subarray(0, bytes), Number.MAX_VALUE, ...terms)
    },
  }
}

export function lru(maxBytes: number): Policy {
  const kept = new Map<number, number>()
  let free = room(maxBytes)
  return {
    get({ key }) {
      const bytes = kept.get(key)
      if (bytes === undefined) return false
      kept.delete(key)
      kept.set(key, bytes)
      return true
    },
    set({ key, bytes }) {
      kept.set(key, recordBytes(bytes))
      free -= recordBytes(bytes)
      for (const [oldest, size] of kept) {
        if (free >= 0) break
        kept.delete(oldest)
        free += size
      }
    },
  }
}

interface Ranked {
  readonly key: number
  readonly worth: number
  readonly bytes: number
  reads: number
  /** Where it stands in the heap, and where it would by its reads. */
  at: number
  wanted: number
}

/** GreedyDual-Size-Frequency (Cherkasova, 1998), exact: the entry with the least of age + reads · cost / size leaves. */
export function greedyDual(maxBytes: number): Policy {
  const kept = new Map<number, Ranked>()
  const heap = new Heap()
  let free = room(maxBytes)
  let age = 0
  return {
    get({ key }) {
      const entry = kept.get(key)
      if (!entry) return false
      entry.reads++
      entry.wanted = age + entry.reads * entry.worth
      return true
    },
    set({ key, bytes }, costMs) {
      const size = recordBytes(bytes)
      const worth = costMs / size
      const at = age + worth
      const entry: Ranked = { key, worth, bytes: size, reads: 1, at, wanted: at }
      kept.set(key, entry)
      heap.push(entry)
      free -= size
      while (free < 0) {
        const least = heap.pop()
        if (least.wanted > least.at) {
          least.at = least.wanted
          heap.push(least)
          continue
        }
        age = least.at
        kept.delete(least.key)
        free += least.bytes
      }
    },
  }
}

/** The least first. */
class Heap {
  readonly #items: Ranked[] = []

  push(item: Ranked): void {
    const items = this.#items
    let i = items.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = items[parent] as Ranked
      if (above.at <= item.at) break
      items[i] = above
      i = parent
    }
    items[i] = item
  }

  pop(): Ranked {
    const items = this.#items
    const least = items[0] as Ranked
    const last = items.pop() as Ranked
    if (items.length === 0) return least
    let i = 0
    for (;;) {
      const left = 2 * i + 1
      if (left >= items.length) break
      const right = left + 1
      const isRight = right < items.length && (items[right] as Ranked).at < (items[left] as Ranked).at
      const below = items[isRight ? right : left] as Ranked
      if (below.at >= last.at) break
      items[i] = below
      i = isRight ? right : left
    }
    items[i] = last
    return least
  }
}

interface Queued {
  readonly key: number
  readonly bytes: number
  reads: number
}

/** S3-FIFO, with two logs and the fingerprints of as many entries as fit: what the process memory did before it knew costs. */
export function s3Fifo(maxBytes: number): Policy {
  const bytes = room(maxBytes)
  const small = new Log(bytes * 0.1)
  const main = new Log(bytes * 0.9)
  const kept = new Map<number, Queued>()
  const ghosts = new Set<number>()
  const maxGhosts = layoutOf(maxBytes).ghosts
  const most = layoutOf(maxBytes).slots * 0.8
  const evictMain = () => {
    const entry = main.shift()
    if (entry.reads === 0) return void kept.delete(entry.key)
    entry.reads--
    main.push(entry)
  }
  const moveToMain = (entry: Queued) => {
    while (!main.fits(entry)) evictMain()
    entry.reads = 0
    main.push(entry)
  }
  const evictSmall = () => {
    const entry = small.shift()
    if (entry.reads > 0 || main.fits(entry)) return moveToMain(entry)
    kept.delete(entry.key)
    ghosts.add(entry.key)
    if (ghosts.size > maxGhosts) ghosts.delete(ghosts.values().next().value as number)
  }
  return {
    get({ key }) {
      const entry = kept.get(key)
      if (entry && entry.reads < 3) entry.reads++
      return entry !== undefined
    },
    set({ key, bytes }) {
      const entry = { key, bytes: recordBytes(bytes), reads: 0 }
      while (kept.size >= most) {
        if (small.isEmpty) evictMain()
        else evictSmall()
      }
      kept.set(key, entry)
      if (ghosts.delete(key)) return moveToMain(entry)
      while (!small.fits(entry)) evictSmall()
      small.push(entry)
    },
  }
}

class Log {
  #items: (Queued | undefined)[] = []
  #first = 0
  #free: number

  constructor(bytes: number) {
    this.#free = bytes
  }

  get isEmpty(): boolean {
    return this.#first === this.#items.length
  }

  fits({ bytes }: Queued): boolean {
    return this.#free >= bytes
  }

  push(entry: Queued): void {
    this.#items.push(entry)
    this.#free -= entry.bytes
  }

  shift(): Queued {
    const entry = this.#items[this.#first] as Queued
    this.#items[this.#first++] = undefined
    if (this.#first > 65_536) {
      this.#items = this.#items.slice(this.#first)
      this.#first = 0
    }
    this.#free += entry.bytes
    return entry
  }
}

/** What one would keep who knew all requests to come and never changed it: a bound where popularity does not drift. */
export function perfect(maxBytes: number, coming: Iterable<Request>): Policy {
  const totals = new Map<number, { readonly bytes: number; saved: number }>()
  for (const { key, bytes, costMs } of coming) {
    const total = totals.get(key)
    if (total) total.saved += costMs
    else totals.set(key, { bytes: recordBytes(bytes), saved: costMs })
  }
  const best = [...totals].sort(([, a], [, b]) => b.saved / b.bytes - a.saved / a.bytes)
  const kept = new Set<number>()
  let free = room(maxBytes)
  for (const [key, { bytes }] of best) {
    free -= bytes
    if (free < 0) break
    kept.add(key)
  }
  return { get: ({ key }) => kept.has(key), set() {} }
}

/** The bytes of process memory in which a part of all values fits, headers and slots included. */
export function memoryFor(bytes: number, keys: number): number {
  return Math.max(64 * 1024, Math.round(bytes + keys * (HEADER_CELLS * 8 + SLOT_BYTES)))
}
