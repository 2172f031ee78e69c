/** A plan whose other keys are computed on first use: a call that is answered from its rows needs none of them. */
import type { Digest } from '../core/key.ts'
import type { Plan, Row } from './protocol.ts'

/** What a plan is made of besides its rows. */
interface MadePlan {
  readonly batch: () => Digest
  readonly whole: () => Digest
  readonly answer?: () => Digest
  readonly common: unknown
  readonly asksForLess?: boolean
}

export class RowPlan implements Plan {
  readonly rows: readonly Row[]
  readonly common: unknown
  readonly asksForLess: boolean | undefined
  readonly #make: Pick<MadePlan, 'batch' | 'whole' | 'answer'>
  #batch: Digest | undefined
  #whole: Digest | undefined
  #answer: Digest | undefined

  constructor(rows: readonly Row[], made: MadePlan) {
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

  get answer(): Digest | undefined {
    this.#answer ??= this.#make.answer?.()
    return this.#answer
  }
}
