/** A plan whose other keys are computed on first use: a call that is answered from its rows needs none of them. */
import type { Digest } from '../core/key.ts'
import type { Plan, Row } from './protocol.ts'

export class RowPlan implements Plan {
  readonly rows: readonly Row[]
  readonly common: unknown
  readonly asksForLess: boolean | undefined
  readonly #make: { readonly batch: () => Digest; readonly whole: () => Digest }
  #batch: Digest | undefined
  #whole: Digest | undefined

  constructor(
    rows: readonly Row[],
    made: {
      readonly batch: () => Digest
      readonly whole: () => Digest
      readonly common: unknown
      readonly asksForLess?: boolean
    },
  ) {
    this.rows = rows
    this.common = made.common
    this.asksForLess = made.asksForLess
    this.#make = made
  }

  get batch(): Digest {
    this.#batch ??= this.#make.batch()
    return this.#batch
  }

  get whole(): Digest {
    this.#whole ??= this.#make.whole()
    return this.#whole
  }
}
