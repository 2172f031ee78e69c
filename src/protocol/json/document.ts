/**
 * Computes the key of a whole JSON body: a digest over the digests of its top-level members, sorted by key, or that of its
 * only member. Each member is digested by itself, so that a body need not be copied to sort its members, and so that
 * a body that is read in pieces has the same key.
 */
import { createHash, hash } from 'node:crypto'
import type { Digest } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'
import { Preimage, SpanHasher } from '../preimage.ts'
import { canonicalBytes } from './canonical.ts'
import { Cursor, type ScanProblem } from './scan.ts'
import { type Span } from './span.ts'

export interface JsonProblem {
  readonly problem: ScanProblem
}

/** Digest of one value's canonical bytes. */
export function valueDigest(bytes: Uint8Array, span: Span): Digest | JsonProblem {
  const canonical = canonicalBytes(bytes, span)
  return typeof canonical === 'string'
    ? { problem: canonical }
    : (hash('sha256', canonical, 'latin1') as Digest)
}

/** What a member's digest covers before the canonical bytes of its value. */
export function memberPrefix(prefix: Digest, key: string): Digest {
  const known = membersOf(prefix)
  const before = known.get(key)
  if (before !== undefined) return before
  const digest = new Preimage().latin1(prefix).text('member').latin1(key).digest()
  if (known.size >= MAX_KNOWN) known.clear()
  if (key.length <= MAX_KNOWN) known.set(key, digest)
  return digest
}

/** Most calls have the same prefix, and the same members, as the one before. */
const membersOf = lastOf((_prefix: Digest) => new Map<string, Digest>())
/** The most members that are remembered, and the longest name. */
const MAX_KNOWN = 64

/** Longer values are hashed in place, and not copied behind their prefix. */
const COPIED_BYTES = 64 << 10

/** Digest of a member of an object. */
export function memberDigest(
  prefix: Digest,
  body: Uint8Array,
  { key, span }: ObjectMember,
): Digest | JsonProblem {
  const before = memberPrefix(prefix, key)
  if (span.end - span.start <= COPIED_BYTES) return new SpanHasher(before).span(body, span)
  const canonical = canonicalBytes(body, span)
  if (typeof canonical === 'string') return { problem: canonical }
  return createHash('sha256').update(before, 'latin1').update(canonical).digest('latin1') as Digest
}

/** Key of an object from its members' digests. Each digest covers the member's name, so that of an only member is the key. */
export function objectDigest(prefix: Digest, members: ReadonlyMap<string, Digest>): Digest {
  const [only] = members.values()
  if (only !== undefined && members.size === 1) return only
  const preimage = new Preimage().latin1(prefix).text('object').number(members.size)
  for (const key of [...members.keys()].sort(byBytes)) preimage.latin1(members.get(key) as Digest)
  return preimage.digest()
}

/** Key of a body that is no object. */
export function scalarDigest(prefix: Digest, value: Digest): Digest {
  return new Preimage().latin1(prefix).text('value').latin1(value).digest()
}

/** Compares two strings of bytes. */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Walks over the value of a top-level member; false on a problem. */
export type MemberVisitor = (cursor: Cursor, key: string) => boolean

const skip: MemberVisitor = (cursor) => cursor.skip()

/** Key of a whole body; `visit` may look at its members in passing. */
export function documentDigest(prefix: Digest, body: Uint8Array, visit = skip): Digest | JsonProblem {
  const cursor = new Cursor(body)
  const members: ObjectMember[] = []
  const isObject = cursor.peek() === 0x7b
  const keep = (key: string, walk: MemberVisitor) => {
    const start = (cursor.peek(), cursor.pos)
    if (!walk(cursor, key)) return false
    members.push({ key, span: cursor.span(start) })
    return true
  }
  const read = isObject ? cursor.members((key) => keep(key, visit)) : keep('', skip)
  if (!read || !cursor.finish()) return { problem: cursor.problem ?? 'unparsable' }
  if (isObject) return membersDigest(prefix, body, members)
  const digest = valueDigest(body, (members[0] as ObjectMember).span)
  return typeof digest === 'string' ? scalarDigest(prefix, digest) : digest
}

/** A member of an object, by its canonical key. */
export interface ObjectMember {
  readonly key: string
  readonly span: Span
}

/** Key of an object whose members have been found, in any order. */
export function membersDigest(
  prefix: Digest,
  body: Uint8Array,
  members: readonly ObjectMember[],
): Digest | JsonProblem {
  const [only] = members
  if (only && members.length === 1) return memberDigest(prefix, body, only)
  const digests = new Map<string, Digest>()
  for (const member of members) {
    const digest = memberDigest(prefix, body, member)
    if (typeof digest !== 'string') return digest
    digests.set(member.key, digest)
  }
  return objectDigest(prefix, digests)
}
