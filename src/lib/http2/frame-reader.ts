/** Cuts what arrives into frames, whatever pieces it comes in. */
import { ConnectionError, FRAME_HEAD_BYTES, FRAME_SIZE_ERROR } from './frames.ts'

export type OnFrame = (type: number, flags: number, stream: number, payload: Buffer) => void

const MAX_ID = 0x7fff_ffff

export class FrameReader {
  readonly #maxBytes: number
  readonly #onFrame: OnFrame
  /** The beginning of a frame that is not complete; a copy, since what arrives may lie in memory that is read into again. */
  #part: Buffer | undefined

  /** `maxBytes`: of a payload. */
  constructor(maxBytes: number, onFrame: OnFrame) {
    this.#maxBytes = maxBytes
    this.#onFrame = onFrame
  }

  /** A frame is incomplete. */
  get isWaiting(): boolean {
    return this.#part !== undefined
  }

  /**
   * Calls `onFrame` for each frame that is complete; payloads are valid until it returns. Throws `ConnectionError`
   * for a frame that is too long, and what `onFrame` throws.
   */
  read(chunk: Buffer): void {
    let rest = this.#completed(chunk)
    while (rest.length >= FRAME_HEAD_BYTES) {
      const length = this.#lengthOf(rest)
      if (rest.length < length) break
      this.#emit(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    if (rest.length > 0) this.#part = Buffer.from(rest)
  }

  /** Completes the frame that has begun, and returns what is behind it. */
  #completed(chunk: Buffer): Buffer {
    let rest = chunk
    while (this.#part) {
      const part = this.#part
      const length = part.length < FRAME_HEAD_BYTES ? FRAME_HEAD_BYTES : this.#lengthOf(part)
      const missing = length - part.length
      const joined = Buffer.concat([part, rest.subarray(0, missing)])
      rest = rest.subarray(Math.min(missing, rest.length))
      this.#part = joined
      if (joined.length < length) return rest
      if (this.#lengthOf(joined) > joined.length) continue
      this.#part = undefined
      this.#emit(joined)
    }
    return rest
  }

  /** With its head. */
  #lengthOf(bytes: Buffer): number {
    const length = bytes.readUIntBE(0, 3)
    if (length > this.#maxBytes) throw new ConnectionError(FRAME_SIZE_ERROR, 'a frame is too long')
    return FRAME_HEAD_BYTES + length
  }

  #emit(frame: Buffer): void {
    const stream = frame.readUInt32BE(5) & MAX_ID
    this.#onFrame(frame[3] as number, frame[4] as number, stream, frame.subarray(FRAME_HEAD_BYTES))
  }
}
