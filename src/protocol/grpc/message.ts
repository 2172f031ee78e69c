/**
 * The messages in a gRPC body: each has a byte that says whether it is compressed, and its length in four bytes, before its
 * own bytes (grpc/grpc, "gRPC over HTTP2", Length-Prefixed-Message).
 */
import { constants, gunzipSync, inflateSync, type ZlibOptions } from 'node:zlib'
import type { Chunks } from '../../core/chunks.ts'

/** Bytes before each message. */
export const PREFIX_BYTES = 5

/** Why a body is not read, in a word for Cache-Status `detail`. */
export interface Unreadable {
  readonly bypass: string
}

/**
 * The only message of the body of a unary call, uncompressed and at most `maxBytes` long. `encoding`: the value of `grpc-encoding`.
 */
export function onlyMessage(
  body: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Uint8Array | Unreadable {
  if (body.length < PREFIX_BYTES) return { bypass: 'grpc-message' }
  const isCompressed = body[0]
  const length = Buffer.from(body.buffer, body.byteOffset, PREFIX_BYTES).readUInt32BE(1)
  if (length !== body.length - PREFIX_BYTES) return { bypass: 'grpc-message' }
  const message = body.subarray(PREFIX_BYTES)
  if (isCompressed === 0) return message
  if (isCompressed !== 1) return { bypass: 'grpc-message' }
  return decompressed(message, encoding, maxBytes)
}

/** Whether a long body is one message that is not compressed. */
export function hasOneMessage(body: Chunks): boolean {
  if (body.length < PREFIX_BYTES) return false
  const prefix = Buffer.from(body.slice(0, PREFIX_BYTES))
  return prefix[0] === 0 && prefix.readUInt32BE(1) === body.length - PREFIX_BYTES
}

/** Writes the prefix of a message that is not compressed into the first `PREFIX_BYTES` of `framed`, and returns that. */
export function withPrefix(framed: Buffer): Buffer {
  framed[0] = 0
  framed.writeUInt32BE(framed.length - PREFIX_BYTES, 1)
  return framed
}

function decompressed(
  message: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Uint8Array | Unreadable {
  const options: ZlibOptions = { maxOutputLength: maxBytes, finishFlush: constants.Z_FINISH }
  try {
    if (encoding === 'gzip') return gunzipSync(message, options)
    // What gRPC calls "deflate" is the zlib structure.
    if (encoding === 'deflate') return inflateSync(message, options)
  } catch {
    return { bypass: 'grpc-compression' }
  }
  return { bypass: 'grpc-encoding' }
}
