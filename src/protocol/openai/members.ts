/** What keys cover of a request: every member of its body but those that only say how, for whom and how urgently it is served. */
import type { Call } from '../../core/call.ts'
import { header } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'
import { type JsonProblem, memberDigest, type ObjectMember } from '../json/document.ts'
import { Cursor } from '../json/scan.ts'
import { CANONICAL } from '../json/span.ts'
import { Preimage } from '../preimage.ts'
import type { Bypass } from '../protocol.ts'

/** Members that no answer depends on. Whatever is not in this list is in the key: an unknown member may change the answer. */
const DELIVERY: ReadonlySet<string> = new Set([
  'user',
  'safety_identifier',
  'metadata',
  'prompt_cache_key',
  'prompt_cache_retention',
  'service_tier',
  'priority',
  'request_id',
])

export function isDelivery(key: string): boolean {
  return DELIVERY.has(key)
}

/** Why no body of the call can be read; undefined: its bytes are JSON, or should be. */
export function unreadable({ headers }: Pick<Call, 'headers'>): Bypass | undefined {
  const encoding = header(headers, 'content-encoding')
  return encoding === undefined || encoding === 'identity' ? undefined : { bypass: 'content-encoding' }
}

/** What all keys of a call cover besides its body: servers may answer otherwise at another path, or to a query. */
export function callPrefix({ path, query }: Pick<Call, 'path' | 'query'>, seed: Digest): Digest {
  return prefixOf(seed, path, query)
}

const prefixOf = lastOf((seed: Digest, path: string, query: string) =>
  new Preimage().latin1(seed).text('openai').text(path).text(query).digest(),
)

/** Longer values are mostly the input, which is another each time. */
const MAX_KNOWN_BYTES = 64
const MAX_KNOWN = 256

const knownOf = lastOf((_prefix: Digest) => new Map<string, Digest>())

/** The digest of a member. Those of short ones, such as the model, are remembered: a look-up is cheaper than a digest. */
export function quickDigest(prefix: Digest, body: Uint8Array, member: ObjectMember): Digest | JsonProblem {
  const { key, span } = member
  if (span.spelling !== CANONICAL || span.end - span.start > MAX_KNOWN_BYTES)
    return memberDigest(prefix, body, member)
  const known = knownOf(prefix)
  const text = `${key.length}:${key}${latin1(body, span.start, span.end)}`
  const found = known.get(text)
  if (found !== undefined) return found
  const digest = memberDigest(prefix, body, member)
  if (typeof digest !== 'string') return digest
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(text, digest)
  return digest
}

export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

/** The members of a body, which must be an object; or why it cannot be read. */
export function readMembers(body: Uint8Array): readonly ObjectMember[] | Bypass {
  const cursor = new Cursor(body)
  const members: ObjectMember[] = []
  const read = cursor.members((key) => {
    const start = (cursor.peek(), cursor.pos)
    if (!cursor.skip()) return false
    members.push({ key, span: cursor.span(start) })
    return true
  })
  return read && cursor.finish() ? members : { bypass: cursor.problem ?? 'unparsable' }
}
