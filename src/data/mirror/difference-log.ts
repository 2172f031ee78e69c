/** Tells of answers that differ in the log: one a second of each route and pool at most, and nothing of what the answers say. */
import type { Call } from '../../core/call.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Difference } from '../../protocol/difference.ts'
import type { Matched, Route } from '../route/routes.ts'

const EVERY_MS = 1_000

export class DifferenceLog {
  readonly #log: Pick<Log, 'warn'>
  readonly #clock: Pick<Clock, 'now'>
  /** By route and pool, which the settings name. */
  readonly #told = new Map<string, { at: number; since: number }>()

  constructor({ log, clock }: { readonly log: Pick<Log, 'warn'>; readonly clock: Pick<Clock, 'now'> }) {
    this.#log = log
    this.#clock = clock
  }

  tell({ call, matched, to }: DifferentCall, difference: Difference): void {
    const now = this.#clock.now()
    const of = `${to.name} ${to.pool}`
    const last = this.#told.get(of)
    if (last && now - last.at < EVERY_MS) {
      last.since++
      return
    }
    this.#told.set(of, { at: now, since: 0 })
    this.#log.warn('mirror.different', {
      route: to.name,
      pool: matched.route.pool,
      mirror: to.pool,
      ...(matched.target.model !== undefined && { model: matched.target.model }),
      requestId: call.id,
      ...difference,
      // Those that were not told of since the line before.
      ...(last && last.since > 0 && { untold: last.since }),
    })
  }
}

interface DifferentCall {
  readonly call: Pick<Call, 'id'>
  readonly matched: Matched
  readonly to: Route
}
