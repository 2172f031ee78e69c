/**
 * Which models may be answered row by row. Some answer a row differently in different company (dynamic
 * quantisation, batch statistics, padding), so under `auto` a model is split only after it has proved that it
 * does not: a batch that came back whole nominates it, then 20 batches are asked again in two random parts and
 * compared. From then on one in a thousand is checked. One disagreement ends splitting until the next deployment.
 *
 * An answer that does not fit its rows suspends splitting for ten minutes, also under `always`.
 */
import type { Clock } from '../../lib/clock.ts'
import type { RowsMode } from '../ingress/routes.ts'

export interface SplitterOptions {
  readonly clock: Clock
  readonly random: () => number
  /** Told when a model is suspended, refused or proved. */
  readonly changed: (model: string, state: SplitState, reason: string) => void
}

/** `unproved`: answered whole, being compared. `proved`: split. `refused`: whole until the next deployment. */
export type SplitState = 'unproved' | 'proved' | 'refused' | 'suspended'

/** `rows`: the call is answered from its rows. `batches`: as a whole, and one of several rows may be compared. */
export type SplitReading = 'rows' | 'batches' | 'whole'

const PROOFS = 20
const SAMPLE_SHARE = 0.001
const SUSPENDED_MS = 10 * 60 * 1000
const MAX_MODELS = 10_000

interface Record {
  agreements: number
  refused: boolean
  suspendedUntil: number
  /** One comparison at a time: proving must not become load. */
  comparing: boolean
}

export class Splitter {
  readonly #options: SplitterOptions
  readonly #records = new Map<string, Record>()

  constructor(options: SplitterOptions) {
    this.#options = options
  }

  /** `model`: a model of a pool in one deployment. */
  state(model: string): SplitState {
    return this.#stateOf(this.#records.get(model))
  }

  #stateOf(record: Record | undefined): SplitState {
    if (!record) return 'unproved'
    if (record.refused) return 'refused'
    if (record.suspendedUntil > this.#options.clock.now()) return 'suspended'
    return record.agreements >= PROOFS ? 'proved' : 'unproved'
  }

  /** Whether calls of this model are answered from rows. */
  splits(mode: RowsMode, model: string): boolean {
    return this.#splits(mode, this.#records.get(model))
  }

  #splits(mode: RowsMode, record: Record | undefined): boolean {
    if (mode === 'never') return false
    const state = this.#stateOf(record)
    return mode === 'always' ? state !== 'suspended' : state === 'proved'
  }

  /** Whether rows are worth reading: to answer from them, or to prove that one could. */
  reads(mode: RowsMode, model: string): SplitReading {
    const record = this.#records.get(model)
    if (this.#splits(mode, record)) return 'rows'
    return mode === 'auto' && this.#stateOf(record) === 'unproved' && !record?.comparing ? 'batches' : 'whole'
  }

  /** Claims the comparison of a batch that has just been answered; false: not this one. `end` must follow. */
  begin(mode: RowsMode, model: string): boolean {
    if (mode !== 'auto') return false
    const record = this.#record(model)
    const state = this.state(model)
    const due = state === 'unproved' || (state === 'proved' && this.#options.random() < SAMPLE_SHARE)
    if (!due || record.comparing) return false
    record.comparing = true
    return true
  }

  /** `undefined`: the comparison came to nothing, because a backend failed. */
  end(model: string, agreed: boolean | undefined): void {
    const record = this.#record(model)
    record.comparing = false
    if (agreed === true && ++record.agreements === PROOFS)
      this.#options.changed(model, 'proved', `${PROOFS} batches were the same whole and split`)
    if (agreed === false && !record.refused) {
      record.refused = true
      this.#options.changed(model, 'refused', 'a row was answered differently in different company')
    }
  }

  /** An answer did not fit the rows it was asked for. */
  violated(model: string, reason: string): void {
    this.#record(model).suspendedUntil = this.#options.clock.now() + SUSPENDED_MS
    this.#options.changed(model, 'suspended', reason)
  }

  /** What another worker has found out. */
  heard(model: string, state: SplitState): void {
    const record = this.#record(model)
    if (state === 'proved') record.agreements = Math.max(record.agreements, PROOFS)
    if (state === 'refused') record.refused = true
    if (state === 'suspended') record.suspendedUntil = this.#options.clock.now() + SUSPENDED_MS
  }

  #record(model: string): Record {
    const known = this.#records.get(model)
    if (known) return known
    const record: Record = { agreements: 0, refused: false, suspendedUntil: 0, comparing: false }
    this.#records.set(model, record)
    // Deployments come and go; the oldest is forgotten, and would have to prove itself again.
    if (this.#records.size > MAX_MODELS) this.#records.delete(this.#records.keys().next().value as string)
    return record
  }
}
