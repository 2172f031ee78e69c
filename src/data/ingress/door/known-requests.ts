/**
 * What one door has learned of the requests of one kind of client: parsed heads, and whole requests that were hits. It is valid
 * for one version of the settings.
 */
import { Generations } from '../../../lib/generations.ts'
import type { AuthLive, Client } from '../../auth/authenticator.ts'
import { KnownHeads } from '../h2/known-heads.ts'
import type { Ingress } from '../ingress.ts'
import { HeadCache } from './head-cache.ts'
import { RepeatCache } from './repeat-cache.ts'
import { VolatileFields } from './volatile.ts'

export class KnownRequests {
  readonly live: AuthLive
  readonly heads: HeadCache
  readonly repeats = new RepeatCache()
  /** The heads that came over HTTP/2. */
  readonly http2Heads: KnownHeads
  /** The volatile fields, without those that a route depends on. */
  readonly volatile: VolatileFields

  constructor(live: AuthLive, maxHeadBytes: number) {
    this.live = live
    this.heads = new HeadCache(maxHeadBytes)
    const { fields = [] } = live.auth ?? {}
    const used = new Set([...live.route.fields, ...fields])
    this.volatile = new VolatileFields(used)
    this.http2Heads = new KnownHeads(used)
  }
}

/** Kinds of clients that are remembered, twice as many at most: those with client certificates of their own. */
const MAX_KINDS = 64

/**
 * Starts anew at each change of the settings, since new routes may depend on other fields. Equal heads of clients that
 * prove something by their connection mean different things, so each kind of client has its own.
 */
export function knownUnder(live: Ingress['live'], maxHeadBytes: number): (client: Client) => KnownRequests {
  let known = new KnownRequests(live(), maxHeadBytes)
  let ofKinds = new Generations<KnownRequests>(MAX_KINDS)
  let ofClients = new WeakMap<Client, KnownRequests>()
  return (client) => {
    const now = live()
    if (known.live !== now) {
      known = new KnownRequests(now, maxHeadBytes)
      ofKinds = new Generations(MAX_KINDS)
      ofClients = new WeakMap()
    }
    if (!now.auth?.asksClients) return known
    const ofClient = ofClients.get(client) ?? ofKind(now.auth.kindOf(client), now)
    ofClients.set(client, ofClient)
    return ofClient
  }

  function ofKind(kind: string, now: AuthLive): KnownRequests {
    if (kind === '') return known
    const found = ofKinds.get(kind) ?? new KnownRequests(now, maxHeadBytes)
    ofKinds.set(kind, found)
    return found
  }
}
