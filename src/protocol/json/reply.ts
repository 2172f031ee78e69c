/** JSON answers of the gateway's own. */
import { Buffer } from 'node:buffer'
import type { GatewayError } from '../../core/errors.ts'
import type { Reply } from '../../core/reply.ts'

/** A reply with one JSON body; the length is stated so that it can be written at once. */
export function jsonReply(status: number, body: Uint8Array, type = 'application/json'): Reply {
  return { status, headers: ['content-type', type, 'content-length', String(body.length)], body }
}

/** `{"error": "…"}` with the fault's status, as TensorFlow Serving, KServe and Triton write errors. */
export function errorReply(error: GatewayError): Reply {
  return jsonReply(error.fault.status, Buffer.from(JSON.stringify({ error: error.message })))
}
