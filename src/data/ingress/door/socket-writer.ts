/**
 * Writes to one connection, in order. Short answers are collected until the end of the turn and leave in one write; longer data is
 * written at once, behind what was collected. While `isFull`, callers must write no more.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { joinedWrite } from '../../../lib/joined-write.ts'
import type { WriteBatcher } from '../../../lib/write-batcher.ts'
import { BEHIND_ID } from '../../exchange/reply-head.ts'

/** Bodies of up to this length wait for the end of the turn, and are joined to their head. */
const MAX_JOINED_BYTES = 2048
/** The same for the body of a ready answer, which is not copied before it is written. */
const MAX_READY_BYTES = 12 * 1024
/** More collected text than this is written at once. */
const MAX_WAITING_BYTES = 16 * 1024

export class SocketWriter {
  readonly #socket: Duplex
  readonly #writeBatcher: WriteBatcher
  readonly #filled: () => void
  /** Writes go to the kernel at once, or wait in the socket: their memory can be used again, unless it says that they wait. */
  readonly #isDirect: boolean
  #waiting = ''
  /** Behind that text: the head of a ready answer, up to the id, and the id. Mostly it is all there is. */
  #head: Uint8Array | undefined
  #id = ''
  /** Behind these: a short body, behind which nothing more is collected as bytes. */
  #body: Uint8Array | undefined
  #drain: (() => void) | undefined

  /** `filled`: called when the write at the end of a turn has filled the socket's buffer. */
  constructor(socket: Duplex, writeBatcher: WriteBatcher, filled: () => void) {
    this.#socket = socket
    this.#writeBatcher = writeBatcher
    this.#filled = filled
    this.#isDirect = socket.constructor === Socket
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  text(text: string): void {
    this.#settle()
    if (this.#waiting === '') this.#writeBatcher.add(this)
    this.#waiting += text
    if (this.#waiting.length > MAX_WAITING_BYTES) this.flush()
  }

  /** The body must not change until the next turn. */
  send(head: string, body: Uint8Array | undefined): void {
    if (!body || body.length === 0) return this.text(head)
    if (body.length > MAX_JOINED_BYTES) return void this.#join(head, body)
    if (!this.#isDirect || !this.#isEmpty || head.length > MAX_WAITING_BYTES)
      return this.text(head + textOf(body))
    this.text(head)
    this.#body = body
  }

  /** `head`: up to the id of the request. Neither it nor the body may change until the next turn. */
  sendReady(head: Uint8Array, id: string, body: Uint8Array | undefined): void {
    const isShort = body === undefined || body.length <= MAX_READY_BYTES
    if (!isShort || !this.#isDirect || !this.#isEmpty) return this.send(textOf(head) + id + BEHIND_ID, body)
    this.#writeBatcher.add(this)
    this.#head = head
    this.#id = id
    this.#body = body
  }

  get #isEmpty(): boolean {
    return this.#waiting === '' && this.#head === undefined
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

  /** Writes what was collected now. */
  flush(): void {
    const socket = this.#socket
    const isText = this.#head === undefined && this.#body === undefined
    if (!isText && socket.writableLength === 0) return this.#flushBytes()
    if (!isText) this.#settle()
    const text = this.#waiting
    if (text === '') return
    this.#waiting = ''
    if (!socket.write(text, 'latin1')) this.#filled()
  }

  #flushBytes(): void {
    const text = this.#waiting
    const head = this.#head
    const id = this.#id
    const body = this.#body
    this.#waiting = ''
    this.#head = undefined
    this.#body = undefined
    const joined = joinedWrite.begin(
      text.length + (head?.length ?? 0) + id.length + BEHIND_ID.length + (body?.length ?? 0),
    )
    if (text !== '') joined.text(text)
    if (head) joined.bytes(head).text(id).text(BEHIND_ID)
    if (body) joined.bytes(body)
    if (!joined.to(this.#socket)) this.#filled()
  }

  /** Makes the bytes part of the collected text. */
  #settle(): void {
    if (this.#head) this.#waiting += textOf(this.#head) + this.#id + BEHIND_ID
    if (this.#body) this.#waiting += textOf(this.#body)
    this.#head = undefined
    this.#body = undefined
  }

  /** Writes the collected text, `text` and the bytes in one system call. */
  #join(text: string, bytes: Uint8Array): boolean {
    const socket = this.#socket
    this.#settle()
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

/** A character a byte. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
