/** Counts by the values of their labels. */
import type { Sample } from './exposition.ts'

/** The counts under one value of a label, by the values of the next. */
interface Branch {
  readonly below: Map<string, Branch>
  cell?: { readonly labels: Sample['labels']; value: number }
}

export class Tally {
  readonly #root: Branch = { below: new Map() }
  readonly #cells: NonNullable<Branch['cell']>[] = []

  /** The labels come in the same order every time. Makes no text of them, since some are counted with each call. */
  add(labels: Readonly<Record<string, string>>, by: number): void {
    let branch = this.#root
    for (const value of Object.values(labels)) branch = branch.below.get(value) ?? branched(branch, value)
    const cell = branch.cell ?? this.#cell(branch, labels)
    cell.value += by
  }

  samples(): readonly Sample[] {
    return this.#cells
  }

  #cell(branch: Branch, labels: Sample['labels']): NonNullable<Branch['cell']> {
    branch.cell = { labels, value: 0 }
    this.#cells.push(branch.cell)
    return branch.cell
  }
}

function branched({ below }: Branch, value: string): Branch {
  const branch = { below: new Map() }
  below.set(value, branch)
  return branch
}
