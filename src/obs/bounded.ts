/**
 * Bounds the values of a metric label that come from outside. Each value is a time series for as long as the process
 * lives. Beyond the bound, values are counted together as `other`: clients may invent names, and backends may register
 * under a new id each time.
 */
export const OTHER = 'other'

export class BoundedNames {
  readonly #names = new Set<string>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  /** The name itself for the first `most` names; `other` for all further ones. */
  of(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.#most) return OTHER
    this.#names.add(name)
    return name
  }
}
