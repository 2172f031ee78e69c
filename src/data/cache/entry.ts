/**
 * An entry, which is one cached answer, and its envelope: the entry as bytes, the same in process memory and in the shared
 * tiers.
 *
 * A shared tier cannot be trusted: it may return half a value, another key's value, or one that another release wrote. So
 * every length is bounded, the envelope contains the whole digest to compare, and ends with a CRC-32. Bytes that are not
 * exactly right decode to undefined, which is a miss.
 *
 *   magic 'ig' · schema · flags · digest[32] · status u16 · unused u8 · form u8 · lengths of version, unused, headers,
 *   frame, body u32 each · createdAt, ttlMs, swrMs, sieMs, costMs f64 each · version · unused · headers ·
 *   frame · body · trailers and their length u32, where there are any · crc32 u32
 *
 * Integers are little-endian. The unused fields held the tags in earlier releases. They are written as zeros and skipped, so
 * that those releases and this one read each other's entries. A cost that is no duration is read as unknown.
 */
import { crc32 } from 'node:zlib'
import type { RawPairs } from '../../core/call.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import { lastOf } from '../../lib/memo.ts'
import { Scratch } from '../../lib/scratch.ts'
import { areFields, packedSize, packStrings, unpackStrings } from './packed-fields.ts'

export interface Entry {
  readonly digest: Digest
  /** A whole reply, or the answer to one row, whose `frame` names what the rows of a reply share. */
  readonly kind: 'reply' | 'row'
  readonly status: number
  readonly headers: RawPairs
  readonly body: Uint8Array
  readonly frame?: Uint8Array | undefined
  /** Fields that follow the body; at least one. */
  readonly trailers?: RawPairs | undefined
  /** Wall milliseconds at which the backend's answer was complete. */
  readonly createdAt: number
  readonly ttlMs: number
  /** How long after `ttlMs` it may be served while it is revalidated (RFC 5861). */
  readonly swrMs: number
  /** How long after `ttlMs` it may be served because the backends fail (RFC 5861). */
  readonly sieMs: number
  /** Deployment token or resolved version of the model that answered; empty where there is none. */
  readonly version: string
  /** An error that is stored on purpose (negative caching). */
  readonly negative: boolean
  /** Backend milliseconds that it took, which a hit saves. Left out, or 0: unknown. */
  readonly costMs?: number
  /** `Plan.form` of the call that it answered. Left out: 0. */
  readonly form?: number
}

export const MAX_HEADER_BYTES = 64 * 1024

const SCHEMA = 1
const FIXED = 100
const TRAILER = 4
const LENGTH = 4
/** The CRC-32 of any bytes followed by their own CRC-32, little-endian. */
const RESIDUE = 0x2144df1c
const FLAG_ROW = 1
const FLAG_NEGATIVE = 2
const FLAG_FRAME = 4
/** Releases that do not know this flag read such an entry as a miss. */
const FLAG_TRAILERS = 8
const FLAGS = 15
const MAX_TEXT = 0xffff

const scratch = new Scratch(64 << 10)

/**
 * The envelope of an entry. `isPassing`: the result may lie in a scratch buffer, which the next call overwrites.
 * Throws RangeError where a bound is broken, such as headers over 64 KiB.
 */
export function encode(entry: Entry, isPassing = false): Buffer {
  if (entry.digest.length !== 32) throw new RangeError('entry: a digest has 32 bytes')
  const { frame = EMPTY, body } = entry
  const version = Buffer.byteLength(entry.version)
  const fields = packed(entry.headers)
  const headers = fields.length
  if (version > MAX_TEXT) throw new RangeError(`entry: version over ${MAX_TEXT} bytes`)
  checkTimes(entry)

  const behind = entry.trailers ? packedSize(entry.trailers) + LENGTH : 0
  if (headers + behind > MAX_HEADER_BYTES)
    throw new RangeError(`entry: headers over ${MAX_HEADER_BYTES} bytes`)

  const bodyEnd = FIXED + version + headers + frame.length + body.length
  const end = bodyEnd + behind
  const isShort = isPassing && end + TRAILER <= scratch.bytes.length
  const out = isShort ? scratch.view(end + TRAILER) : Buffer.allocUnsafe(end + TRAILER)
  out[0] = 0x69
  out[1] = 0x67
  out[2] = SCHEMA
  out[3] = flagsOf(entry)
  out.write(entry.digest, 4, 'latin1')
  out.writeUInt16LE(entry.status, 36)
  out[38] = 0
  out[39] = entry.form ?? 0
  out.writeUInt32LE(version, 40)
  out.writeUInt32LE(0, 44)
  out.writeUInt32LE(headers, 48)
  out.writeUInt32LE(frame.length, 52)
  out.writeUInt32LE(body.length, 56)
  out.writeDoubleLE(entry.createdAt, 60)
  out.writeDoubleLE(entry.ttlMs, 68)
  out.writeDoubleLE(entry.swrMs, 76)
  out.writeDoubleLE(entry.sieMs, 84)
  out.writeDoubleLE(entry.costMs ?? 0, 92)
  if (version > 0) out.write(entry.version, FIXED, 'utf8')
  const at = FIXED + version
  out.set(fields, at)
  if (frame.length > 0) out.set(frame, at + headers)
  out.set(body, at + headers + frame.length)
  if (entry.trailers) out.writeUInt32LE(packStrings(entry.trailers, out, bodyEnd) - bodyEnd, end - LENGTH)
  out.writeUInt32LE(crc32(isShort ? scratch.view(end) : out.subarray(0, end)), end)
  return out
}

