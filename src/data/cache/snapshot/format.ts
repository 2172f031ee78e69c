/**
 * The file that process memory is kept in over a restart: a head, the records, an end.
 *
 *   magic 'igsnap' · version u16 · head's length u32 · its crc32 u32 · head (JSON; sealed, where there is a seal)
 *   record: length u32 · crc32 u32 · payload        payload: digest[32] · life f64 · meta u32 · value
 *                                      sealed:      digest[32] · the rest under the seal, by file and digest
 *   end:    0xffffffff · crc32 u32 · records f64 · bytes of the file f64
 *
 * Integers are little-endian. `life`: milliseconds that the record may still be used, from `Head.writtenAt` on; `meta`: as in
 * `record-meta.ts`; `value`: the envelope of `entry.ts`, which has a checksum of its own. Nothing in the file is believed: lengths
 * are bounded, and what is not exactly right is no record.
 */
import { crc32 } from 'node:zlib'
import type { Digest } from '../../../core/key.ts'
import type { Seal } from '../../../lib/seal.ts'

const MAGIC = Buffer.from('igsnap')
const VERSION = 1
/** Before the head: magic, version, length, checksum. */
export const LEAD_BYTES = 16
/** Ten thousand epochs with long names. */
export const MAX_HEAD_BYTES = 16 * 1024 * 1024
export const END_BYTES = 24
const END = 0xffffffff
const RECORD_HEAD = 8
const DIGEST = 32
/** Life and meta. */
const TERMS = 12

/** Records of one file have no place in another: `id` is in the seal of each. */
export interface SealedFile {
  readonly id: string
  readonly seal: Seal | undefined
}

export interface FileRecord {
  readonly digest: Digest
  readonly lifeMs: number
  readonly meta: number
  readonly value: Uint8Array
}

/** Why a file is not read, in words for the log. */
export interface UnfitFile {
  readonly unfit: string
}

export function encodeHead(head: unknown, seal: Seal | undefined): Buffer {
  const plain = Buffer.from(JSON.stringify(head))
  const body = seal ? seal.seal('head', plain) : plain
  if (body.length > MAX_HEAD_BYTES) throw new RangeError(`snapshot: a head of ${body.length} bytes`)
  const lead = Buffer.alloc(LEAD_BYTES)
  MAGIC.copy(lead)
  lead.writeUInt16LE(VERSION, 6)
  lead.writeUInt32LE(body.length, 8)
  lead.writeUInt32LE(crc32(body), 12)
  return Buffer.concat([lead, body])
}

/** The length of the head behind this lead. */
export function readLead(lead: Uint8Array): { readonly headBytes: number; readonly crc: number } | UnfitFile {
  const from = Buffer.from(lead.buffer, lead.byteOffset, lead.length)
  if (from.length < LEAD_BYTES || !from.subarray(0, 6).equals(MAGIC))
    return { unfit: 'this is no snapshot of infergate' }
  const version = from.readUInt16LE(6)
  if (version !== VERSION) return { unfit: `it has version ${version}, and this release reads ${VERSION}` }
  const headBytes = from.readUInt32LE(8)
  if (headBytes > MAX_HEAD_BYTES) return { unfit: 'its head is damaged' }
  return { headBytes, crc: from.readUInt32LE(12) }
}

export function readHead(
  body: Uint8Array,
  crc: number,
  seal: Seal | undefined,
): { readonly head: unknown } | UnfitFile {
  if (crc32(body) !== crc) return { unfit: 'its head is damaged' }
  const plain = seal ? seal.open('head', body) : body
  if (!plain) return { unfit: 'it was not sealed with a secret of this gateway' }
  try {
    return { head: JSON.parse(Buffer.from(plain).toString()) }
  } catch {
    return { unfit: seal ? 'its head is damaged' : 'it is sealed, and this gateway has no secret for it' }
  }
}

export function encodeEnd(records: number, fileBytes: number): Buffer {
  const end = Buffer.alloc(END_BYTES)
  end.writeUInt32LE(END, 0)
  end.writeDoubleLE(records, 8)
  end.writeDoubleLE(fileBytes, 16)
  end.writeUInt32LE(crc32(end.subarray(8)), 4)
  return end
}

/** The number of records of a file whose last bytes these are; undefined: it is not whole. */
export function readEnd(end: Uint8Array, fileBytes: number): number | undefined {
  const from = Buffer.from(end.buffer, end.byteOffset, end.length)
  if (from.length !== END_BYTES || from.readUInt32LE(0) !== END) return undefined
  if (from.readUInt32LE(4) !== crc32(from.subarray(8)) || from.readDoubleLE(16) !== fileBytes)
    return undefined
  return from.readDoubleLE(8)
}

