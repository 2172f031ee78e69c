/**
 * Names from outside as the values of a label. Each is a time series for as long as the process lives, so there are only so
 * many: a client that makes names up, or backends that come under a new id each time, are counted together from then on.
 */
export const OTHER = 'other'

export class BoundedNames {
  readonly #names = new Set<string>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  /** The name itself for those that came first; `other` for the rest. */
  of(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.#most) return OTHER
    this.#names.add(name)
    return name
  }
}
