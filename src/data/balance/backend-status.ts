/** The status of a ready backend as selection sees it, for people: a word and its reason. */
import type { Outliers } from './outliers/outlier.ts'
import type { Pauses } from './pauses.ts'
import { hasRoom, type LoadTable, loadOf } from './table.ts'

export interface BalanceStatus {
  readonly state: 'on trial' | 'ejected' | 'paused' | 'slow start' | 'full' | 'slowed'
  readonly reason: string
}

export interface BackendStatusParts {
  readonly table: LoadTable
  readonly outliers: Outliers | undefined
  readonly pauses: Pauses
}

/** Undefined: the backend gets its whole share. */
export function backendStatus(
  { table, outliers, pauses }: BackendStatusParts,
  slot: number,
  now: number,
): BalanceStatus | undefined {
  const seconds = (until: number) => `${Math.max(1, Math.ceil((until - now) / 1000))} s`
  if (outliers?.isHalfOpen(slot)) {
    return { state: 'on trial', reason: 'was ejected; a few calls find out whether it is well again' }
  }
  if (outliers?.isRoutable(slot) === false) {
    const until = outliers.ejectedUntil(slot) ?? now
    return { state: 'ejected', reason: `${outliers.ejectionReason(slot)}; tried again in ${seconds(until)}` }
  }
  if (pauses.has(slot)) {
    return {
      state: 'paused',
      reason: `asked to be left alone (Retry-After) for ${seconds(pauses.until(slot))} more`,
    }
  }
  const percent = (part: number) => `${Math.round(part * 100)} % of its share`
  const ramp = table.ramp[slot] ?? 1
  if (ramp < 1) return { state: 'slow start', reason: `has just become ready: ${percent(ramp)}` }
  if (!hasRoom(table, slot)) {
    return { state: 'full', reason: `runs ${loadOf(table, slot)} calls; its limit is ${table.limit[slot]}` }
  }
  const handicap = table.handicap[slot] ?? 1
  return handicap < 1
    ? { state: 'slowed', reason: `slower than the others: ${percent(handicap)}` }
    : undefined
}
