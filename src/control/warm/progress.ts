/** How far a warming is, and what came of its calls. */
import type { WarmResult } from '../../core/warm.ts'
import type { Pause } from './pace.ts'

export interface WarmProgress {
  /** Calls that were looked at. */
  readonly done: number
  /** Of so many; left out: nobody knows yet. */
  readonly total?: number
  /** Calls that a backend was asked for. */
  readonly asked: number
  /** Asked, and the answer is kept. */
  readonly stored: number
  /** There already. */
  readonly present: number
  /** Refused by the server, as it would refuse the caller. */
  readonly refused: number
  /** Answered, but the answer may not be kept. */
  readonly unstored: number
  readonly failed: number
  /** By reason. */
  readonly skipped: Readonly<Record<string, number>>
  /** Failures by fault or status. */
  readonly failures: Readonly<Record<string, number>>
  /** The weight of the calls looked at, and of those of them that are there now, by how often they are asked. */
  readonly weight: number
  readonly warm: number
  /** Why nothing is asked now; left out: something is. */
  readonly paused?: Pause
  /** Calls a second, as it is now. */
  readonly rate: number
}

/** Reasons are of a small set; were they not, this many are told apart. */
const MAX_REASONS = 16

export class WarmTally {
  done = 0
  asked = 0
  readonly #outcomes = { stored: 0, present: 0, refused: 0, unstored: 0, failed: 0 }
  readonly #skipped: Record<string, number> = {}
  readonly #failures: Record<string, number> = {}
  #weight = 0
  #warm = 0

  add(result: WarmResult, weight: number): void {
    this.done++
    if ('skipped' in result) return count(this.#skipped, result.skipped)
    const { outcome, reason } = result
    this.#outcomes[outcome]++
    this.#weight += weight
    if (outcome === 'stored' || outcome === 'present') this.#warm += weight
    if (outcome === 'failed') count(this.#failures, reason ?? 'unknown')
  }

  progress(rest: Pick<WarmProgress, 'total' | 'paused' | 'rate'>): WarmProgress {
    return {
      done: this.done,
      asked: this.asked,
      ...this.#outcomes,
      skipped: { ...this.#skipped },
      failures: { ...this.#failures },
      weight: this.#weight,
      warm: this.#warm,
      ...rest,
    }
  }
}

function count(into: Record<string, number>, reason: string): void {
  const isKnown = reason in into || Object.keys(into).length < MAX_REASONS
  const name = isKnown ? reason : 'other'
  into[name] = (into[name] ?? 0) + 1
}

/** The result in a sentence. */
export function sentenceOf(progress: WarmProgress, pool: string | undefined, wasStopped: boolean): string {
  const { done, total, asked, stored, present, refused, unstored, failed, skipped } = progress
  const of = total === undefined || total === done ? '' : ` of ${total}`
  const skips = Object.entries(skipped)
  const parts = [
    `${stored} stored`,
    `${present} were there already`,
    ...(refused > 0 ? [`${refused} refused by the server`] : []),
    ...(unstored > 0 ? [`${unstored} answered but not kept`] : []),
    ...(failed > 0 ? [`${failed} failed (${listed(progress.failures)})`] : []),
    ...(skips.length > 0 ? [`${sum(skipped)} skipped (${listed(skipped)})`] : []),
  ]
  const where = pool === undefined ? '' : ` in the pool ${pool}`
  return `${wasStopped ? 'stopped after' : 'looked at'} ${done}${of} calls${where}, asked for ${asked}: ${parts.join(', ')}`
}

function listed(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([reason, n]) => `${n} ${reason}`)
    .join(', ')
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, n) => total + n, 0)
}
