/**
 * The memory that clients' bytes are read into: one buffer shared by all connections, from which anything that is kept is
 * copied, or, for the rest of a long body, blocks that are kept as they are.
 */

/** If more of a body than this is missing, the rest of it is read into blocks. */
const SHARED_BYTES = 16 * 1024
const BLOCK_BYTES = 64 * 1024
/** A block with less room than this counts as full. */
const SCRAP_BYTES = 4 * 1024
/** The most free blocks that are kept for reuse, by all connections of a thread. */
const MAX_SPARE = 64

const SHARED = Buffer.allocUnsafeSlow(SHARED_BYTES)
const MEMORY = SHARED.buffer
const spare: Buffer<ArrayBuffer>[] = []

export class ReceiveBuffer {
  /** Where the next read goes: the shared buffer, or the rest of a block. Never longer than the body that it is for. */
  #room = SHARED
  #given: Buffer | undefined
  /** Blocks of the body that is arriving. */
  readonly #lent: Buffer<ArrayBuffer>[] = []

  /** The bytes of a read of this size. */
  received(size: number): Buffer {
    const bytes = this.#room.subarray(0, size)
    if (this.#room !== SHARED) this.#room = this.#room.subarray(size)
    return bytes
  }

  /**
   * The memory for the next read, while so many bytes of a body are missing; undefined: the same as before. `isLent`:
   * `giveBack` will decide whether the blocks are reused.
   */
  next(missing: number, isLent: boolean): Buffer | undefined {
    const room = this.#room.length
    if (this.#room === SHARED || room === 0 || (room < SCRAP_BYTES && room < missing))
      this.#room = missing > SHARED_BYTES ? this.#block(isLent).subarray(0, missing) : SHARED
    if (this.#room === this.#given) return undefined
    this.#given = this.#room
    return this.#room
  }

  /** The body has arrived. `isRead`: nothing refers to its bytes any more, so its blocks are reused. */
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

/** The bytes in memory that stays valid after this turn of the event loop: copied if they lie in the shared buffer. */
export function retained(bytes: Buffer): Buffer {
  return bytes.buffer === MEMORY ? Buffer.from(bytes) : bytes
}
