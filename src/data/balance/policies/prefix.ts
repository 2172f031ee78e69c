/**
 * Prefix affinity for generation: a server of language models keeps what it has computed of a prompt, and computes only the rest
 * of the next one that begins like it. So a call goes where most of its prompt has been seen, as long as that is worth
 * it: each backend's score is that of peak EWMA, less the part of the prompt that need not be computed there.
 *
 *   score = (calls outstanding + 1) × latency / share × (1 - 0.9 × part of the prompt seen there)
 *
 * Two things keep a popular prefix from drowning a backend. No backend takes calls for its prefix beyond a bounded load
 * (twice its fair share), and what is not worth it goes where peak EWMA sends it, from then on a second home of that prefix.
 *
 * A prompt that nobody has seen fills a cache wherever it goes. It goes where the fewest new blocks went of late, but only among
 * backends about as free as the one that peak EWMA picks: to go by the caches alone sends all new prompts to the backend that
 * has just started, or fails (sgl-project/sglang issue 14305).
 */
import type { Digest } from '../../../core/key.ts'
import type { PromptPrefix } from '../../../core/prompt-prefix.ts'
import { type CostOptions, Costs } from '../cost.ts'
import { PrefixMatches, recordPrefix } from '../prefix-table.ts'
import { outstandingOf } from '../table.ts'
import { type BoundedOptions, Bounds } from './bounded.ts'
import { isAmong } from './maglev.ts'
import { peakEwma } from './peak-ewma.ts'
import { PlacedBlocks } from './placed-blocks.ts'
import type { AttemptOutcome, Policy, PolicyContext } from './policy.ts'

/** How much of a call's work a prompt saves that has been seen whole: the answer has still to be computed. */
const SAVED = 0.9
/** How far above its fair share a backend may go for its prefixes. */
const BOUNDED_LOAD = 2
/** Scores up to this many times that of the best are about as free. */
const ALIKE = 1.5
/** In larger pools new prompts go where peak EWMA sends them, which is to the better of two at random. */
const MOST_SCANNED = 64

interface PlacedCall {
  /** Where peak EWMA sends the call. */
  readonly other: number
  readonly prefix: PromptPrefix
  readonly now: number
}

class Prefix implements Policy {
  readonly name = 'prefix'
  readonly readsPrefix = true
  readonly #context: PolicyContext
  readonly #costs: Costs
  readonly #peakEwma: Policy
  readonly #bounds: Bounds
  readonly #matches: PrefixMatches
  readonly #placed: PlacedBlocks
  /** That of the last pick, which `onStart` records where the call went. */
  #picked: PromptPrefix | undefined

  constructor(context: PolicyContext, options: CostOptions & BoundedOptions) {
    const { table } = context
    this.#context = context
    this.#costs = new Costs(context, options)
    this.#peakEwma = peakEwma(context, options)
    this.#bounds = new Bounds(table, { boundedLoad: BOUNDED_LOAD, ...options })
    this.#matches = new PrefixMatches(table.prefixes, table.incarnation)
    this.#placed = new PlacedBlocks(table.slots)
  }

  members(slots: Int32Array, ids: readonly string[]): void {
    this.#peakEwma.members?.(slots, ids)
    this.#placed.members(slots)
  }

  pick(slots: Int32Array, count: number, key: Digest | undefined, prefix?: PromptPrefix): number {
    this.#picked = prefix
    this.#bounds.measure(slots, count)
    const other = this.#peakEwma.pick(slots, count, key)
    if (prefix === undefined || prefix.blocks === 0) return other
    const now = this.#context.now()
    this.#costs.prepare(slots, count, now)
    this.#matches.find(prefix, now)
    const call = { other, prefix, now }
    if (this.#matches.count > 0) return this.#home(slots, count, call)
    return count > MOST_SCANNED ? other : this.#emptiest(slots, count, call)
  }

  onStart(slot: number): void {
    this.#bounds.count(1)
    const prefix = this.#picked
    this.#picked = undefined
    if (prefix === undefined) return
    const { table, now } = this.#context
    this.#placed.add(slot, prefix.blocks - this.#matches.depth(slot))
    recordPrefix(table.prefixes, prefix, { slot, incarnation: table.incarnation[slot] ?? 0, now: now() })
  }

  onEnd(slot: number, ms: number, ending: AttemptOutcome, now?: number): void {
    this.#bounds.count(-1)
    this.#peakEwma.onEnd?.(slot, ms, ending, now)
  }

  onCancel(slot: number, elapsedMs: number, isOutrun: boolean): void {
    this.#bounds.count(-1)
    this.#peakEwma.onCancel?.(slot, elapsedMs, isOutrun)
  }

  /** The best of the candidates that have seen the beginning of the prompt, and of `other`. */
  #home(slots: Int32Array, count: number, call: PlacedCall): number {
    let best = call.other
    let bestScore = this.#score(best, call)
    for (let at = 0; at < this.#matches.count; at++) {
      const slot = this.#matches.slots[at] ?? 0
      if (!isAmong(slots, count, slot) || !this.#bounds.hasRoom(slot)) continue
      const score = this.#score(slot, call)
      if (score < bestScore) {
        best = slot
        bestScore = score
      }
    }
    return best
  }

  /** For a prompt that nobody has seen. */
  #emptiest(slots: Int32Array, count: number, call: PlacedCall): number {
    let best = call.other
    const bearable = this.#score(best, call) * ALIKE
    for (let at = 0; at < count; at++) {
      const slot = slots[at] ?? 0
      if (this.#placed.of(slot) >= this.#placed.of(best)) continue
      if (this.#bounds.hasRoom(slot) && this.#score(slot, call) <= bearable) best = slot
    }
    return best
  }

  #score(slot: number, { prefix, now }: PlacedCall): number {
    const { table } = this.#context
    const seen = this.#matches.depth(slot) / prefix.blocks
    const load = (outstandingOf(table, slot) + 1) / (table.share[slot] ?? 1)
    return load * this.#costs.costMs(slot, now) * (1 - SAVED * seen)
  }
}

export function prefix(context: PolicyContext, options: CostOptions & BoundedOptions = {}): Policy {
  return new Prefix(context, options)
}
