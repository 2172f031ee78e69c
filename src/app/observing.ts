/** What a thread of the data plane does with what it observes: metrics, a log line a call where asked for, proof of life. */
import type { Observer } from '../core/observer.ts'
import type { Clock } from '../lib/clock.ts'
import type { ProcessLog } from '../obs/log.ts'

interface Parts {
  readonly metrics: Observer
  readonly log: Pick<ProcessLog, 'debug' | 'level'>
  /** A backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
}

export function observing({ metrics, log, alive }: Parts): Observer {
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
