/**
 * The whole of a JSON body as one key: a digest over its top-level members' digests, sorted by key. Members are
 * digested one by one so that no body has to be copied because its members lie in another order, and so that a
 * body too long to be joined has the same key as when it is short.
 */
import { hash } from 'node:crypto'
import type { Digest } from '../core/key.ts'
import { canonicalBytes } from './json-canonical.ts'
import { Cursor, type ScanProblem, type Span } from './json-scan.ts'
import { Preimage } from './preimage.ts'

export interface Problem {
  readonly problem: ScanProblem
}

/** Digest of one value's canonical bytes. */
export function valueDigest(bytes: Uint8Array, span: Span): Digest | Problem {
  const canonical = canonicalBytes(bytes, span)
  return typeof canonical === 'string'
    ? { problem: canonical }
    : (hash('sha256', canonical, 'latin1') as Digest)
}

/** Key of an object from its members' digests. */
export function objectDigest(prefix: Digest, members: ReadonlyMap<string, Digest>): Digest {
  const preimage = new Preimage().latin1(prefix).text('object').number(members.size)
  const keys = members.size > 1 ? [...members.keys()].sort(byBytes) : members.keys()
  for (const key of keys) {
    preimage.latin1(key).latin1(members.get(key) as Digest)
  }
  return preimage.digest()
}

/** Key of a body that is no object. */
export function scalarDigest(prefix: Digest, value: Digest): Digest {
  return new Preimage().latin1(prefix).text('value').latin1(value).digest()
}

/** Order of two strings of bytes. */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Key of a whole body that nothing else needs to be known of. */
export function documentDigest(prefix: Digest, body: Uint8Array): Digest | Problem {
  const cursor = new Cursor(body)
  const members: Member[] = []
  const isObject = cursor.peek() === 0x7b
  const read = isObject ? cursor.members((key) => keep(members, key, cursor)) : keep(members, '', cursor)
  if (!read || !cursor.finish()) return { problem: cursor.problem ?? 'unparsable' }
  if (isObject) return membersDigest(prefix, body, members)
  const digest = valueDigest(body, (members[0] as Member).span)
  return typeof digest === 'string' ? scalarDigest(prefix, digest) : digest
}

/** A member of an object, by its canonical key. */
export interface Member {
  readonly key: string
  readonly span: Span
}

/** Key of an object whose members have been found, in any order. */
export function membersDigest(
  prefix: Digest,
  body: Uint8Array,
  members: readonly Member[],
): Digest | Problem {
  const digests = new Map<string, Digest>()
  for (const { key, span } of members) {
    const digest = valueDigest(body, span)
    if (typeof digest !== 'string') return digest
    digests.set(key, digest)
  }
  return objectDigest(prefix, digests)
}

function keep(members: Member[], key: string, cursor: Cursor): boolean {
  const span = cursor.value()
  if (span) members.push({ key, span })
  return span !== undefined
}
