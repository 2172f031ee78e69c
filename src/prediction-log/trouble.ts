/** What a part of the log suffers from, from its first failure to the next time that it works. */
export class Trouble {
  readonly #changed: () => void
  #now: string | undefined

  /** `changed` is called whenever it begins and ends. */
  constructor(changed: () => void) {
    this.#changed = changed
  }

  /** In words, for people; undefined: none. */
  get now(): string | undefined {
    return this.#now
  }

  /** True: it has just begun. What follows until it ends has the first words. */
  begin(text: string): boolean {
    if (this.#now !== undefined) return false
    this.#now = text
    this.#changed()
    return true
  }

  /** True: there was some. */
  end(): boolean {
    if (this.#now === undefined) return false
    this.#now = undefined
    this.#changed()
    return true
  }
}