/**
 * The entry in `bytes`, if they are exactly the envelope of `digest`; else undefined. Never throws.
 * `body` and `frame` are views of `bytes`.
 */
export function decode(bytes: Uint8Array, digest: Digest): Entry | undefined {
  if (bytes.length < FIXED + TRAILER) return undefined
  const from = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (from[0] !== 0x69 || from[1] !== 0x67 || from[2] !== SCHEMA) return undefined
  if (!isOf(from, digest) || crc32(from) !== RESIDUE) return undefined
  return parse(from, digest, from.length - TRAILER)
}

/** The status in an envelope that nobody has checked; 0: it is too short to have one. */
export function statusIn(envelope: Uint8Array): number {
  return (envelope[36] ?? 0) | ((envelope[37] ?? 0) << 8)
}

/** The age of an entry, never negative: with a wall clock that was stepped backwards it counts as new. */
export function ageMs(entry: Pick<Entry, 'createdAt'>, wallNow: number): number {
  return Math.max(0, wallNow - entry.createdAt)
}

/** How long the entry stays fresh: at most its ttl, whatever the wall clock did; negative once it is stale. */
export function remainingMs(entry: Pick<Entry, 'createdAt' | 'ttlMs'>, wallNow: number): number {
  return entry.ttlMs - ageMs(entry, wallNow)
}

/** How long the entry may still be used, stale windows included; zero or less: it is dead. */
export function lifeMs(entry: Entry, wallNow: number): number {
  return remainingMs(entry, wallNow) + Math.max(entry.swrMs, entry.sieMs)
}

/** The reply that an entry of kind `reply` holds. */
export function replyOf({ status, headers, body, trailers }: Entry): Reply {
  return trailers ? { status, headers, body, trailers: () => trailers } : { status, headers, body }
}

const EMPTY = new Uint8Array(0)
const NONE: RawPairs = []

function flagsOf(entry: Entry): number {
  return (
    (entry.kind === 'row' ? FLAG_ROW : 0) |
    (entry.negative ? FLAG_NEGATIVE : 0) |
    (entry.frame === undefined ? 0 : FLAG_FRAME) |
    (entry.trailers === undefined ? 0 : FLAG_TRAILERS)
  )
}

function checkTimes({ createdAt, ttlMs, swrMs, sieMs, costMs = 0 }: Entry): void {
  const isTimed = isDuration(createdAt) && isDuration(ttlMs) && isDuration(swrMs) && isDuration(sieMs)
  const isFit = isTimed && isDuration(costMs)
  if (!isFit) throw new RangeError('entry: times are finite and not negative')
}

function isDuration(ms: number): boolean {
  return ms >= 0 && ms < Number.POSITIVE_INFINITY
}

/** One result is remembered: the answers of one model mostly have the same list of fields. */
const packed = lastOf((headers: RawPairs): Buffer => {
  const bytes = Buffer.allocUnsafe(packedSize(headers))
  packStrings(headers, bytes, 0)
  return bytes
})

/** Whether the envelope holds this digest. A loop is faster here than a call into the runtime with a new string. */
function isOf(from: Buffer, digest: Digest): boolean {
  let difference = 0
  for (let i = 0; i < 32; i++) difference |= (from[4 + i] as number) ^ digest.charCodeAt(i)
  return difference === 0
}

