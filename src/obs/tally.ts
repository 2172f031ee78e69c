/** Counts by the values of their labels. */
import type { Sample } from './exposition.ts'

export class Tally {
  readonly #cells = new Map<string, { readonly labels: Readonly<Record<string, string>>; value: number }>()

  /** The labels come in the same order every time. */
  add(labels: Readonly<Record<string, string>>, by: number): void {
    const key = Object.values(labels).join('\0')
    const cell = this.#cells.get(key)
    if (cell) cell.value += by
    else this.#cells.set(key, { labels, value: by })
  }

  samples(): readonly Sample[] {
    return [...this.#cells.values()]
  }
}
