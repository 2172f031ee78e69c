/**
 * Decides which models may be answered row by row. The answer of some models to a row depends on the other rows of the batch
 * (dynamic quantisation, batch statistics, padding). So under `auto` a model is split only after a proof: once a batch
 * was answered whole, 20 batches are sent again in two random parts and compared. After the proof, one batch in a thousand
 * is compared.
 *
 * A proof holds for one question kind, which is everything in the key but the rows: a model that scores each row by
 * itself under one `signature_name`, parameter or list of outputs may subtract the mean of the batch under another.
 * A disagreement has these effects:
 *
 *   in a kind that is being proved      this kind is answered whole until the next deployment; the model's other kinds
 *                                       need ten times as many agreements, since the model mixes rows at least once
 *   in a kind that was proved           the comparison is no proof for this model: all kinds are answered whole until
 *                                       the next deployment
 *
 * An answer that does not fit its rows suspends its kind for ten minutes, also under `always`.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { RowsMode } from '../route/routes.ts'

export interface SplitterOptions {
  readonly clock: Clock
  readonly random: () => number
  /** Called when a kind, or a whole model, is suspended, refused or proved. */
  readonly changed: (found: Finding, reason: string) => void
}

/** `unproved`: answered whole, and compared. `proved`: split. `refused`: answered whole until the next deployment. */
export type SplitState = 'unproved' | 'proved' | 'refused' | 'suspended'

/** `rows`: calls may be answered from rows. `batches`: they are answered whole, and those of several rows may be compared. */
export type SplitReading = 'rows' | 'batches' | 'whole'

/** A question kind of a model of a pool in one deployment. */
export interface QuestionKind {
  readonly model: string
  readonly kind: Digest
}

/** A state that one worker found, for the other workers. */
export interface Finding {
  readonly model: string
  /** Undefined: the finding is about all kinds. */
  readonly kind: Digest | undefined
  readonly state: SplitState
  /** The agreements it is based on. */
  readonly agreements: number
}

const PROOFS = 20
/** Agreements that prove a kind once another kind of the model was refused. */
const DOUBTED_PROOFS = 200
const SAMPLE_SHARE = 0.001
const SUSPENDED_MS = 10 * 60 * 1000
/** A deployment can cause a mismatch between stored and fetched rows. Only repeated mismatches suspend a kind. */
const MISMATCHES = 3
const MAX_MODELS = 1024
const MAX_KINDS = 1024
/** The bound over all models together. */
const MAX_ALL_KINDS = 65_536

interface KindRecord {
  agreements: number
  refused: boolean
  suspendedUntil: number
  mismatches: number
  mismatchedAt: number
  /** Comparisons that wait or run; no more than the proof still needs. */
  comparing: number
}

interface ModelRecord {
  refused: boolean
  /** Agreements that prove a kind. */
  needed: number
  /** Until when at least one kind is suspended. */
  suspendedUntil: number
  /** At least one kind is proved. */
  isSplit: boolean
  readonly kinds: Map<Digest, KindRecord>
}

export class Splitter {
  readonly #options: SplitterOptions
  readonly #models = new Map<string, ModelRecord>()
  #kinds = 0

  constructor(options: SplitterOptions) {
    this.#options = options
  }

  state({ model, kind }: QuestionKind): SplitState {
    const modelRecord = this.#models.get(model)
    return modelRecord ? this.#stateOf(modelRecord, modelRecord.kinds.get(kind)) : 'unproved'
  }

  /** Whether rows are worth reading: to answer from them, or to compare them. */
  reads(mode: RowsMode, model: string): SplitReading {
    if (mode === 'never') return 'whole'
    if (mode === 'always') return 'rows'
    const modelRecord = this.#models.get(model)
    if (!modelRecord) return 'batches'
    if (modelRecord.refused) return 'whole'
    return modelRecord.isSplit ? 'rows' : 'batches'
  }

