/** One connection to a backend: one request at a time, and an answer that is read strictly. */
import net from 'node:net'
import { GatewayError } from '../../core/errors.ts'
import { Scratch } from '../../lib/scratch.ts'
import { WriteBatcher } from '../../lib/write-batcher.ts'
import { checkedLookup } from './checked-lookup.ts'
import type { ClientOptions } from './exchange.ts'
import { GarbledError } from './reply-head.ts'
import { ReplyReader } from './reply-reader.ts'
import type { Transfer } from './transfer.ts'

/** Where an origin is. */
export interface OriginAddress {
  /** A name, or an address without brackets. */
  readonly host: string
  readonly port: number
  /** As it stands in Host. */
  readonly authority: string
}

/** Who owns the connection. */
export interface ConnectionOwner {
  connected(connection: PlainConnection): void
  /** It can take the next request. */
  free(connection: PlainConnection): void
  /** It is closed; the error only where it never came to be. */
  gone(connection: PlainConnection, error: GatewayError | undefined): void
}

/** Bodies up to this length go out in one string with their head. */
const MAX_TEXT_BYTES = 1024
/** And up to this one in one piece with it. */
const MAX_JOINED_BYTES = 12 * 1024
/** A connection is not used in the last second before the backend closes it: it may be closing already. */
const MARGIN_MS = 1000
const MAX_IDLE_MS = 30_000

/**
 * Where every connection's bytes arrive: they are read at once, and what is kept of them is copied. A buffer for each
 * read would cost more than reading it does.
 */
const ARRIVED = Buffer.allocUnsafeSlow(64 * 1024)

/** Requests of a turn leave together. */
const OUTBOX = new WriteBatcher()

/** Where head and body are put together: a string of their length would be garbage at once, and push what is needed out of the caches. */
let joined = new Scratch(2 * MAX_JOINED_BYTES)

/** One character a byte. */
function textOf(body: Uint8Array): string {
  // Of a Buffer no view need be made first.
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.length)
  return bytes.toString('latin1')
}

export class PlainConnection {
  readonly #socket: net.Socket
  readonly #keeper: ConnectionOwner
  readonly #place: OriginAddress
  readonly #reader = new ReplyReader()
  #transfer: Transfer | undefined
  /** The head of its request, while that has not left. */
  #waiting = ''
  #isOpen = false
  #idleUntil = Number.POSITIVE_INFINITY

  constructor(place: OriginAddress, options: ClientOptions, keeper: ConnectionOwner) {
    this.#place = place
    this.#keeper = keeper
    const { host, port } = place
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
      keeper.connected(this)
    })
    let error: Error | undefined
    socket.on('error', (cause) => (error = cause))
    socket.on('end', () => this.#ended())
    socket.on('close', () => this.#closed(error))
  }

  /** Monotonic milliseconds; a free connection must not be used from then on. */
  isFreeAt(now: number): boolean {
    return this.#isOpen && !this.#transfer && this.#socket.writable && now < this.#idleUntil
  }

  /** Sends the request of a transfer. Throws GatewayError where it cannot be sent as it is. */
  start(transfer: Transfer): void {
    const head = transfer.requestHead(this.#place.authority)
    const { body, method } = transfer
    this.#transfer = transfer
    transfer.connection = this
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
    else if (body.length <= MAX_TEXT_BYTES) this.#socket.write(head + textOf(body), 'latin1')
    else this.#join(head, body)
  }

  #join(head: string, body: Uint8Array): void {
    const size = head.length + body.length
    joined.fit(size)
    joined.bytes.write(head, 'latin1')
    joined.bytes.set(body, head.length)
    this.#socket.write(joined.view(size))
    // It has not left yet, and must not be written over.
    if (this.#socket.writableLength > 0) joined = new Scratch(2 * MAX_JOINED_BYTES)
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

  /** True: there may be more. */
  #read(chunk: Buffer): true {
    const transfer = this.#transfer
    const isUnsent = this.#waiting !== ''
    try {
      if (isUnsent) throw new GarbledError('bytes that came before the request was sent')
      transfer?.heard()
      this.#reader.read(chunk)
    } catch (error) {
      this.#socket.destroy()
      if (transfer && transfer === this.#transfer) transfer.break(this.#fault(error), isUnsent)
    }
    const now = performance.now()
    if (transfer && transfer === this.#transfer && !this.#reader.isBusy) this.#finished(now)
    transfer?.tell(now)
    return true
  }

  /** The answer is complete; what came behind it has already broken the connection. */
  #finished(now: number): void {
    this.#transfer = undefined
    // An answer before the whole request was taken: the rest of it would be read as the next.
    const isClean = this.#reader.isReusable && this.#socket.writableLength === 0 && !this.#socket.destroyed
    if (!isClean) return this.destroy()
    // The reader of the body may have stood still.
    this.#socket.resume()
    const keptMs = (this.#reader.idleMs ?? MAX_IDLE_MS + MARGIN_MS) - MARGIN_MS
    this.#idleUntil = now + Math.min(MAX_IDLE_MS, Math.max(0, keptMs))
    this.#keeper.free(this)
  }

  #ended(): void {
    // An answer may be delimited by this.
    if (this.#reader.close()) this.#transfer = undefined
    this.#socket.destroy()
  }

  #closed(error: Error | undefined): void {
    const transfer = this.#transfer
    this.#transfer = undefined
    if (transfer) transfer.break(this.#fault(error), this.#isUnsent(transfer, error))
    this.#keeper.gone(this, this.#isOpen ? undefined : this.#refused(error))
    this.#isOpen = false
  }

  /** One small write to an idle connection is taken as a whole or, where the backend has closed it, not at all. */
  #isUnsent({ body }: Transfer, error: Error | undefined): boolean {
    if (this.#waiting !== '') return true
    const isWrite = error !== undefined && 'syscall' in error && error.syscall === 'write'
    return isWrite && (body?.length ?? 0) <= MAX_JOINED_BYTES
  }

  #fault(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error
    const detail = { cause: error, backend: this.#place.authority }
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
    const detail = { cause: error, backend: this.#place.authority, unsent: true }
    return new GatewayError('backendRefused', what, detail)
  }
}
