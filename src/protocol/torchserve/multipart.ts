/**
 * The key of a multipart/form-data body (RFC 7578): what its parts say, in their order, and not the boundary, which clients
 * choose at random. Each part's header is in it as it was written, so that a change of any other byte is another key.
 *
 * Readers differ in what they take for a boundary: after a bare line feed, with spaces behind it, or in front of the first
 * part. So it is read strictly, and a body in which the boundary stands anywhere else, be it in a file, has no key.
 */
import type { Chunks } from '../../core/chunks.ts'
import { type Digest, digestSteps } from '../../core/key.ts'
import type { Preimage } from '../preimage.ts'
import type { Bypass } from '../protocol.ts'

/** RFC 2046, section 5.1.1; alone, since a charset changes how names are read, and quoted or not. */
const CONTENT_TYPE =
  /^multipart\/form-data[ \t]*;[ \t]*boundary=(?:"([\w'()+,./:=? -]{0,69}[\w'()+,./:=?-])"|([\w!#$%&'*+.^`|~-]{1,70}))$/i

const MAX_PARTS = 1024
const MAX_HEAD_BYTES = 4096
const END_OF_LINE = '\r\n'
const END_OF_HEAD = '\r\n\r\n'
const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*[^\s\0]/

export const NOT_STRICT: Bypass = { bypass: 'multipart' }

/** Undefined: none, or one that a server may read in another way. */
export function boundaryOf(contentType: string): string | undefined {
  const found = CONTENT_TYPE.exec(contentType)
  return found?.[1] ?? found?.[2]
}

/** The key, or why there is none; `preimage` has all that it covers besides the parts. */
export function* multipartSteps(
  body: Chunks,
  boundary: string,
  preimage: Preimage,
): Generator<void, Digest | Bypass> {
  const delimiter = Buffer.from(`--${boundary}`, 'latin1')
  const places = yield* placesOf(delimiter, body)
  const parts = places && partsOf(body, places, delimiter.length)
  if (!parts) return NOT_STRICT
  preimage.number(parts.length)
  for (const { start, end } of parts) {
    const head = headOf(body, start, end)
    if (head === undefined) return NOT_STRICT
    const content = yield* digestSteps(body.pieces(start + head.length + END_OF_HEAD.length, end))
    preimage.latin1(head).latin1(content)
  }
  return preimage.digest()
}

/** Where the delimiter stands, wherever that is; undefined: too often. */
function* placesOf(delimiter: Buffer, body: Chunks): Generator<void, number[] | undefined> {
  const places: number[] = []
  // The last bytes of what was searched, which with the next may be one.
  let before = Buffer.alloc(0)
  let at = 0
  for (const piece of body.pieces()) {
    const window = Buffer.concat([before, piece])
    const base = at - before.length
    for (let i = window.indexOf(delimiter); i >= 0; i = window.indexOf(delimiter, i + 1))
      places.push(base + i)
    if (places.length > MAX_PARTS) return undefined
    before = window.subarray(Math.max(0, window.length - delimiter.length + 1))
    at += piece.length
    yield
  }
  return places
}

interface Part {
  readonly start: number
  readonly end: number
}

/** What lies between the delimiters, where each has a line of its own and nothing stands before the first or behind the last. */
function partsOf(body: Chunks, places: readonly number[], length: number): readonly Part[] | undefined {
  const text = (start: number, end: number) =>
    Buffer.from(body.slice(start, Math.min(end, body.length))).toString('latin1')
  const last = places.at(-1)
  if (last === undefined || places.length < 2 || places[0] !== 0) return undefined
  const behind = text(last + length, last + length + 5)
  if (behind !== '--' && behind !== `--${END_OF_LINE}`) return undefined
  const parts: Part[] = []
  for (const [i, place] of places.slice(0, -1).entries()) {
    const start = place + length + END_OF_LINE.length
    const end = (places[i + 1] as number) - END_OF_LINE.length
    if (end < start || text(place + length, start) !== END_OF_LINE) return undefined
    if (text(end, end + END_OF_LINE.length) !== END_OF_LINE) return undefined
    parts.push({ start, end })
  }
  return parts
}

/** The header of a part, without the empty line behind it; undefined: a server may read it in another way, or not at all. */
function headOf(body: Chunks, start: number, end: number): string | undefined {
  const begun = Buffer.from(body.slice(start, Math.min(end, start + MAX_HEAD_BYTES))).toString('latin1')
  const length = begun.indexOf(END_OF_HEAD)
  if (length <= 0) return undefined
  const head = begun.slice(0, length)
  const names = new Set<string>()
  for (const line of head.split(END_OF_LINE)) {
    const name = /[\r\n]/.test(line) ? undefined : FIELD.exec(line)?.[1]?.toLowerCase()
    if (name === undefined || names.has(name)) return undefined
    names.add(name)
    if (name === 'content-disposition' && !/:[ \t]*form-data;.*\bname=/i.test(line)) return undefined
    // Parts within parts have a boundary of their own.
    if (name === 'content-type' && /:[ \t]*multipart\//i.test(line)) return undefined
  }
  return names.has('content-disposition') ? head : undefined
}
