/** The caches of one door: parsed heads, and whole requests that were hits. They are valid for one version of the settings. */
import type { Live } from '../../route/routes.ts'
import { HeadCache } from './head-cache.ts'
import { RepeatCache } from './repeat-cache.ts'
import { VolatileFields } from './volatile.ts'

export class KnownRequests {
  readonly live: Live
  readonly heads: HeadCache
  readonly repeats = new RepeatCache()
  /** The volatile fields, without those that a route depends on. */
  readonly volatile: VolatileFields

  constructor(live: Live, maxHeadBytes: number) {
    this.live = live
    this.heads = new HeadCache(maxHeadBytes)
    this.volatile = new VolatileFields(live.route.fields)
  }
}
