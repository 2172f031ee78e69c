/** A call's fields as they go to a backend; kept with those of the call, which come again with its client's next. */
import { isIP, isIPv6 } from 'node:net'
import type { Call, RawPairs } from '../core/call.ts'
import { forwardedRequest, type Peer } from '../data/http/headers.ts'
import { withoutConditions } from '../data/http/query.ts'
import type { LiveSettings } from './live.ts'

export type OutgoingFields = (call: Call) => RawPairs

/** Fields as they were sent for a client's. */
interface Sent {
  readonly live: LiveSettings
  readonly peer: string
  readonly method: string
  readonly fields: RawPairs
}

export function createOutgoing(settings: () => LiveSettings): OutgoingFields {
  const sent = new WeakMap<RawPairs, Sent>()
  return (call) => {
    const { headers, host, peer, method } = call
    const known = sent.get(headers)
    const live = settings()
    if (known && known.live === live && known.peer === peer && known.method === method) return known.fields
    const fields = withoutConditions(call, forwardedRequest(headers, host, peerOf(call, live)))
    sent.set(headers, { live, peer, method, fields })
    return fields
  }
}

function peerOf({ peer }: Call, { trusted }: LiveSettings): Peer {
  return {
    address: peer,
    scheme: 'http',
    trusted: isIP(peer) !== 0 && trusted.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4'),
  }
}
