/** Opens what the data plane needs before it can be built: shared memory, the cache, the snapshot of memory. */
import { EventLoopLag } from '../../lib/event-loop-lag.ts'
import { openCache } from '../cache.ts'
import { checkFree } from '../ports.ts'
import { snapshotsOf } from '../snapshot/snapshots-of.ts'
import { DataPlanes } from './data-planes.ts'
import type { DataPlanesParts } from './data-planes-parts.ts'
import { allocateState, shareOf } from './shared-state.ts'

export type { DataPlanes }

export async function openDataPlanes(parts: DataPlanesParts): Promise<DataPlanes> {
  const { settings, workers, inherited, tls, clock, log, metrics } = parts
  const { listen, reusePort } = settings.server
  if (workers > 1 && !inherited && !reusePort) await checkFree(listen)
  const shared = allocateState(settings, workers, clock)
  const share = shareOf(shared, { worker: 0, settings, clock })
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  const stalled = (now: number) => eventLoopLag.total(now)
  const customParts = parts.parts?.parts ?? {}
  const memory = share.memory
  const opening = snapshotsOf({ ...parts, memory })
  const cache = await openCache(settings, {
    clock,
    log,
    observer: metrics,
    memory,
    stalled,
    tls,
    customParts,
  })
  const snapshots = await opening
  return new DataPlanes({ ...parts, customParts, shared, share, cache, eventLoopLag, snapshots })
}
