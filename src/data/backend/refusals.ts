/** The errors for calls that a pool does not take. */
import { addressOf, type Backend, type PoolView, type Transport } from '../../core/backend.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Labels } from '../../core/labels.ts'
import type { BalanceStatus } from '../balance/backend-status.ts'
import type { Dropped } from '../balance/limits/queue.ts'
import { offers } from '../balance/policies/candidates.ts'
import type { PickRefusal } from '../balance/select.ts'

const SPOKEN: Readonly<Record<Transport, string>> = { http: 'calls over HTTP/1.1', grpc: 'gRPC' }

const DROPPED: Readonly<Record<Dropped, string>> = {
  full: 'its queue is full',
  wait: 'the wait would outlast the deadline',
  late: 'the deadline came before its turn',
  shed: 'it is overloaded',
}

export interface DroppedCall {
  readonly why: Dropped
  /** When there should be room again. */
  readonly retryAfterMs: number
  /** The call waited by the share of a tenant, and others may have more of it left. */
  readonly ofTenant: boolean
}

export function dropped(pool: string, { why, retryAfterMs, ofTenant }: DroppedCall): GatewayError {
  return new GatewayError('overloaded', `pool "${pool}" takes no more calls: ${DROPPED[why]}`, {
    retryAfterSeconds: Number.isFinite(retryAfterMs) ? Math.max(1, Math.ceil(retryAfterMs / 1000)) : 1,
    unsent: true,
    ...(ofTenant && why !== 'late' ? { ofTenant } : {}),
  })
}

interface RefusedPick {
  readonly why: PickRefusal
  readonly model: string | undefined
  readonly version: string | undefined
  readonly labels?: Labels | undefined
  readonly transport?: Transport | undefined
  readonly status: (slot: number) => BalanceStatus | undefined
}

export function refused(
  { pool, backends }: PoolView,
  { why, model, version, labels, transport, status }: RefusedPick,
): GatewayError {
  const serves = (backend: Backend) => transport === undefined || addressOf(backend, transport) !== undefined
  if (why === 'unserved' && transport && backends.length > 0 && !backends.some(serves))
    return new GatewayError(
      'noTransport',
      `no backend of pool "${pool}" takes ${SPOKEN[transport]} (pools.*.backends[].${transport === 'grpc' ? 'grpc' : 'url'})`,
    )
  if (
    why === 'unserved' &&
    labels &&
    backends.some((backend) => serves(backend) && offers(backend, model, version))
  )
    return new GatewayError('noBackend', `pool "${pool}" has no backend for this tenant`, {
      retryAfterSeconds: 1,
      unsent: true,
    })
  const offered = [
    ...new Set(backends.filter(serves).flatMap(({ models }) => models.map(({ name }) => name))),
  ]
  if (why === 'unserved' && backends.length > 0) {
    const requested = version === undefined ? `model "${model}"` : `version ${version} of model "${model}"`
    return new GatewayError(
      'unknownModel',
      `no backend of pool "${pool}" serves ${requested} (it serves ${offered.join(', ')})`,
    )
  }
  const states = backends.map((backend) => {
    const { state } = (backend.state === 'ready' && status(backend.slot)) || backend
    return state
  })
  return new GatewayError('noBackend', `pool "${pool}" has no backend to send this to (${counted(states)})`, {
    retryAfterSeconds: 1,
    unsent: true,
  })
}

/** Ids and reasons hold addresses, which callers must not see; `infergate backends list` shows them. */
function counted(states: readonly string[]): string {
  if (states.length === 0) return 'none has registered yet'
  const counts = Map.groupBy(states, (state) => state)
  return [...counts].map(([state, all]) => `${all.length} ${state}`).join(', ')
}

/** No backend serves the pool, and none has failed: it has been scaled to zero, or backends are starting. */
export function isStarting({ backends }: PoolView): boolean {
  return backends.every(({ state }) => state === 'warming' || state === 'draining')
}
