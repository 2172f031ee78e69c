/** Reads the payloads of DATA and HEADERS, padding and priority aside (RFC 9113, sections 6.1 and 6.2). */
import {
  ConnectionError,
  END_STREAM,
  FRAME_SIZE_ERROR,
  MAX_STREAM_ID,
  PADDED,
  PROTOCOL_ERROR,
  WITH_PRIORITY,
} from './frames.ts'

/** A block of fields. */
export interface FieldBlock {
  readonly id: number
  readonly isEnd: boolean
  /** The stream on which the stream depends, as it says. */
  readonly dependsOn: number | undefined
  readonly bytes: Buffer
}

const PRIORITY_BYTES = 5
/** Bytes of a chunk that a byte of it may keep in memory. */
const MAX_KEPT = 8

/** Throws `ConnectionError`, as the next. */
export function dataOf(flags: number, payload: Buffer): Buffer {
  if ((flags & PADDED) === 0) return payload
  const padding = payload[0]
  if (padding === undefined) throw new ConnectionError(FRAME_SIZE_ERROR, 'no length of the padding')
  if (padding >= payload.length) throw new ConnectionError(PROTOCOL_ERROR, 'more padding than payload')
  return payload.subarray(1, payload.length - padding)
}

export function fieldBlockOf(flags: number, id: number, payload: Buffer): FieldBlock {
  let block = dataOf(flags, payload)
  let dependsOn: number | undefined
  if (flags & WITH_PRIORITY) {
    if (block.length < PRIORITY_BYTES) throw new ConnectionError(FRAME_SIZE_ERROR, 'no room for the priority')
    dependsOn = block.readUInt32BE(0) & MAX_STREAM_ID
    block = block.subarray(PRIORITY_BYTES)
  }
  return { id, isEnd: (flags & END_STREAM) !== 0, dependsOn, bytes: block }
}

/** What is kept of a chunk: a few bytes are copied out of it, since a peer could fill the rest with frames that mean nothing. */
export function ownBytes(data: Uint8Array): Uint8Array {
  return data.length * MAX_KEPT < data.buffer.byteLength ? Buffer.from(data) : data
}
