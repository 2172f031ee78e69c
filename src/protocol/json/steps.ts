/** Computes digests of long JSON texts piece by piece, with a pause after each piece. */
import type { Digest } from '../../core/key.ts'
import type { JsonProblem } from './document.ts'
import { DocumentStream } from './stream.ts'

/** Reads a text's key, and how long its top-level arrays are, from its pieces, with a pause after each. */
export function* streamDigest(
  pieces: Iterable<Uint8Array>,
  prefix: Digest,
): Generator<void, { readonly digest: Digest | JsonProblem; readonly lengths: ReadonlyMap<string, number> }> {
  const stream = new DocumentStream(prefix)
  for (const piece of pieces) {
    if (!stream.push(piece)) break
    yield
  }
  return { digest: stream.finish(), lengths: stream.lengths }
}

/** Reads the digests of a text's top-level members, as `memberDigest` gives them, with a pause after each piece. */
export function* streamMembers(
  pieces: Iterable<Uint8Array>,
  prefix: Digest,
): Generator<void, Map<string, Digest> | JsonProblem> {
  const stream = new DocumentStream(prefix)
  for (const piece of pieces) {
    if (!stream.push(piece)) break
    yield
  }
  return stream.finishMembers()
}

/** A value without members needs no prefix. */
const NO_PREFIX = '' as Digest

/** The digest of an array's canonical bytes, from its pieces; `around` as for `DocumentStream`. */
export function* streamValue(
  pieces: Iterable<Uint8Array>,
  around: number,
): Generator<void, Digest | JsonProblem> {
  const stream = new DocumentStream(NO_PREFIX, around)
  for (const piece of pieces) {
    if (!stream.push(piece)) break
    yield
  }
  return stream.finishValue() ?? { problem: 'unparsable' }
}
