/**
 * The body of one answer for several readers, each of which gets it from its first byte while the rest still arrives: an
 * answer that is collected for the cache while it is passed on, or a generation that a second caller requests while the
 * first one still reads it.
 *
 * Up to `maxBytes` the body is read as fast as it arrives and kept from its beginning. If it turns out to be longer, its
 * beginning is dropped: nobody can join any more, and it is read at the speed of the fastest reader. A slow reader holds up
 * no other. It may fall `maxBytes` behind, and then ends with an error, since the gateway cannot keep what it has not read
 * for ever. When the last reader has left, the backend's work is cancelled.
 */
import { GatewayError } from '../../core/errors.ts'
import { Condition } from '../../lib/condition.ts'

/** A body that arrives; `cancel` ends it at its source. */
export interface BodySource extends AsyncIterable<Uint8Array> {
  cancel(reason: Error): void
}

/** One piece of a body. A reader holds the piece it has read last, so pieces behind all readers can be collected. */
interface Piece {
  readonly bytes: Uint8Array
  /** Bytes of the body up to the end of this piece. */
  readonly end: number
  next: Piece | undefined
}

interface ReaderState {
  /** The piece read last. */
  at: Piece
  /** The piece given to the reader, which has read it when it asks for the next one. */
  given: Piece | undefined
  /** Why this reader gets no more, though others do. */
  fault: Error | undefined
  /** Notified when there is another piece, or the body is over. */
  readonly more: Condition
}

export class SharedBody {
  readonly #source: BodySource
  readonly #maxBytes: number
  readonly #readers = new Set<ReaderState>()
  /** The empty piece before the first; undefined: the beginning has been dropped. */
  #beginning: Piece | undefined = emptyPiece()
  #last = this.#beginning as Piece
  #holds = 0
  #hasBegun = false
  #isOver = false
  #error: Error | undefined
  /** For `collected`: a piece has arrived, or the body is over. */
  readonly #grown = new Condition()
  /** For the loop that reads the source: a reader wants the next piece, or no reader is left. */
  readonly #wanted = new Condition()

  constructor(source: BodySource, maxBytes: number) {
    this.#source = source
    this.#maxBytes = maxBytes
  }

  /** Joins the body at its first byte; undefined: its beginning has been dropped, and the caller needs a request of its own. */
  join(): SharedBodyReader | undefined {
    if (!this.#beginning || this.#error) return undefined
    const reader = { at: this.#beginning, given: undefined, fault: undefined, more: new Condition() }
    this.#readers.add(reader)
    this.#begin()
    return new SharedBodyReader(this.#read(reader), () => this.#leave(reader))
  }

  /** Keeps the source being read even without readers, until the returned function is called. */
  hold(): () => void {
    this.#holds++
    this.#begin()
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#holds--
      this.#left()
    }
  }

  /** To be called once. Resolves with all bytes; undefined: there are too many. Rejects where the source fails. */
  async collected(): Promise<Uint8Array | undefined> {
    while (this.#beginning && !this.#isOver) await this.#grown.wait()
    if (!this.#beginning) return undefined
    if (this.#error) throw this.#error
    return joined(this.#beginning, this.#last.end)
  }

  #begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    void this.#readSource()
  }

  async #readSource(): Promise<void> {
    try {
      for await (const bytes of this.#source) {
        this.#push(bytes)
        while (!this.#isWanted && !this.#isOver) await this.#wanted.wait()
        if (this.#isOver) return
      }
      this.#end(undefined)
    } catch (error) {
      this.#end(error as Error)
    }
  }

  /** Whether to read on: always while the body can be kept; after that when the fastest reader has read all. */
  get #isWanted(): boolean {
    if (this.#beginning) return true
    for (const { at } of this.#readers) if (at === this.#last) return true
    return false
  }

  #push(bytes: Uint8Array): void {
    const before = this.#last.end
    const piece: Piece = { bytes, end: before + bytes.length, next: undefined }
    this.#last.next = piece
    this.#last = piece
    if (piece.end > this.#maxBytes) this.#beginning = undefined
    for (const reader of this.#readers) {
      // This piece does not count: a single one may be longer than the bound, and the fastest reader waits for it.
      if (before - reader.at.end > this.#maxBytes) this.#cut(reader)
      reader.more.notify()
    }
    this.#grown.notify()
    if (this.#readers.size === 0) this.#left()
  }

  #cut(reader: ReaderState): void {
    reader.fault = new GatewayError(
      'callerLeft',
      `the client is more than ${this.#maxBytes} bytes behind the answer that it shares with others`,
    )
    reader.at = NOWHERE
    reader.given = undefined
    this.#readers.delete(reader)
  }

  async *#read(reader: ReaderState): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        if (reader.fault) throw reader.fault
        const bytes = nextOf(reader)
        if (bytes) {
          yield bytes
          taken(reader)
          this.#wanted.notify()
        } else if (this.#isOver) {
          if (this.#error) throw this.#error
          return
        } else await reader.more.wait()
      }
    } finally {
      this.#leave(reader)
    }
  }

  #leave(reader: ReaderState): void {
    reader.fault ??= LEFT
    reader.at = NOWHERE
    reader.given = undefined
    reader.more.notify()
    if (this.#readers.delete(reader)) this.#left()
  }

  /** A reader, or a hold, has ended. */
  #left(): void {
    if (this.#isOver || this.#readers.size > 0 || this.#holds > 0) return this.#wanted.notify()
    this.#end(LEFT)
    this.#source.cancel(LEFT)
  }

  #end(error: Error | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    for (const { more } of this.#readers) more.notify()
    this.#grown.notify()
    this.#wanted.notify()
  }
}

/** One reader of a shared body. To be read once, or released by `leave`. */
export class SharedBodyReader implements AsyncIterable<Uint8Array> {
  readonly #pieces: AsyncGenerator<Uint8Array>
  readonly leave: () => void

  constructor(pieces: AsyncGenerator<Uint8Array>, leave: () => void) {
    this.#pieces = pieces
    this.leave = leave
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, void> {
    return {
      next: async () => this.#pieces.next(),
      // A generator that waits would see its return only with the next piece, and one that was never started not at all.
      return: async () => {
        this.leave()
        return { done: true, value: undefined }
      },
    }
  }
}

/**
 * The next piece's bytes; undefined: it is not there yet. No piece is in a variable of the loop that reads: one that a reader leaves
 * lying would hold all pieces behind it.
 */
function nextOf(reader: ReaderState): Uint8Array | undefined {
  reader.given = reader.at.next
  return reader.given?.bytes
}

/** A reader that asks for the next piece has read the one that it was given. */
function taken(reader: ReaderState): void {
  if (reader.given) reader.at = reader.given
}

function emptyPiece(): Piece {
  return { bytes: new Uint8Array(0), end: 0, next: undefined }
}

function joined(beginning: Piece, length: number): Uint8Array {
  const pieces: Uint8Array[] = []
  for (let piece = beginning.next; piece; piece = piece.next) pieces.push(piece.bytes)
  const [only] = pieces
  return only && pieces.length === 1 ? only : Buffer.concat(pieces, length)
}

/** The place of a reader who gets no more: any piece would hold all that come behind it. */
const NOWHERE: Piece = emptyPiece()

const LEFT = new Error('nobody reads the answer any more')
