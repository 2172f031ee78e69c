/**
 * The index of an arena, from digest to record: open addressing over one typed array, eight bytes a slot, linear probing,
 * and deletion by shifting back, so there are no tombstones and no objects. A slot holds 32 mixed bits of the digest (the
 * tag) and the record's cell; the whole digest is compared in the record itself.
 */
export class DigestIndex {
  readonly slots: number
  /** The most records it may hold: probes stay short up to a load of four fifths. */
  readonly limit: number
  /** Pairs of cell + 1 (0: empty) and tag. */
  readonly #pairs: Uint32Array
  /** The number of records, in memory that workers may share. */
  readonly #count: Uint32Array

  /** `pairs`: two words for each slot, all zero at first; `count`: one number. */
  constructor(pairs: Uint32Array, count: Uint32Array) {
    this.slots = pairs.length / 2
    this.limit = Math.floor(this.slots * 0.8)
    this.#pairs = pairs
    this.#count = count
  }

  get count(): number {
    return this.#count[0] as number
  }

  clear(): void {
    this.#pairs.fill(0)
    this.#count[0] = 0
  }

  /** The first slot of a chain that may hold `tag`, or -1. */
  first(tag: number): number {
    return this.#scan(this.#home(tag), tag)
  }

  /** The next slot after `slot` with the same tag, or -1. */
  next(slot: number, tag: number): number {
    return this.#scan(slot + 1 === this.slots ? 0 : slot + 1, tag)
  }

  cellAt(slot: number): number {
    return (this.#pairs[slot * 2] as number) - 1
  }

  add(tag: number, cell: number): void {
    let slot = this.#home(tag)
    while (this.#pairs[slot * 2] !== 0) slot = slot + 1 === this.slots ? 0 : slot + 1
    this.#pairs[slot * 2] = cell + 1
    this.#pairs[slot * 2 + 1] = tag
    this.#count[0] = (this.#count[0] as number) + 1
  }

  /** The record of `tag` at cell `from` now lies at `to`. */
  move(tag: number, from: number, to: number): void {
    const slot = this.slotOf(tag, from)
    if (slot >= 0) this.#pairs[slot * 2] = to + 1
  }

  slotOf(tag: number, cell: number): number {
    let slot = this.first(tag)
    while (slot >= 0 && this.cellAt(slot) !== cell) slot = this.next(slot, tag)
    return slot
  }

  removeAt(slot: number): void {
    const pairs = this.#pairs
    let hole = slot
    let probe = slot
    for (;;) {
      probe = probe + 1 === this.slots ? 0 : probe + 1
      if (pairs[probe * 2] === 0) break
      const home = this.#home(pairs[probe * 2 + 1] as number)
      // The record at `probe` may fill the hole only if its home does not lie behind the hole.
      const fits = hole <= probe ? home <= hole || home > probe : home <= hole && home > probe
      if (!fits) continue
      pairs[hole * 2] = pairs[probe * 2] as number
      pairs[hole * 2 + 1] = pairs[probe * 2 + 1] as number
      hole = probe
    }
    pairs[hole * 2] = 0
    this.#count[0] = (this.#count[0] as number) - 1
  }

  #home(tag: number): number {
    return Math.floor((tag / 4294967296) * this.slots)
  }

  #scan(from: number, tag: number): number {
    const pairs = this.#pairs
    for (let slot = from; pairs[slot * 2] !== 0; slot = slot + 1 === this.slots ? 0 : slot + 1) {
      if (pairs[slot * 2 + 1] === tag) return slot
    }
    return -1
  }
}
