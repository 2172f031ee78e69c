/**
 * Least request: the backend with the fewest calls running for its weight. A full scan is exact for one gateway, but many
 * gateways that all see the same idle backend would all send there at once; `p2c` does not.
 */

import { type LoadTable, outstandingOf } from '../table.ts'
import type { Policy, PolicyContext } from './policy.ts'

/** In larger pools, this many neighbours from a random place on are scanned: near enough, and in bounded time. */
const MOST_SCANNED = 128

/**
 * The slot with the lowest `(load + 1) / share`. Where the best is idle, every idle slot is as good, and one is drawn in
 * proportion to their shares: otherwise the heaviest would get every call of a quiet hour. Ties are broken at random and
 * never by place, which would make the first backend the busiest.
 */
export function leastLoaded(context: PolicyContext, slots: Int32Array, count: number): number {
  const { table, random } = context
  const scanned = Math.min(count, MOST_SCANNED)
  const start = count > scanned ? Math.floor(random() * (count - scanned + 1)) : 0
  let bestScore = Infinity
  let ties = 0
  let idleScore = Infinity
  let idleShare = 0
  for (let at = start; at < start + scanned; at++) {
    const slot = slots[at] ?? 0
    const load = outstandingOf(table, slot)
    const part = shareOf(table, slot)
    const score = (load + 1) / part
    if (load === 0) {
      idleShare += part
      if (score < idleScore) idleScore = score
    } else if (score < bestScore) {
      bestScore = score
      ties = 1
    } else if (score === bestScore) ties++
  }
  // One random number decides, in a second pass: drawing one for each tie costs more than the pass.
  const isIdle = idleShare > 0 && idleScore <= bestScore
  let left = random() * (isIdle ? idleShare : ties)
  let chosen = slots[start] ?? 0
  for (let at = start; at < start + scanned && left >= 0; at++) {
    const slot = slots[at] ?? 0
    const load = outstandingOf(table, slot)
    const part = shareOf(table, slot)
    if (isIdle ? load > 0 : load === 0 || (load + 1) / part !== bestScore) continue
    chosen = slot
    left -= isIdle ? part : 1
  }
  return chosen
}

function shareOf(table: LoadTable, slot: number): number {
  return table.share[slot] ?? 1
}

export function leastRequest(context: PolicyContext): Policy {
  return { name: 'least-request', pick: (slots, count) => leastLoaded(context, slots, count) }
}
