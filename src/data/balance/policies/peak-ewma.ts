/**
 * Peak EWMA, the default: power of two choices on calls in flight times peak latency (Finagle, Linkerd). A backend that
 * becomes slow is avoided after its first slow answer, one that fails fast after its first few failures.
 */
import { type CostOptions, Costs } from '../cost.ts'
import { type LoadTable, outstandingOf } from '../table.ts'
import { FULL_SCAN } from './p2c.ts'
import type { AttemptOutcome, Policy, PolicyContext } from './policy.ts'
import { TwoChoices } from './two-choices.ts'

/** Idle backends whose costs differ by less are equally good; smaller differences are noise. */
const ALIKE = 1.5

class PeakEwma implements Policy {
  readonly name = 'peak-ewma'
  readonly #context: PolicyContext
  readonly #table: LoadTable
  readonly #estimates: Costs
  readonly #choices: TwoChoices
  readonly #costs = new Float64Array(FULL_SCAN)

  constructor(context: PolicyContext, options: CostOptions) {
    this.#context = context
    this.#table = context.table
    this.#estimates = new Costs(context, options)
    this.#choices = new TwoChoices(context.table, context.random)
  }

  members(slots: Int32Array): void {
    this.#choices.weigh(slots)
  }

  pick(slots: Int32Array, count: number): number {
    const now = this.#context.now()
    this.#estimates.prepare(slots, count, now)
    if (count <= FULL_SCAN) return this.#scan(slots, count, now)
    this.#choices.draw(slots, count)
    return this.#choose(slots[this.#choices.first] ?? 0, slots[this.#choices.second] ?? 0, now)
  }

  onEnd(slot: number, ms: number, ending: AttemptOutcome, now?: number): void {
    this.#estimates.onEnd(slot, ms, ending, now)
  }

  onCancel(slot: number, elapsedMs: number, isOutrun: boolean): void {
    this.#estimates.onCancel(slot, elapsedMs, isOutrun)
  }

  #scan(slots: Int32Array, count: number, now: number): number {
    let best = 0
    let bestScore = Infinity
    let ties = 0
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      const cost = this.#estimates.costMs(slot, now)
      this.#costs[at] = cost
      const score = ((outstandingOf(this.#table, slot) + 1) * cost) / (this.#table.share[slot] ?? 1)
      if (score < bestScore) {
        best = at
        bestScore = score
        ties = 1
      } else if (score === bestScore && this.#context.random() * ++ties < 1) best = at
    }
    const slot = slots[best] ?? 0
    return outstandingOf(this.#table, slot) === 0 ? this.#idleLike(slots, count, best) : slot
  }

  /** The best is idle: one is drawn among the idle ones like it, or the heaviest would get every call of a quiet hour. */
  #idleLike(slots: Int32Array, count: number, best: number): number {
    const tolerable = (this.#costs[best] ?? 0) * ALIKE
    let chosen = slots[best] ?? 0
    let shares = 0
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      if ((this.#costs[at] ?? 0) > tolerable || outstandingOf(this.#table, slot) > 0) continue
      const share = this.#table.share[slot] ?? 1
      shares += share
      if (this.#context.random() * shares < share) chosen = slot
    }
    return chosen
  }

  #choose(first: number, second: number, now: number): number {
    const { isWeighted } = this.#choices
    const firstLoad = outstandingOf(this.#table, first)
    const secondLoad = outstandingOf(this.#table, second)
    const firstCost = this.#estimates.costMs(first, now)
    const secondCost = this.#estimates.costMs(second, now)
    const firstShare = isWeighted ? 1 : (this.#table.share[first] ?? 1)
    const secondShare = isWeighted ? 1 : (this.#table.share[second] ?? 1)
    const areAlike = firstCost < secondCost * ALIKE && secondCost < firstCost * ALIKE
    if (firstLoad === 0 && secondLoad === 0 && areAlike) {
      if (isWeighted) return first
      return this.#context.random() * (firstShare + secondShare) < firstShare ? first : second
    }
    const firstScore = (firstLoad + 1) * firstCost * secondShare
    const secondScore = (secondLoad + 1) * secondCost * firstShare
    if (firstScore === secondScore) return this.#context.random() < 0.5 ? first : second
    return firstScore < secondScore ? first : second
  }
}

export function peakEwma(context: PolicyContext, options: CostOptions = {}): Policy {
  return new PeakEwma(context, options)
}
