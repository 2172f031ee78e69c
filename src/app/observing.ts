/**
 * The observer of one thread of the data plane: it counts metrics, logs each call where the settings ask for that, and
 * reports which backends are alive.
 */
import type { Observer } from '../core/observer.ts'
import type { Clock } from '../lib/clock.ts'
import type { HandshakeOutcome } from '../lib/tls/terminator.ts'
import type { ProcessLog } from '../obs/log.ts'
import type { Metrics } from '../obs/metrics.ts'

interface ObservingParts {
  readonly metrics: Observer
  readonly log: Pick<ProcessLog, 'debug' | 'warn' | 'level'>
  readonly clock: Pick<Clock, 'now'>
  /** A backend has answered well. */
  readonly alive: (pool: string, backend: string) => void
}

/** A failure of a backend is logged this often at most, for each kind of failure. */
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
      // A backend that answers is alive, even where its renewals were missed.
      if (ending === 'ok') alive(pool, backend)
    },
    failed: (pool, backend, failure, requestId) => {
      metrics.failed(pool, backend, failure, requestId)
      const { code } = failure
      const now = clock.now()
      const what = `${pool} ${backend} ${code}`
      if (now - (loggedAt.get(what) ?? -Infinity) < FAILED_MS) return
      if (loggedAt.size > MAX_NAMES) loggedAt.clear()
      loggedAt.set(what, now)
      log.warn('backend.failed', { pool, backend, fault: code, reason: failure.logged, requestId })
    },
  }
}

/** Counts the ends of TLS handshakes at the data port, and the connections that were closed because they begin in another protocol. */
export function countConnections(metrics: Pick<Metrics, 'count'>) {
  return {
    handshake: (outcome: HandshakeOutcome) =>
      metrics.count('infergate_tls_handshakes_total', { tls: 'server.tls', outcome }),
    foreign: () => metrics.count('infergate_foreign_connections_total', {}),
  }
}

/** Calls through at most once in `everyMs` for each backend. */
export function seldom(
  { clock, everyMs }: { readonly clock: Pick<Clock, 'now'>; readonly everyMs: number },
  run: (pool: string, backend: string) => void,
): (pool: string, backend: string) => void {
  const pools = new Map<string, Map<string, number>>()
  return (pool, backend) => {
    const last = pools.get(pool) ?? new Map<string, number>()
    const now = clock.now()
    if (now - (last.get(backend) ?? -Infinity) < everyMs) return
    // Ids of removed backends would accumulate: the table is bounded.
    if (last.size > MAX_NAMES) last.clear()
    pools.set(pool, last.set(backend, now))
    run(pool, backend)
  }
}

const MAX_NAMES = 4_096
