/**
 * Which backend has seen the beginning of which prompt, in memory that all workers share: what one worker has sent somewhere,
 * the others send there too, or each prefix would be computed and kept as often as there are workers.
 *
 * An entry says that a backend has had a block, as the hash of the prompt up to its end. The table is bounded: eight
 * entries to a bucket, of which the oldest gives way. Workers write without a lock; an entry that two of them write in the same instant may
 * name the wrong backend, which costs that backend one prompt without a prefix.
 */
import type { PromptPrefix } from '../../core/prompt-prefix.ts'

/** As plain data for `postMessage`. */
export interface PrefixTable {
  /** The half of the hash that does not choose the bucket. */
  readonly tag: Int32Array
  readonly slot: Int32Array
  /** The holder of the slot, as in the load table; 0: the entry is free. */
  readonly incarnation: Int32Array
  /** Monotonic time at which the block was sent last. */
  readonly at: Float64Array
}

const WAYS = 8
/** Blocks for each slot of the load table; those of the slots that nobody has are for the others. */
const PER_SLOT = 32
/** Servers keep prefixes by use and not by time: after this they have most likely been replaced. */
const EXPIRES_MS = 10 * 60_000

export function createPrefixTable(slots: number): PrefixTable {
  const entries = 2 ** Math.ceil(Math.log2(Math.max(1, slots) * PER_SLOT))
  const integers = () => new Int32Array(new SharedArrayBuffer(entries * 4))
  const at = new Float64Array(new SharedArrayBuffer(entries * 8))
  return { tag: integers(), slot: integers(), incarnation: integers(), at }
}

/** How many blocks of a prompt each backend has seen, from the first on: of the prompt that was looked for last. */
export class PrefixMatches {
  readonly #table: PrefixTable
  readonly #incarnations: Int32Array
  readonly #depths: Int32Array
  /** The slots that have seen the first block; `count` of them. */
  readonly slots: Int32Array
  count = 0

  constructor(table: PrefixTable, incarnations: Int32Array) {
    this.#table = table
    this.#incarnations = incarnations
    this.#depths = new Int32Array(incarnations.length)
    this.slots = new Int32Array(WAYS)
  }

  depth(slot: number): number {
    return this.#depths[slot] ?? 0
  }

  find({ lanes, blocks }: PromptPrefix, now: number): void {
    this.#clear()
    for (let block = 0; block < blocks; block++) {
      if (!this.#step(lanes[2 * block] ?? 0, lanes[2 * block + 1] ?? 0, { block, now })) return
    }
  }

  #clear(): void {
    for (let at = 0; at < this.count; at++) this.#depths[this.slots[at] ?? 0] = 0
    this.count = 0
  }

  /** False: no backend has seen the prompt up to the end of this block. */
  #step(low: number, tag: number, { block, now }: { readonly block: number; readonly now: number }): boolean {
    const table = this.#table
    const first = bucketOf(table, low)
    let isSeen = false
    for (let at = first; at < first + WAYS; at++) {
      const slot = table.slot[at] ?? 0
      const incarnation = table.incarnation[at] ?? 0
      if (table.tag[at] !== tag || incarnation === 0 || this.#incarnations[slot] !== incarnation) continue
      if (now - (table.at[at] ?? 0) > EXPIRES_MS || this.#depths[slot] !== block) continue
      if (block === 0) this.slots[this.count++] = slot
      this.#depths[slot] = block + 1
      isSeen = true
    }
    return isSeen
  }
}

/** The prompt goes to this backend, which will have all its blocks. */
export function recordPrefix(
  table: PrefixTable,
  { lanes, blocks }: PromptPrefix,
  { slot, incarnation, now }: { readonly slot: number; readonly incarnation: number; readonly now: number },
): void {
  for (let block = 0; block < blocks; block++) {
    const tag = lanes[2 * block + 1] ?? 0
    const at = placeOf(table, bucketOf(table, lanes[2 * block] ?? 0), { tag, slot })
    table.tag[at] = tag
    table.slot[at] = slot
    table.at[at] = now
    table.incarnation[at] = incarnation
  }
}

function bucketOf({ tag }: PrefixTable, low: number): number {
  return ((low >>> 0) % (tag.length / WAYS)) * WAYS
}

/** The block's own entry if it has one, otherwise a free one, otherwise the oldest of the bucket. */
function placeOf(table: PrefixTable, first: number, { tag, slot }: { tag: number; slot: number }): number {
  let oldest = first
  let oldestAt = Infinity
  for (let at = first; at < first + WAYS; at++) {
    const isFree = table.incarnation[at] === 0
    if (!isFree && table.tag[at] === tag && table.slot[at] === slot) return at
    const age = isFree ? -Infinity : (table.at[at] ?? 0)
    if (age < oldestAt) {
      oldestAt = age
      oldest = at
    }
  }
  return oldest
}
