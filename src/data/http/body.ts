/** Collects request bodies that are needed as a whole, for both doors, and their bound. */
import type { WholeBody } from '../../core/call.ts'
import { Chunks, JOINED_BYTES } from '../../core/chunks.ts'
import { GatewayError } from '../../core/errors.ts'

export function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError(
    'bodyTooLarge',
    `the body is larger than ${maxBytes} bytes (server.limits.maxBodyBytes)`,
  )
}

export function bodyTooLate(): GatewayError {
  return new GatewayError('requestTimeout', 'the body did not arrive in time (server.limits.bodyTimeout)')
}

/** The first pieces are kept as they come, whatever their size: most bodies have no more. */
const FEW = 16
/** Further pieces smaller than this are copied: a body that comes byte by byte must not cost an object a byte. */
const SMALL_BYTES = 16 << 10
const BLOCK_BYTES = 64 << 10

/** A body that is arriving. */
export class BodyBuffer {
  length = 0
  readonly #pieces: Uint8Array[] = []
  /** A block in which small pieces are joined: used up to `end`; the part before `start` is a piece already. */
  #block = NOTHING
  #start = 0
  #end = 0

  push(piece: Uint8Array): void {
    this.length += piece.length
    if (this.#pieces.length < FEW || piece.length >= SMALL_BYTES) {
      this.#settle()
      this.#pieces.push(piece)
      return
    }
    if (this.#end + piece.length > this.#block.length) {
      this.#settle()
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
      this.#start = this.#end = 0
    }
    this.#block.set(piece, this.#end)
    this.#end += piece.length
  }

  whole(): WholeBody {
    this.#settle()
    const only = this.#pieces[0]
    if (only && this.#pieces.length === 1 && this.length <= JOINED_BYTES) return only
    return this.length <= JOINED_BYTES ? Buffer.concat(this.#pieces, this.length) : new Chunks(this.#pieces)
  }

  /** Makes a piece of what has been written to the block; the rest of the block is still used. */
  #settle(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#block.subarray(this.#start, this.#end))
    this.#start = this.#end
  }
}

const NOTHING = Buffer.alloc(0)
