/** Ids that each caller gets one of, in copies of an answer that are otherwise equal. */
import { randomUUID } from 'node:crypto'

const PREFIX = /^[a-z]+[-_]/i

/** Another id with the same beginning, such as `chatcmpl-`. Those made of one that was made here have its length. */
export function freshId(id: string): string {
  const prefix = PREFIX.exec(id)?.[0] ?? ''
  return prefix + randomUUID().replaceAll('-', '')
}

/** The indices in a body at which the id stands, in order. The id must be a fresh one, which nothing else in the body is equal to. */
export function placesOf(id: string, body: Uint8Array): readonly number[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  const places: number[] = []
  for (let at = bytes.indexOf(id, 0, 'latin1'); at >= 0; at = bytes.indexOf(id, at + id.length, 'latin1'))
    places.push(at)
  return places
}

/** A copy of the body with another id in these places. */
export function reissued(body: Uint8Array, id: string, places: readonly number[]): Buffer {
  const copy = Buffer.allocUnsafe(body.length)
  copy.set(body)
  const bytes = Buffer.from(id, 'latin1')
  for (const at of places) copy.set(bytes, at)
  return copy
}