/** One view is remembered: the entries of one answer lie in one buffer, and making a view costs as much as reading by it. */
const viewOf = lastOf((buffer: ArrayBufferLike) => new DataView(buffer))

/** Checks what a CRC cannot: another program may have written the envelope, with a right checksum. */
function parse(from: Buffer, digest: Digest, end: number): Entry | undefined {
  const fields = viewOf(from.buffer)
  const base = from.byteOffset
  const versionEnd = FIXED + fields.getUint32(base + 40, true)
  const headersAt = versionEnd + fields.getUint32(base + 44, true)
  const frameAt = headersAt + fields.getUint32(base + 48, true)
  const bodyAt = frameAt + fields.getUint32(base + 52, true)
  const bodyEnd = bodyAt + fields.getUint32(base + 56, true)
  const flags = from[3] as number
  const trailers = trailersIn(from, flags, bodyEnd, end)
  if (!trailers || frameAt - headersAt > MAX_HEADER_BYTES) return undefined

  const createdAt = fields.getFloat64(base + 60, true)
  const ttlMs = fields.getFloat64(base + 68, true)
  const swrMs = fields.getFloat64(base + 76, true)
  const sieMs = fields.getFloat64(base + 84, true)
  const isTimed = isDuration(createdAt) && isDuration(ttlMs) && isDuration(swrMs) && isDuration(sieMs)
  const headers = headersOf(from, headersAt, frameAt)
  const status = statusOf(fields, base)
  if (!isTimed || !headers || status === 0) return undefined
  if (!areFlags(flags, bodyAt - frameAt)) return undefined

  const entry: { -readonly [K in keyof Entry]: Entry[K] } = {
    digest,
    kind: flags & FLAG_ROW ? 'row' : 'reply',
    status,
    headers,
    body: from.subarray(bodyAt, bodyEnd),
    createdAt,
    ttlMs,
    swrMs,
    sieMs,
    version: versionEnd === FIXED ? '' : from.toString('utf8', FIXED, versionEnd),
    negative: (flags & FLAG_NEGATIVE) !== 0,
    costMs: costIn(fields, base),
    form: from[39] as number,
  }
  if (flags & FLAG_FRAME) entry.frame = from.subarray(frameAt, bodyAt)
  if (trailers !== NONE) entry.trailers = trailers
  return entry
}

/** A hint, for which no entry is refused. */
function costIn(fields: DataView, base: number): number {
  const costMs = fields.getFloat64(base + 92, true)
  return isDuration(costMs) ? costMs : 0
}

/** The fields behind the body; undefined: their lengths do not add up. */
function trailersIn(from: Buffer, flags: number, bodyEnd: number, end: number): RawPairs | undefined {
  if ((flags & FLAG_TRAILERS) === 0) return bodyEnd === end ? NONE : undefined
  const size = end - LENGTH - bodyEnd
  if (size <= 0 || size > MAX_HEADER_BYTES || from.readUInt32LE(end - LENGTH) !== size) return undefined
  const trailers = unpackStrings(from, bodyEnd, end - LENGTH)
  return trailers && areFields(trailers) ? trailers : undefined
}

function areFlags(flags: number, frameBytes: number): boolean {
  return flags <= FLAGS && ((flags & FLAG_FRAME) !== 0 || frameBytes === 0)
}

/** 0: not a status that an answer may have. */
function statusOf(fields: DataView, base: number): number {
  const status = fields.getUint16(base + 36, true)
  return status >= 200 && status <= 599 ? status : 0
}

/** The fields read last: the answers of one model mostly have the same. */
let known: { readonly bytes: Buffer; readonly headers: RawPairs } | undefined
const MAX_KNOWN_BYTES = 1024

function headersOf(from: Buffer, start: number, end: number): RawPairs | undefined {
  const size = end - start
  if (known && isAt(from, start, end, known.bytes)) return known.headers
  const headers = unpackStrings(from, start, end)
  if (!headers || !areFields(headers)) return undefined
  if (size <= MAX_KNOWN_BYTES)
    known = { bytes: Buffer.copyBytesFrom(from, start, size), headers: Object.freeze(headers) }
  return headers
}

/** A loop: for a few dozen bytes a call into the runtime takes longer. */
function isAt(from: Buffer, start: number, end: number, bytes: Uint8Array): boolean {
  if (end - start !== bytes.length) return false
  for (let i = 0; i < bytes.length; i++) if (from[start + i] !== bytes[i]) return false
  return true
}
