/** What a thread of the data plane does with what it observes: metrics, a log line a call where asked for, proof of life. */
import type { Observer } from '../core/observer.ts'
import type { Clock } from '../lib/clock.ts'
import type { ProcessLog } from '../obs/log.ts'

interface ObservingParts {
  readonly metrics: Observer
  readonly log: Pick<ProcessLog, 'debug' | 'warn' | 'level'>
  readonly clock: Pick<Clock, 'now'>
  /** A backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
}

/** Why a backend fails is said so often at most, for each way in which it does. */
const FAILED_MS = 10_000

export function observing({ metrics, log, alive, clock }: ObservingParts): Observer {
  const loggedAt = new Map<string, number>()
  return {
    ...metrics,
    answered: (call) => {
      metrics.answered(call)
      if (log.level === 'debug') log.debug('call.answered', { ...call })
    },
    attempted: (pool, backend, ending, ms) => {
      metrics.attempted(pool, backend, ending, ms)
      // Who answers is alive, whatever became of its renewals.
      if (ending === 'ok') alive(pool, backend)
    },
    failed: (pool, backend, failure) => {
      metrics.failed(pool, backend, failure)
      const { code } = failure
      const now = clock.now()
      const what = `${pool} ${backend} ${code}`
      if (now - (loggedAt.get(what) ?? -Infinity) < FAILED_MS) return
      if (loggedAt.size > MAX_NAMES) loggedAt.clear()
      loggedAt.set(what, now)
      log.warn('backend.failed', { pool, backend, fault: code, reason: failure.logged })
    },
  }
}

/** At most once in `everyMs` for each backend. */
export function seldom(
  { clock, everyMs }: { readonly clock: Pick<Clock, 'now'>; readonly everyMs: number },
  run: (pool: string, backend: string) => void,
): (pool: string, backend: string) => void {
  const pools = new Map<string, Map<string, number>>()
  return (pool, backend) => {
    const last = pools.get(pool) ?? new Map<string, number>()
    const now = clock.now()
    if (now - (last.get(backend) ?? -Infinity) < everyMs) return
    // Backends come and go: what is kept of those that are gone is bounded.
    if (last.size > MAX_NAMES) last.clear()
    pools.set(pool, last.set(backend, now))
    run(pool, backend)
  }
}

const MAX_NAMES = 4_096
