/** What one door knows again: heads and whole requests, for as long as the settings stand by which they were decided. */
import type { Live } from '../../route/routes.ts'
import { HeadCache } from './head-cache.ts'
import { RepeatCache } from './repeat-cache.ts'
import { VolatileFields } from './volatile.ts'

export class KnownRequests {
  readonly live: Live
  readonly heads: HeadCache
  readonly repeats = new RepeatCache()
  /** Fields by which none of the routes goes. */
  readonly volatile: VolatileFields

  constructor(live: Live, maxHeadBytes: number) {
    this.live = live
    this.heads = new HeadCache(maxHeadBytes)
    this.volatile = new VolatileFields(live.route.fields)
  }
}
