/**
 * Where the bytes of a client arrive: in one buffer for all connections, of which whatever is kept is copied, or, for the
 * rest of a long body, in blocks that are kept as they are.
 */

/** Where more of a body than this is missing, the rest of it is read into blocks. */
const SHARED_BYTES = 16 * 1024
const BLOCK_BYTES = 64 * 1024
/** A block with less room than this is full. */
const SCRAP_BYTES = 4 * 1024
/** So many blocks of bodies that are done with are used again, by all connections of a thread. */
const MAX_SPARE = 64

const SHARED = Buffer.allocUnsafeSlow(SHARED_BYTES)
const MEMORY = SHARED.buffer
const spare: Buffer<ArrayBuffer>[] = []

export class ReceiveBuffer {
  /** Where the next read goes: the shared buffer, or what is left of a block. Never longer than the body that it is for. */
  #room = SHARED
  #given: Buffer | undefined
  /** Blocks of the body that is waited for. */
  readonly #lent: Buffer<ArrayBuffer>[] = []

  /** What a read of so many bytes has brought. */
  received(size: number): Buffer {
    const bytes = this.#room.subarray(0, size)
    if (this.#room !== SHARED) this.#room = this.#room.subarray(size)
    return bytes
  }

  /**
   * Where the next read goes, while so many bytes of a body are missing; undefined: where the last went. `isLent`: `giveBack`
   * says what becomes of its blocks.
   */
  next(missing: number, isLent: boolean): Buffer | undefined {
    const room = this.#room.length
    if (this.#room === SHARED || room === 0 || (room < SCRAP_BYTES && room < missing))
      this.#room = missing > SHARED_BYTES ? this.#block(isLent).subarray(0, missing) : SHARED
    if (this.#room === this.#given) return undefined
    this.#given = this.#room
    return this.#room
  }

  /** The body has arrived. `isRead`: nobody has kept anything of it. */
  giveBack(isRead: boolean): void {
    for (const block of this.#lent) if (isRead && spare.length < MAX_SPARE) spare.push(block)
    this.#lent.length = 0
  }

  #block(isLent: boolean): Buffer<ArrayBuffer> {
    const block = spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
    if (isLent) this.#lent.push(block)
    return block
  }
}

/** `bytes` as they may be kept beyond the turn of the event loop they came in. */
export function retained(bytes: Buffer): Buffer {
  return bytes.buffer === MEMORY ? Buffer.from(bytes) : bytes
}
