/**
 * Reads the sizes of a request's chunks beside node:http, whose parser reports only the bytes that have arrived. So a chunk that
 * is too long is refused when its size arrives, and not when its bytes do, or at a timeout. It follows the framing of the
 * messages that the parser has accepted, and decides nothing else.
 */

/** The framing of the body behind a head. */
export interface BodyFraming {
  /** Undefined: chunks follow. */
  readonly length: number | undefined
  /** Called with the size of each chunk. */
  announce(bytes: number): void
}

const HEAD = 0
const SIZE = 1
const SIZE_REST = 2
/** Skips bytes: of a chunk and the line end behind it, or of a body with a length. */
const CHUNK = 3
const BODY = 4
const TRAILERS = 5

const LF = 10
const CR = 13

export class ChunkSizes {
  readonly #next: () => BodyFraming | undefined
  #state = HEAD
  #framing: BodyFraming | undefined
  #left = 0
  #isLineEmpty = true
  /** Empty lines before a head are none of it. */
  #hasBegun = false

  /** `next`: of the head that has ended; asked once for each, in order. Undefined: what follows is no HTTP. */
  constructor(next: () => BodyFraming | undefined) {
    this.#next = next
  }

  /** Bytes that the parser has taken. False: there is nothing to follow any more. */
  read(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      const end =
        this.#state === CHUNK || this.#state === BODY
          ? this.#skip(bytes, at)
          : this.#byte(bytes[at] as number, at)
      if (end < 0) return false
      at = end
    }
    return true
  }

  #skip(bytes: Uint8Array, at: number): number {
    const size = Math.min(this.#left, bytes.length - at)
    this.#left -= size
    if (this.#left === 0) this.#begin(this.#state === CHUNK ? SIZE : HEAD)
    return at + size
  }

  #byte(byte: number, at: number): number {
    if (this.#state === SIZE) {
      const digit = Number.parseInt(String.fromCharCode(byte), 16)
      if (digit >= 0) this.#left = this.#left * 16 + digit
      else this.#state = SIZE_REST
    }
    if (byte === LF) return this.#lineEnded() ? at + 1 : -1
    if (byte !== CR) {
      this.#isLineEmpty = false
      this.#hasBegun = true
    }
    return at + 1
  }

  #lineEnded(): boolean {
    const isEmpty = this.#isLineEmpty
    this.#isLineEmpty = true
    if (this.#state === SIZE_REST) return this.#sized()
    if (!isEmpty || !this.#hasBegun) return true
    if (this.#state === TRAILERS) return this.#begin(HEAD)
    this.#framing = this.#next()
    if (!this.#framing) return false
    const { length } = this.#framing
    this.#begin(length === undefined ? SIZE : length === 0 ? HEAD : BODY)
    this.#left = length ?? 0
    return true
  }

  #sized(): boolean {
    const size = this.#left
    if (size === 0) {
      this.#begin(TRAILERS)
      // The last chunk has begun them: the line behind it may be their end.
      this.#hasBegun = true
      return true
    }
    this.#framing?.announce(size)
    this.#begin(CHUNK)
    this.#left = size + 2
    return true
  }

  #begin(state: number): true {
    this.#state = state
    this.#left = 0
    this.#isLineEmpty = true
    this.#hasBegun = false
    return true
  }
}
