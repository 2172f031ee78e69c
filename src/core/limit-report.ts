/** What gateways tell each other of the limits of tenants, as plain data. An account is two lanes of a hash: no name is in it. */

export interface LimitReport {
  /**
   * Fours of numbers: the two lanes of an account, the milliseconds of its rate that were used since the last report, and those
   * that are owed to its bucket.
   */
  readonly used: readonly number[]
  /** Threes: the two lanes, and how many requests run. */
  readonly running: readonly number[]
  /** Threes of the two lanes of an account at a pool, and the rows that were served of it since the last report, by weight. */
  readonly served: readonly number[]
  /** Sevens of who waits for a pool, as `PeerDemands.take` has them. */
  readonly waiting: readonly number[]
}

/** What is told of limits alone. */
export type LimitUse = Pick<LimitReport, 'used' | 'running'>

/** The report of another gateway. */
export interface PeerReport extends LimitReport {
  readonly gateway: string
}

/** What a gateway has counted against a quota and not yet told the store. */
export interface QuotaUse {
  readonly high: number
  readonly low: number
  /** The period, as `2026-11-30` or `2026-11`. */
  readonly period: string
  /** Its end, in Unix milliseconds. */
  readonly until: number
  readonly used: number
  /** What all had used as far as this gateway knows: if the store has lost its data, it has that much again. */
  readonly known: number
}

/** A report as text; what is none, or was spoiled, is empty. */
export function readReport(text: string): LimitReport {
  try {
    const { used, running, served, waiting } = Object(JSON.parse(text)) as Partial<
      Record<keyof LimitReport, unknown>
    >
    return {
      used: groups(used, 4),
      running: groups(running, 3),
      served: groups(served, 3),
      waiting: groups(waiting, 7),
    }
  } catch {
    return { used: [], running: [], served: [], waiting: [] }
  }
}

/** The list, if it is one of accounts with so many numbers each; otherwise an empty one. */
function groups(value: unknown, size: number): readonly number[] {
  if (!Array.isArray(value) || value.length % size !== 0) return []
  const isSound = value.every((each, i) =>
    i % size < 2 ? Number.isInteger(each) : Number.isFinite(each) && each >= 0,
  )
  return isSound ? (value as number[]) : []
}
