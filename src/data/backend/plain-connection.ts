/** One connection of the plain client to a backend: one request at a time, and a strict reading of its answer. */
import net from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import { joinedWrite } from '../../lib/joined-write.ts'
import { WriteBatcher } from '../../lib/write-batcher.ts'
import { checkedLookup } from './checked-lookup.ts'
import { type ClientOptions, rests } from './exchange.ts'
import type { OriginAddress } from './origins.ts'
import { GarbledError } from './reply-head.ts'
import { ReplyReader } from './reply-reader.ts'
import type { Transfer } from './transfer.ts'

/** The owner of a connection. */
export interface ConnectionOwner {
  connected(connection: PlainConnection): void
  /** The connection can take the next request. */
  free(connection: PlainConnection): void
  /** Its answer was an error, behind which many servers close without a word: it is not used for a moment. */
  rest(connection: PlainConnection): void
  /** The connection is closed; with the error only where it was never established. */
  gone(connection: PlainConnection, error: GatewayError | undefined): void
}

/** Bodies up to this length are sent in one piece with their head. */
const MAX_JOINED_BYTES = 12 * 1024
/** A connection is not used in the last second before the backend closes it: it may be closing already. */
const MARGIN_MS = 1000
const MAX_IDLE_MS = 30_000

/**
 * The read buffer of all connections: bytes are parsed at once, and what is kept of them is copied. A buffer for each read
 * would cost more than the parsing.
 */
const ARRIVED = Buffer.allocUnsafeSlow(64 * 1024)

/** Sends the requests of one turn together. */
const OUTBOX = new WriteBatcher()

export class PlainConnection {
  readonly #socket: net.Socket
  readonly #owner: ConnectionOwner
  readonly #address: OriginAddress
  readonly #reader = new ReplyReader()
  #transfer: Transfer | undefined
  /** The head of the request that was not sent yet. */
  #waiting = ''
  #isOpen = false
  #idleUntil = Number.POSITIVE_INFINITY

  constructor(address: OriginAddress, options: ClientOptions, owner: ConnectionOwner) {
    this.#address = address
    this.#owner = owner
    const { host, port } = address
    const { connectTimeoutMs, refuse } = options
    const onread = { buffer: ARRIVED, callback: (size: number) => this.#read(ARRIVED.subarray(0, size)) }
    const socket = net.connect({ host, port, noDelay: true, lookup: checkedLookup(refuse, port), onread })
    this.#socket = socket
    socket.setTimeout(connectTimeoutMs, () => {
      socket.destroy(Object.assign(new Error('connect timeout'), { code: 'ETIMEDOUT' }))
    })
    socket.once('connect', () => {
      this.#isOpen = true
      socket.setTimeout(0)
      owner.connected(this)
    })
    let error: Error | undefined
    socket.on('error', (cause) => (error = cause))
    socket.on('end', () => this.#ended())
    socket.on('close', () => this.#closed(error))
  }

  /** `now`: monotonic milliseconds. False from the time on at which the backend may close the idle connection. */
  isFreeAt(now: number): boolean {
    return this.#isOpen && !this.#transfer && this.#socket.writable && now < this.#idleUntil
  }

  /** Sends the request of a transfer. Throws GatewayError where HTTP does not allow its head. */
  start(transfer: Transfer): void {
    const head = transfer.requestHead(this.#address.authority)
    const { body, method } = transfer
    this.#transfer = transfer
    transfer.connection = this
    transfer.sent()
    this.#reader.expect(method, transfer)
    const socket = this.#socket
    if (!body || body.length <= MAX_JOINED_BYTES) {
      this.#waiting = head
      OUTBOX.add(this)
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      socket.write(body)
      socket.uncork()
    }
  }

  flush(): void {
    const head = this.#waiting
    if (head === '' || this.#socket.destroyed) return
    this.#waiting = ''
    const body = this.#transfer?.body
    if (!body) this.#socket.write(head, 'latin1')
    else
      joinedWrite
        .begin(head.length + body.length)
        .text(head)
        .bytes(body)
        .to(this.#socket)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Returns true: net goes on reading into the same buffer. */
  #read(chunk: Buffer): true {
    const transfer = this.#transfer
    const isUnsent = this.#waiting !== ''
    try {
      if (isUnsent) throw new GarbledError('bytes that came before the request was sent')
      transfer?.received()
      this.#reader.read(chunk)
    } catch (error) {
      this.#socket.destroy()
      if (transfer && transfer === this.#transfer) transfer.break(this.#fault(error), isUnsent)
    }
    const now = performance.now()
    if (transfer && transfer === this.#transfer && !this.#reader.isBusy) this.#finished(now)
    transfer?.deliver(now)
    return true
  }

  /** The answer is complete; bytes behind it have already broken the connection. */
  #finished(now: number): void {
    this.#transfer = undefined
    // The answer came before the whole request was taken: the backend would read the rest as the next request.
    const isClean = this.#reader.isReusable && this.#socket.writableLength === 0 && !this.#socket.destroyed
    if (!isClean) return this.destroy()
    // The reader of the body may have paused it.
    this.#socket.resume()
    const keptMs = (this.#reader.idleMs ?? MAX_IDLE_MS + MARGIN_MS) - MARGIN_MS
    this.#idleUntil = now + Math.min(MAX_IDLE_MS, Math.max(0, keptMs))
    if (rests(this.#reader.status)) this.#owner.rest(this)
    else this.#owner.free(this)
  }

  #ended(): void {
    // The end of the connection may be the end of the answer.
    if (this.#reader.close()) this.#transfer = undefined
    this.#socket.destroy()
  }

  #closed(error: Error | undefined): void {
    const transfer = this.#transfer
    this.#transfer = undefined
    if (transfer) transfer.break(this.#fault(error), this.#isUnsent(transfer, error))
    this.#owner.gone(this, this.#isOpen ? undefined : this.#refused(error))
    this.#isOpen = false
  }

  /** A small write to an idle connection is received as a whole or, where the backend has closed it, not at all. */
  #isUnsent({ body }: Transfer, error: Error | undefined): boolean {
    if (this.#waiting !== '') return true
    const isWrite = error !== undefined && 'syscall' in error && error.syscall === 'write'
    return isWrite && (body?.length ?? 0) <= MAX_JOINED_BYTES
  }

  #fault(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error
    const detail = { cause: error, backend: this.#address.authority }
    if (error instanceof GarbledError)
      return new GatewayError(
        'backendGarbled',
        `the backend answered with broken HTTP: ${error.message}`,
        detail,
      )
    return new GatewayError('backendReset', 'the backend closed the connection', detail)
  }

  #refused(error: Error | undefined): GatewayError {
    if (error instanceof GatewayError) return error
    const code = error && 'code' in error ? String(error.code) : 'closed'
    const what =
      code === 'ETIMEDOUT'
        ? 'the backend did not accept a connection in time'
        : `the backend refused the connection (${code})`
    const detail = { cause: error, backend: this.#address.authority, unsent: true }
    return new GatewayError('backendRefused', what, detail)
  }
}
