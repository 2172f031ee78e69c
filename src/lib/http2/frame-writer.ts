/**
 * Writes frames to one connection, in order. What is written in one turn of the event loop leaves in one write at its end. While `isFull`, bodies must wait.
 */
import type { Duplex } from 'node:stream'
import type { WriteBatcher } from '../write-batcher.ts'
import {
  CONTINUATION,
  DATA,
  DEFAULT_FRAME_BYTES,
  END_HEADERS,
  END_STREAM,
  FRAME_HEAD_BYTES,
  HEADERS,
  writeFrameHead,
} from './frames.ts'

/** The first block is small, since most connections are idle most of the time; the next ones grow. */
const FIRST_BLOCK_BYTES = 1024
const BLOCK_BYTES = 64 * 1024
/** Longer bodies are not copied. */
const MAX_COPIED_BYTES = 4096

export class FrameWriter {
  readonly #socket: Duplex
  readonly #writeBatcher: WriteBatcher
  #block = Buffer.allocUnsafeSlow(0)
  /** What is written of the block, and what of that has left. */
  #end = 0
  #sent = 0
  #isWaiting = false
  /**
   * The peer has made its table smaller, which the next block must confirm (RFC 7541, section 4.2): that ours has no bytes,
   * which holds from then on.
   */
  hasShrunkTable = false
  #hasConfirmed = false

  constructor(socket: Duplex, writeBatcher: WriteBatcher) {
    this.#socket = socket
    this.#writeBatcher = writeBatcher
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  frame(type: number, flags: number, stream: number, payload: Uint8Array): void {
    const { length } = payload
    if (length > MAX_COPIED_BYTES) return this.#long({ length, type, flags, stream }, payload)
    this.#reserve(FRAME_HEAD_BYTES + length)
    this.#end = writeFrameHead(this.#block, this.#end, { length, type, flags, stream })
    this.#block.set(payload, this.#end)
    this.#end += length
  }

  /** A frame whose payload is numbers of 32 bits. */
  numbers(type: number, flags: number, stream: number, values: readonly number[]): void {
    const length = values.length * 4
    this.#reserve(FRAME_HEAD_BYTES + length)
    this.#end = writeFrameHead(this.#block, this.#end, { length, type, flags, stream })
    for (const value of values) this.#end = this.#block.writeUInt32BE(value, this.#end)
  }

  /** A block of fields, in as many frames as it takes. */
  fields(stream: number, fields: Buffer, isLast: boolean): void {
    const isConfirming = this.hasShrunkTable && !this.#hasConfirmed
    this.#hasConfirmed ||= isConfirming
    const block = isConfirming ? Buffer.concat([NO_TABLE, fields]) : fields
    const end = isLast ? END_STREAM : 0
    if (block.length <= DEFAULT_FRAME_BYTES) return this.frame(HEADERS, END_HEADERS | end, stream, block)
    this.frame(HEADERS, end, stream, block.subarray(0, DEFAULT_FRAME_BYTES))
    for (let at = DEFAULT_FRAME_BYTES; at < block.length; at += DEFAULT_FRAME_BYTES) {
      const piece = block.subarray(at, at + DEFAULT_FRAME_BYTES)
      this.frame(CONTINUATION, at + piece.length >= block.length ? END_HEADERS : 0, stream, piece)
    }
  }

  /** A piece of a body that the windows allow, in frames that any peer takes. */
  data(stream: number, bytes: Uint8Array, isLast: boolean): void {
    for (let at = 0; ; at += DEFAULT_FRAME_BYTES) {
      const piece = bytes.length <= DEFAULT_FRAME_BYTES ? bytes : bytes.subarray(at, at + DEFAULT_FRAME_BYTES)
      const isEnd = at + piece.length >= bytes.length
      this.frame(DATA, isEnd && isLast ? END_STREAM : 0, stream, piece)
      if (isEnd) return
    }
  }

  /** Writes what has been collected. */
  flush(): void {
    this.#isWaiting = false
    if (this.#end === this.#sent || !this.#socket.writable) return
    const bytes = this.#block.subarray(this.#sent, this.#end)
    this.#sent = this.#end
    this.#socket.write(bytes)
    // The system has taken all of it, so the block is free again: a new one is memory that has to be collected.
    if (this.#socket.writableLength === 0) this.#end = this.#sent = 0
  }

  #long(head: { length: number; type: number; flags: number; stream: number }, payload: Uint8Array): void {
    this.#reserve(FRAME_HEAD_BYTES)
    this.#end = writeFrameHead(this.#block, this.#end, head)
    this.#socket.cork()
    this.flush()
    if (this.#socket.writable) this.#socket.write(payload)
    this.#socket.uncork()
  }

  #reserve(bytes: number): void {
    if (this.#block.length - this.#end < bytes) {
      this.flush()
      const next = Math.min(BLOCK_BYTES, Math.max(FIRST_BLOCK_BYTES, this.#block.length * 4))
      this.#block = Buffer.allocUnsafeSlow(Math.max(next, bytes))
      this.#end = this.#sent = 0
    }
    if (this.#isWaiting) return
    this.#isWaiting = true
    this.#writeBatcher.add(this)
  }
}

/** HPACK: the table has no bytes from now on. */
const NO_TABLE = Buffer.from([0x20])
