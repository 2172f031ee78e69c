/** What one door knows again: heads and whole requests, for as long as the settings stand by which they were decided. */
import type { Live } from '../../route/routes.ts'
import { Heads } from './heads.ts'
import { Repeats } from './repeats.ts'
import { VolatileFields } from './volatile.ts'

export class KnownRequests {
  readonly live: Live
  readonly heads: Heads
  readonly repeats = new Repeats()
  /** Fields by which none of the routes goes. */
  readonly volatile: VolatileFields

  constructor(live: Live, maxHeadBytes: number) {
    this.live = live
    this.heads = new Heads(maxHeadBytes)
    this.volatile = new VolatileFields(live.route.fields)
  }
}
