/** A call's fields as they go to a backend; kept with those of the call, which come again with its client's next. */
import { type BlockList, isIP, isIPv6 } from 'node:net'
import type { Call, RawPairs } from '../../core/call.ts'
import { forwardedRequest, type Peer } from './headers.ts'
import { withoutConditions } from './query.ts'

export type OutgoingFields = (call: Call) => RawPairs

/** Of the settings that may change while calls run. */
export interface ProxyTrust {
  /** Addresses of proxies whose word about their client is passed on. */
  readonly trusted: BlockList
}

/** Fields as they were sent for a client's. */
interface Sent {
  readonly live: ProxyTrust
  readonly peer: string
  readonly method: string
  readonly fields: RawPairs
}

export function createOutgoing(settings: () => ProxyTrust): OutgoingFields {
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

function peerOf({ peer }: Call, { trusted }: ProxyTrust): Peer {
  return {
    address: peer,
    scheme: 'http',
    trusted: isIP(peer) !== 0 && trusted.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4'),
  }
}
