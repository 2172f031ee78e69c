/**
 * Writes to one connection, in order. Short texts are collected until the end of the turn and leave in one write; longer data is
 * written at once, behind the collected text. While `isFull`, callers must write no more.
 */
import type { Duplex } from 'node:stream'
import type { WriteBatcher } from '../../../lib/write-batcher.ts'

/** Bodies of up to this length are joined to their head in one string, which is one write and needs no buffer. */
const MAX_JOINED_BYTES = 2048
/** More collected text than this is written at once. */
const MAX_WAITING_BYTES = 16 * 1024

export class SocketWriter {
  readonly #socket: Duplex
  readonly #writeBatcher: WriteBatcher
  readonly #filled: () => void
  #waiting = ''
  #drain: (() => void) | undefined

  /** `filled`: called when the write at the end of a turn has filled the socket's buffer. */
  constructor(socket: Duplex, writeBatcher: WriteBatcher, filled: () => void) {
    this.#socket = socket
    this.#writeBatcher = writeBatcher
    this.#filled = filled
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  text(text: string): void {
    if (this.#waiting === '') this.#writeBatcher.add(this)
    this.#waiting += text
    if (this.#waiting.length > MAX_WAITING_BYTES) this.flush()
  }

  send(head: string, body: Uint8Array | undefined): void {
    if (!body || body.length === 0) this.text(head)
    else if (body.length <= MAX_JOINED_BYTES)
      this.text(head + Buffer.from(body.buffer, body.byteOffset, body.length).toString('latin1'))
    else this.#join(head, body)
  }

  /** Writes a piece of a body, as a chunk if it is `chunked`. False: wait for `drained` before the next. */
  pass(chunk: Uint8Array, chunked: boolean): boolean {
    if (!chunked) return this.#join('', chunk)
    const socket = this.#socket
    socket.cork()
    this.#join(`${chunk.length.toString(16)}\r\n`, chunk)
    const room = socket.write('\r\n', 'latin1')
    socket.uncork()
    return room
  }

  drained(): Promise<void> {
    this.flush()
    if (!this.isFull) return Promise.resolve()
    return new Promise((resolve) => {
      this.#drain = resolve
    })
  }

  /** To be called when the socket has drained, or is closed. */
  wake(): void {
    const drain = this.#drain
    this.#drain = undefined
    drain?.()
  }

  /** Writes the collected text now. */
  flush(): void {
    const text = this.#waiting
    if (text === '') return
    this.#waiting = ''
    if (!this.#socket.write(text, 'latin1')) this.#filled()
  }

  /** Writes the collected text, `text` and the bytes in one system call. */
  #join(text: string, bytes: Uint8Array): boolean {
    const socket = this.#socket
    const before = this.#waiting + text
    this.#waiting = ''
    if (before === '') return socket.write(bytes)
    socket.cork()
    socket.write(before, 'latin1')
    const room = socket.write(bytes)
    socket.uncork()
    return room
  }
}
