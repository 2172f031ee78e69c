/** The digest of a body's raw bytes under a seed: finds a ready answer before anything is parsed. */
import { createHash } from 'node:crypto'
import { type Call, header } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import { type Digest, digestOf, digestSteps } from '../../core/key.ts'

const SCRATCH_BYTES = 64 * 1024
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

/** What decides how the bytes are read: the same bytes under another encoding are another request. */
export function encodingOf({ headers }: Call): string {
  return `${header(headers, 'content-type') ?? ''}\n${header(headers, 'inference-header-content-length') ?? ''}`
}

/** `encoding` is printable ASCII and short of 4 KiB, as header fields are. */
export function rawDigest(seed: Digest, encoding: string, body: Uint8Array): Digest {
  const prefix = prefixOf(seed, encoding)
  const size = prefix.length + body.length
  if (size > SCRATCH_BYTES)
    return createHash('sha256').update(prefix, 'latin1').update(body).digest('latin1') as Digest
  // One-shot hashing of a joined buffer costs half of an incremental hash for bodies of this size.
  scratch.write(prefix, 0, 'latin1')
  scratch.set(body, prefix.length)
  return digestOf(scratch.subarray(0, size))
}

/** The same for a body in pieces. */
export function rawDigestSteps(seed: Digest, encoding: string, body: Chunks): Generator<void, Digest> {
  return digestSteps(body.pieces(), prefixOf(seed, encoding))
}

/** A domain byte keeps raw digests apart from every canonical key; the length keeps encoding and body apart. */
function prefixOf(seed: Digest, encoding: string): string {
  return `${seed}r${encoding.length}:${encoding}`
}
