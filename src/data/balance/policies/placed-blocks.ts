/**
 * How many new blocks of prompts each backend was given of late: what fills its prefix cache, and drives older blocks out of it. A
 * backend that joins counts as an average one, or every new prompt would go there.
 */

/** When one backend has got so many, all counts are halved: what is old has been driven out itself. */
const MOST = 4_096

export class PlacedBlocks {
  readonly #blocks: Float64Array
  #members: Int32Array = new Int32Array(0)

  constructor(slots: number) {
    this.#blocks = new Float64Array(slots)
  }

  members(slots: Int32Array): void {
    const known = slots.filter((slot) => this.#members.includes(slot))
    const mean = known.reduce((sum, slot) => sum + this.of(slot), 0) / Math.max(1, known.length)
    for (const slot of slots) if (!known.includes(slot)) this.#blocks[slot] = mean
    this.#members = slots
  }

  of(slot: number): number {
    return this.#blocks[slot] ?? 0
  }

  add(slot: number, blocks: number): void {
    const sum = this.of(slot) + blocks
    this.#blocks[slot] = sum
    if (sum > MOST) for (const member of this.#members) this.#blocks[member] = this.of(member) / 2
  }
}
