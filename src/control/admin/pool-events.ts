/** What followers of the events are told of pools and routes. */
import type { ServerEvent } from '../../lib/sse.ts'
import { describePool } from './api.ts'
import type { AdminContext } from './contract.ts'
import type { EventHub } from './events.ts'

/** All pools and routes as they are now. */
export function presentEvents({ registry, parts }: AdminContext): ServerEvent[] {
  const all = registry.views().flatMap((view) => registry.status(view.pool) ?? [])
  return [
    ...all.map((status) => ({ event: 'pool', data: describePool(status, parts) })),
    ...parts.routes().map((route) => ({ event: 'route', data: route })),
  ]
}

/** How a pool is now. */
export function publishPool(events: EventHub, { registry, parts }: AdminContext, pool: string): void {
  const status = events.size > 0 ? registry.status(pool) : undefined
  if (status) events.publish('pool', describePool(status, parts))
}
