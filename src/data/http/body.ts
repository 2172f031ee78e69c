/** Collects request bodies that are needed as a whole, for both doors, and their bound. */
import type { WholeBody } from '../../core/call.ts'
import { Chunks, JOINED_BYTES } from '../../core/chunks.ts'
import { GatewayError } from '../../core/errors.ts'
import { BufferList } from '../../lib/buffer-list.ts'

export function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError(
    'bodyTooLarge',
    `the body is larger than ${maxBytes} bytes (server.limits.maxBodyBytes)`,
  )
}

export function bodyTooLate(): GatewayError {
  return new GatewayError('requestTimeout', 'the body did not arrive in time (server.limits.bodyTimeout)')
}

/** A body that is arriving. */
export class BodyBuffer extends BufferList {
  whole(): WholeBody {
    return this.length <= JOINED_BYTES ? this.joined() : new Chunks(this.pieces())
  }
}