/** How long a record with this value is in a file that is not sealed. */
export function recordBytes(valueBytes: number): number {
  return RECORD_HEAD + DIGEST + TERMS + valueBytes
}

/**
 * Writes a record without its checksum, and returns where it ends. `bytes`: digest and value, as they lie in the arena.
 * There is room for `recordBytes`.
 */
export function putRecord(
  into: Buffer,
  at: number,
  { bytes, lifeMs, meta }: { readonly bytes: Uint8Array; readonly lifeMs: number; readonly meta: number },
): number {
  const end = at + recordBytes(bytes.length - DIGEST)
  into.writeUInt32LE(end - at - RECORD_HEAD, at)
  into.set(bytes.subarray(0, DIGEST), at + RECORD_HEAD)
  into.writeDoubleLE(lifeMs, at + RECORD_HEAD + DIGEST)
  into.writeUInt32LE(meta, at + RECORD_HEAD + DIGEST + 8)
  into.set(bytes.subarray(DIGEST), at + RECORD_HEAD + DIGEST + TERMS)
  return end
}

/** The records that `putRecord` has written one behind the other, as they go into the file: with checksums, and sealed. */
export function finished(records: Buffer, file: SealedFile): Buffer {
  const { seal } = file
  const sealed: Buffer[] = []
  for (let at = 0; at < records.length; ) {
    const from = at + RECORD_HEAD
    const end = from + records.readUInt32LE(at)
    if (seal) sealed.push(sealedRecord(records.subarray(from, end), file, seal))
    else records.writeUInt32LE(crc32(records.subarray(from, end)), at + 4)
    at = end
  }
  return seal ? Buffer.concat(sealed) : records
}

function sealedRecord(payload: Buffer, file: SealedFile, seal: Seal): Buffer {
  const digest = payload.toString('latin1', 0, DIGEST)
  const rest = seal.seal(nameIn(file, digest), payload.subarray(DIGEST))
  const record = Buffer.allocUnsafe(RECORD_HEAD + DIGEST + rest.length)
  record.writeUInt32LE(DIGEST + rest.length, 0)
  payload.copy(record, RECORD_HEAD, 0, DIGEST)
  record.set(rest, RECORD_HEAD + DIGEST)
  record.writeUInt32LE(crc32(record.subarray(RECORD_HEAD)), 4)
  return record
}

/** The longest record of a file that a reader takes. */
export function longestRecord(maxValueBytes: number, { seal }: SealedFile): number {
  return DIGEST + TERMS + maxValueBytes + (seal?.overhead ?? 0)
}

/** What lies at `at`: a record and where it ends; how many bytes it needs; the end of the records; or nothing that is right. */
export type RecordAt =
  | { readonly record: FileRecord; readonly end: number }
  | { readonly needs: number }
  | 'end'
  | 'damaged'

export function recordAt(
  bytes: Buffer,
  at: number,
  file: SealedFile & { readonly longest: number },
): RecordAt {
  if (bytes.length - at < RECORD_HEAD) return { needs: RECORD_HEAD }
  const length = bytes.readUInt32LE(at)
  if (length === END) return 'end'
  if (length < DIGEST + TERMS || length > file.longest) return 'damaged'
  const end = at + RECORD_HEAD + length
  if (end > bytes.length) return { needs: RECORD_HEAD + length }
  const payload = bytes.subarray(at + RECORD_HEAD, end)
  if (crc32(payload) !== bytes.readUInt32LE(at + 4)) return 'damaged'
  const digest = payload.toString('latin1', 0, DIGEST) as Digest
  const rest = opened(payload.subarray(DIGEST), digest, file)
  if (!rest || rest.length < TERMS) return 'damaged'
  const lifeMs = rest.readDoubleLE(0)
  if (!Number.isFinite(lifeMs)) return 'damaged'
  return { record: { digest, lifeMs, meta: rest.readUInt32LE(8), value: rest.subarray(TERMS) }, end }
}

function opened(rest: Buffer, digest: Digest, file: SealedFile): Buffer | undefined {
  if (!file.seal) return rest
  const plain = file.seal.open(nameIn(file, digest), rest)
  return plain && Buffer.from(plain.buffer, plain.byteOffset, plain.length)
}

function nameIn({ id }: SealedFile, digest: string): string {
  return `${id} ${digest}`
}
