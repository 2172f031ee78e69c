/** A binary heap whose members know their place in it, so that a call that stops waiting is removed at once. */

export interface HeapItem {
  /** The index in the heap; -1: not in it. Only the heap writes it. */
  at: number
}

export class DueHeap<T extends HeapItem> {
  readonly #heap: T[] = []
  readonly #isBefore: (a: T, b: T) => boolean

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore
  }

  get size(): number {
    return this.#heap.length
  }

  get first(): T | undefined {
    return this.#heap[0]
  }

  /** A member that no other is behind. Reads half of the heap. */
  get last(): T | undefined {
    let last: T | undefined
    for (let at = this.#heap.length >> 1; at < this.#heap.length; at++) {
      const member = this.#heap[at]
      if (member !== undefined && (last === undefined || this.#isBefore(last, member))) last = member
    }
    return last
  }

  push(member: T): void {
    member.at = this.#heap.length
    this.#heap.push(member)
    this.#rise(member)
  }

  /** Removes a member, which must be in the heap. */
  remove(member: T): void {
    const last = this.#heap.pop()
    if (last !== undefined && last !== member) {
      this.#put(last, member.at)
      this.#rise(last)
      this.#sink(last)
    }
    member.at = -1
  }

  #rise(member: T): void {
    while (member.at > 0) {
      const parent = this.#heap[(member.at - 1) >> 1]
      if (parent === undefined || !this.#isBefore(member, parent)) return
      this.#swap(member, parent)
    }
  }

  #sink(member: T): void {
    for (;;) {
      const left = this.#heap[2 * member.at + 1]
      const right = this.#heap[2 * member.at + 2]
      const child = right !== undefined && left !== undefined && this.#isBefore(right, left) ? right : left
      if (child === undefined || !this.#isBefore(child, member)) return
      this.#swap(child, member)
    }
  }

  #swap(lower: T, upper: T): void {
    const place = upper.at
    this.#put(upper, lower.at)
    this.#put(lower, place)
  }

  #put(member: T, at: number): void {
    this.#heap[at] = member
    member.at = at
  }
}