  /** Whether a call is answered from its rows. `kind` is computed only if the answer depends on it. */
  splits(mode: RowsMode, model: string, kind: () => Digest | undefined): boolean {
    if (mode === 'never') return false
    const modelRecord = this.#models.get(model)
    if (mode === 'auto' && !modelRecord?.isSplit) return false
    if (mode === 'always' && !(modelRecord && modelRecord.suspendedUntil > this.#options.clock.now()))
      return true
    const digest = kind()
    if (digest === undefined || !modelRecord) return false
    const state = this.#stateOf(modelRecord, modelRecord.kinds.get(digest))
    return mode === 'always' ? state !== 'suspended' : state === 'proved'
  }

  /** Starts a comparison of the batch that is being answered, if one is due; `end` must follow. False: none is due. */
  begin(mode: RowsMode, { model, kind }: QuestionKind): boolean {
    if (mode !== 'auto') return false
    const modelRecord = this.#model(model)
    const kindRecord = modelRecord.kinds.get(kind)
    const state = this.#stateOf(modelRecord, kindRecord)
    const { agreements = 0, comparing = 0 } = kindRecord ?? {}
    const isDue =
      state === 'unproved'
        ? agreements + comparing < modelRecord.needed
        : state === 'proved' && comparing === 0 && this.#options.random() < SAMPLE_SHARE
    if (isDue) this.#kind(modelRecord, kind).comparing++
    return isDue
  }

  /** False: the result of a comparison would change nothing by now. */
  isOpen({ model, kind }: QuestionKind): boolean {
    const state = this.state({ model, kind })
    return state === 'unproved' || state === 'proved'
  }

  /** Ends a comparison. `undefined`: it has no result, because a backend failed. */
  end({ model, kind }: QuestionKind, agreed: boolean | undefined): void {
    const modelRecord = this.#model(model)
    const kindRecord = this.#kind(modelRecord, kind)
    kindRecord.comparing = Math.max(0, kindRecord.comparing - 1)
    if (agreed === undefined || kindRecord.refused || modelRecord.refused) return
    if (agreed) {
      if (++kindRecord.agreements !== modelRecord.needed) return
      modelRecord.isSplit = true
      return this.#report(
        { model, kind, state: 'proved', agreements: kindRecord.agreements },
        'batches were the same whole and split',
      )
    }
    if (kindRecord.agreements >= modelRecord.needed) {
      this.#refuse(modelRecord, undefined)
      this.#report(
        { model, kind: undefined, state: 'refused', agreements: 0 },
        'a row that had been split was answered differently in different company',
      )
    } else {
      this.#refuse(modelRecord, kindRecord)
      this.#report(
        { model, kind, state: 'refused', agreements: 0 },
        'a row was answered differently in different company',
      )
    }
  }

  /** An answer did not fit its rows: suspends the kind. */
  violated({ model, kind }: QuestionKind, reason: string): void {
    this.#suspend(model, kind)
    this.#report({ model, kind, state: 'suspended', agreements: 0 }, reason)
  }

  /** The rows of one batch had different frames: counts it, and suspends the kind after several. */
  mismatched(of: QuestionKind): void {
    const kindRecord = this.#kind(this.#model(of.model), of.kind)
    const now = this.#options.clock.now()
    if (now - kindRecord.mismatchedAt > SUSPENDED_MS) kindRecord.mismatches = 0
    kindRecord.mismatchedAt = now
    if (++kindRecord.mismatches < MISMATCHES) return
    kindRecord.mismatches = 0
    this.violated(of, `rows of ${MISMATCHES} batches had different frames`)
  }

  /** Applies what another worker found. */
  apply({ model, kind, state, agreements }: Finding): void {
    const modelRecord = this.#model(model)
    if (kind === undefined) {
      if (state === 'refused') this.#refuse(modelRecord, undefined)
      return
    }
    const kindRecord = this.#kind(modelRecord, kind)
    if (state === 'proved') {
      kindRecord.agreements = Math.max(kindRecord.agreements, agreements)
      modelRecord.isSplit ||= this.#stateOf(modelRecord, kindRecord) === 'proved'
    }
    if (state === 'refused') this.#refuse(modelRecord, kindRecord)
    if (state === 'suspended') this.#suspend(model, kind)
  }

  #stateOf(modelRecord: ModelRecord, kindRecord: KindRecord | undefined): SplitState {
    if (modelRecord.refused) return 'refused'
    if (!kindRecord) return 'unproved'
    if (kindRecord.refused) return 'refused'
    if (kindRecord.suspendedUntil > this.#options.clock.now()) return 'suspended'
    return kindRecord.agreements >= modelRecord.needed ? 'proved' : 'unproved'
  }

  /** Refuses a kind, or, without one, the whole model. */
  #refuse(modelRecord: ModelRecord, kindRecord: KindRecord | undefined): void {
    if (kindRecord) kindRecord.refused = true
    else modelRecord.refused = true
    modelRecord.needed = DOUBTED_PROOFS
    modelRecord.isSplit =
      !modelRecord.refused &&
      [...modelRecord.kinds.values()].some((kind) => !kind.refused && kind.agreements >= modelRecord.needed)
  }

  #suspend(model: string, kind: Digest): void {
    const modelRecord = this.#model(model)
    const until = this.#options.clock.now() + SUSPENDED_MS
    modelRecord.suspendedUntil = until
    this.#kind(modelRecord, kind).suspendedUntil = until
  }

  #report(found: Finding, reason: string): void {
    this.#options.changed(found, reason)
  }

  #model(model: string): ModelRecord {
    const modelRecord = this.#models.get(model)
    if (modelRecord) return modelRecord
    const record: ModelRecord = {
      refused: false,
      needed: PROOFS,
      suspendedUntil: 0,
      isSplit: false,
      kinds: new Map(),
    }
    this.#models.set(model, record)
    if (this.#models.size > MAX_MODELS) this.#forgetModel()
    return record
  }

  /** The record of a kind. Callers determine the kinds, so their number is bounded; a kind that is forgotten must be proved again. */
  #kind(modelRecord: ModelRecord, kind: Digest): KindRecord {
    const kindRecord = modelRecord.kinds.get(kind)
    if (kindRecord) return kindRecord
    const record: KindRecord = {
      agreements: 0,
      refused: false,
      suspendedUntil: 0,
      mismatches: 0,
      mismatchedAt: 0,
      comparing: 0,
    }
    modelRecord.kinds.set(kind, record)
    this.#kinds++
    if (modelRecord.kinds.size > MAX_KINDS) this.#forgetKind(modelRecord)
    while (this.#kinds > MAX_ALL_KINDS && this.#models.size > 1) this.#forgetModel()
    return record
  }

  /** Forgets the oldest model, which is mostly one of an old deployment. */
  #forgetModel(): void {
    const [oldest] = this.#models
    if (!oldest) return
    this.#kinds -= oldest[1].kinds.size
    this.#models.delete(oldest[0])
  }

  /** Forgets the oldest of the kinds without a result; the oldest kind of all if none of the first 64 is such. */
  #forgetKind({ kinds, needed }: ModelRecord): void {
    let examined = 0
    let [victim] = kinds.keys()
    for (const [kind, { agreements, refused }] of kinds) {
      if (refused || agreements >= needed) {
        if (++examined < MAX_EXAMINED) continue
        break
      }
      victim = kind
      break
    }
    if (victim !== undefined && kinds.delete(victim)) this.#kinds--
  }
}

const MAX_EXAMINED = 64
