/**
 * A bounded table of what was asked for lately, in two generations: when the young one is full it becomes the old one, and
 * what nobody has asked for since the last change is forgotten. Cheaper than a least-recently-used list: a look-up that
 * finds its value in the young generation moves nothing.
 */
export class Generations<V> {
  readonly #size: number
  #young = new Map<string, V>()
  #old = new Map<string, V>()

  /** @param size of one generation: at most twice as many values are held. */
  constructor(size: number) {
    this.#size = size
  }

  get isEmpty(): boolean {
    return this.#young.size === 0
  }

  /** What is asked for again lives on into the next generation. */
  get(key: string): V | undefined {
    const young = this.#young.get(key)
    if (young !== undefined) return young
    const old = this.#old.get(key)
    if (old !== undefined) this.set(key, old)
    return old
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#size && !this.#young.has(key)) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(key, value)
  }
}
