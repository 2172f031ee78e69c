/**
 * A bounded cache in two generations. When the young generation is full it becomes the old one, and the values of the
 * previous old generation are dropped. It is cheaper than an LRU list: a hit in the young generation moves nothing.
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

  /** The value, if it is still held. A hit in the old generation moves it to the young one. */
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
