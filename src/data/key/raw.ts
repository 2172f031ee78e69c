/** The digest of a body's raw bytes under a seed, which finds a stored answer before anything is parsed. */
import { createHash } from 'node:crypto'
import { type Call, header } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'
import { lastOf } from '../../lib/memo.ts'
import { Scratch } from '../../lib/scratch.ts'

const SCRATCH_BYTES = 64 * 1024
const scratch = new Scratch(SCRATCH_BYTES)
const NOTHING = new Uint8Array(0)
/** The prefix that is in the scratch now: calls in a row mostly have the same. */
let written = ''

/** The fields that decide how the body is read: the same bytes under another encoding are another request. */
export function encodingOf({ headers }: Pick<Call, 'headers'>): string {
  return ENCODING_FIELDS.map((name) => keyPart(header(headers, name))).join('\n')
}

const ENCODING_FIELDS = ['content-type', 'inference-header-content-length', 'grpc-encoding']

/** A field's value as part of a key: an empty one differs from a missing one. */
export function keyPart(value: string | undefined): string {
  return value === undefined ? '' : `=${value}`
}

/** What precedes the body in the preimage; `encoding` is printable ASCII shorter than 4 KiB, as header fields are. */
export function rawPrefix(seed: Digest, encoding: string): string {
  // A domain byte keeps raw digests apart from every canonical key; the length keeps encoding and body apart.
  return `${seed}r${encoding.length}:${encoding}`
}

export function rawDigest(prefix: string, body: Uint8Array): Digest {
  if (prefix.length + body.length <= SCRATCH_BYTES) return shortDigest(body, prefix)
  return createHash('sha256').update(prefix, 'latin1').update(body).digest('latin1') as Digest
}

/**
 * Hashing a joined buffer in one call costs half of an incremental hash for bodies of this size. The last digest is
 * remembered: a call that the memory hit does not answer needs it again at once.
 */
const shortDigest = lastOf((body: Uint8Array, prefix: string): Digest => {
  if (written !== prefix) {
    scratch.bytes.write(prefix, 0, 'latin1')
    written = prefix
  }
  scratch.bytes.set(body, prefix.length)
  return digestOf(scratch.view(prefix.length + body.length))
})

/** The same for a body in pieces, in one go and without joining a long one. */
export function digestOfPieces(prefix: string, pieces: readonly Uint8Array[], length: number): Digest {
  const [first = NOTHING] = pieces
  if (pieces.length <= 1) return rawDigest(prefix, first)
  if (prefix.length + length <= SCRATCH_BYTES) return rawDigest(prefix, Buffer.concat(pieces, length))
  const sha256 = createHash('sha256').update(prefix, 'latin1')
  for (const piece of pieces) sha256.update(piece)
  return sha256.digest('latin1') as Digest
}

/** The same in steps, for a long one. */
export function rawDigestSteps(prefix: string, body: Chunks): Generator<void, Digest> {
  return digestSteps(body.pieces(), prefix)
}
