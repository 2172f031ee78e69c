/** Backends as the page shows them: what is registered, with how their calls fare. */
import type { ShownBackend } from './shown.ts'
import type { Store } from './store.ts'

/** How good a state is. */
export type StateKind = 'good' | 'busy' | 'bad' | 'idle'

export interface BackendEntry {
  readonly pool: string
  readonly id: string
  readonly backend: ShownBackend
  readonly state: string
  readonly reason: string
  readonly inflight: number
  readonly limit: number | undefined
  readonly latencyMs: number | undefined
  readonly share: number
  readonly perSecond: number
  readonly failedPerSecond: number
}

const GOOD = new Set(['ready', 'slow start', 'full', 'slowed'])
const BAD = new Set(['unhealthy', 'ejected'])
const IDLE = new Set(['draining'])

/** Whether a state is good, or passes, or is not. */
export function kindOfState(state: string): StateKind {
  if (GOOD.has(state)) return 'good'
  if (IDLE.has(state)) return 'idle'
  return BAD.has(state) ? 'bad' : 'busy'
}

export function backendsOf(store: Store, pool: string): readonly BackendEntry[] {
  const attempts = new Map(
    store.stats?.attempts.filter((each) => each.pool === pool).map((each) => [each.backend, each]),
  )
  return (store.pools.get(pool)?.backends ?? []).map((backend) => {
    const traffic = store.backends.get(`${pool} ${backend.slot}`) ?? backend
    const { perSecond = 0, failedPerSecond = 0 } = attempts.get(backend.id) ?? {}
    // Of a backend that is not ready the registry's word counts, and it may be newer.
    const effective = backend.state === 'ready' ? traffic.effective : undefined
    const { state, reason } = effective ?? backend
    return {
      pool,
      id: backend.id,
      backend,
      state,
      reason,
      inflight: traffic.inflight,
      limit: traffic.limit,
      latencyMs: traffic.latencyMs,
      share: traffic.share ?? backend.weight,
      perSecond,
      failedPerSecond,
    }
  })
}

/** How the breaker of a tier is. */
export function breakerKind(state: string): StateKind {
  if (state === 'closed') return 'good'
  return state === 'open' ? 'bad' : 'busy'
}

export function breakerWord(state: string): string {
  return state === 'closed' ? 'in use' : state === 'open' ? 'not asked' : state
}
