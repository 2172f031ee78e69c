/**
 * What one door has learned of the requests of one kind of client: parsed heads, and whole requests that were hits. It is valid
 * for one version of the settings.
 */
import type { AuthLive } from '../../auth/authenticator.ts'
import { HeadCache } from './head-cache.ts'
import { RepeatCache } from './repeat-cache.ts'
import { VolatileFields } from './volatile.ts'

export class KnownRequests {
  readonly live: AuthLive
  readonly heads: HeadCache
  readonly repeats = new RepeatCache()
  /** The volatile fields, without those that a route depends on. */
  readonly volatile: VolatileFields

  constructor(live: AuthLive, maxHeadBytes: number) {
    this.live = live
    this.heads = new HeadCache(maxHeadBytes)
    const { fields = [] } = live.auth ?? {}
    this.volatile = new VolatileFields(new Set([...live.route.fields, ...fields]))
  }
}
