/** What backends say of their own load on their answers, taken over into the shared table. */
import type { BackendLoad, LoadFault } from '../../core/backend-load.ts'
import type { Clock } from '../../lib/clock.ts'
import { reportLoad } from '../balance/reported-load.ts'
import { type LoadTable, loadOf } from '../balance/table.ts'
import type { Permit } from './permit.ts'

export class AnswerLoads {
  readonly #table: LoadTable
  readonly #clock: Pick<Clock, 'now'>

  constructor({ table, clock }: { readonly table: LoadTable; readonly clock: Pick<Clock, 'now'> }) {
    this.#table = table
    this.#clock = clock
  }

  /** Takes over a report, or why it is ignored, of the backend that had the call. */
  take({ backend, incarnation }: Permit, load: BackendLoad | LoadFault): void {
    const { slot } = backend
    // The slot may have passed to another backend meanwhile.
    if (this.#table.incarnation[slot] !== incarnation) return
    const known = loadOf(this.#table, slot)
    reportLoad(this.#table.reports, slot, load, { now: this.#clock.now(), known })
  }
}
