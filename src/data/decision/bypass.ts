/** Decides from the head alone whether a call bypasses the cache, and why, in a word for Cache-Status. */
import { type Call, header, isWhole } from '../../core/call.ts'
import type { Directives } from '../cache/directives.ts'
import { isOwnCondition } from '../http/query.ts'
import { meaningOf } from '../key/meaning.ts'
import { isHttpCached, isKept, keepable, type Matched } from '../route/routes.ts'

export function bypassReason(
  call: Pick<Call, 'method' | 'target' | 'headers' | 'body' | 'isUpgrade'>,
  matched: Matched,
  directives: Directives,
): string | undefined {
  const unkept = routeReason(matched)
  if (unkept !== undefined) return unkept
  if (directives.noCache && directives.onlyIfCached) return 'no-cache, only-if-cached'
  if (directives.noCache && directives.noStore) return 'no-cache, no-store'
  if (!isKept(call.method)) return call.method
  if (call.isUpgrade) return 'upgrade'
  if (!isWhole(call.body)) return 'streamed'
  const { unkeepable } = meaningOf(call.headers)
  if (unkeepable !== undefined) return unkeepable
  const coding = header(call.headers, 'content-encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'identity') return 'encoded'
  const isRead = call.method !== 'POST' && isHttpCached(call, matched)
  for (const name of isRead ? READ_CONDITIONS : CONDITIONS)
    if (header(call.headers, name) !== undefined && !isOwnCondition(call, name)) return name
  return undefined
}

/** Why the route or the dialect keeps its calls out of the cache, whatever their fields are. */
function routeReason(matched: Matched): string | undefined {
  const { route, protocol, target } = matched
  if (!route.cache) return 'not enabled'
  if (!keepable(matched)) return target.verb === 'explain' ? 'explanation' : 'not a prediction'
  return protocol.needsVary && route.cache.vary === undefined ? 'vary not written' : undefined
}

// Each asks for something other than the plain answer, and only plain answers are stored.
const CONDITIONS = [
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
]
// HTTP's own cache evaluates the other conditions against its stored answers.
const READ_CONDITIONS = ['if-match', 'if-unmodified-since']
