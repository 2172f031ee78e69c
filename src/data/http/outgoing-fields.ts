/** The fields of a call as they go to a backend, cached by the call's own list of fields, which repeats with its client. */
import { type BlockList, isIP, isIPv6 } from 'node:net'
import type { Call, RawPairs } from '../../core/call.ts'
import { forwardedRequest, type Peer } from './headers.ts'
import { withoutConditions } from './query.ts'

export type OutgoingFields = (call: Call) => RawPairs

/** The part of the live settings that decides which proxies are trusted. */
export interface ProxyTrust {
  /** Addresses of proxies whose forwarding fields are passed on. */
  readonly trusted: BlockList
  /** That of the port, for `X-Forwarded-Proto`. */
  readonly scheme: 'http' | 'https'
}

/** The fields last sent for a client's, and what they depended on. */
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

function peerOf({ peer }: Call, { trusted, scheme }: ProxyTrust): Peer {
  return {
    address: peer,
    scheme,
    trusted: isIP(peer) !== 0 && trusted.check(peer, isIPv6(peer) ? 'ipv6' : 'ipv4'),
  }
}
