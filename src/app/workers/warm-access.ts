/** What warming needs of the workers: the first one asks, and all have samples. */
import type { SampleAccess } from '../../control/warm/source.ts'
import type { Backend } from '../../core/backend.ts'
import type { AskAgain } from '../../data/warm/ask-again.ts'
import type { DataPlane } from '../data-plane.ts'
import type { Threads } from './threads.ts'

export interface WarmAccess extends SampleAccess {
  readonly find: AskAgain['find']
  /** Of the first worker. */
  sizes(): ReturnType<DataPlane['samples']['sizes']>
  /** The backends of a pool; empty where there is no such pool. */
  backends(pool: string): readonly Backend[]
}

export function warmAccess({ pools, samples, askAgain }: DataPlane, threads: Threads): WarmAccess {
  return {
    find: (request, target) => askAgain.find(request, target),
    sizes: () => samples.sizes(),
    backends: (pool) => pools.find(pool)?.view.backends ?? [],
    async sampled(route, most) {
      const others = await threads.sampled(route, most)
      const own = { worker: 0, calls: samples.best(route, most) }
      return [own, ...[...others].map(([worker, calls]) => ({ worker, calls }))]
    },
    async sampledRequests(worker, route, ids) {
      return worker === 0 ? samples.requests(route, ids) : threads.sampledRequests(worker, route, ids)
    },
  }
}
