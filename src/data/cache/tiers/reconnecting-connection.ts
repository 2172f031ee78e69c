/**
 * A connection to one server of a tier that reconnects for as long as it lives: a client library opens it, it is greeted,
 * dropped when it fails, and opened again. While there is none every request rejects at once. A library's own
 * reconnecting, queueing and resending is never used: it has no deadline, and hides why there is no connection.
 */
import type { SocketAddress } from '../../../core/addresses.ts'
import { type Operation, Outstanding, retryDelay, within } from './remote.ts'
import { Away } from './tier.ts'

/** The server refuses us however often we try: somebody must change the settings, here or at the server. */
export class ConnectionRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Refused'
  }
}

/** The events of a connection. */
export interface Events {
  /** The server has answered, if only with the handshake of TCP. */
  met(): void
  /** The connection has failed or ended; may be called again. */
  over(error: Error): void
}

/** A connection as a client library opens it. */
export interface ClientConnection<C> {
  /** Sends requests, once the connection is opened; outstanding ones reject when it ends. */
  readonly client: C
  /** Resolves when requests may be sent. Where that fails, `over` is called, and this need not settle. */
  readonly opened: Promise<void>
  /** Closes it at once. */
  end(error: Error): void
}

export interface ReconnectingOptions<C> {
  /** Called for every attempt. */
  readonly address: () => SocketAddress
  /** Milliseconds for a connection to be made and greeted. */
  readonly connectTimeout: number
  readonly open: (address: SocketAddress, events: Events) => ClientConnection<C>
  /** The first requests on every connection; rejects where the server is unfit, with ConnectionRefused where it will stay so. */
  readonly greet: (client: C, address: SocketAddress) => Promise<void>
  /** Finds out why a connection could not be made; returns the error itself where there is no more to know. */
  readonly diagnose?: (error: Error, address: SocketAddress) => Promise<Error>
}

/** After a refusal a person has to act, so attempts are rare enough not to fill the server's log. */
const REFUSED_RETRY_MS = 5_000
/** How long a connection that was replaced may finish its outstanding requests. */
const RETIRE_MS = 1_000
/** Bounds on how often a working connection is replaced; after CALM_MS without need the pause starts anew. */
const FIRST_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 30_000
const CALM_MS = 60_000

export class ReconnectingConnection<C> {
  readonly #options: ReconnectingOptions<C>
  #up: Session<C> | undefined
  #trying: Session<C> | undefined
  #attempts = 0
  #trouble = 'still connecting'
  #refusal: string | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false
  #renewedAt = Number.NEGATIVE_INFINITY
  #pauseMs = FIRST_PAUSE_MS
  #since = Number.NEGATIVE_INFINITY

  constructor(options: ReconnectingOptions<C>) {
    this.#options = options
    void this.#connect()
  }

  get isUp(): boolean {
    return this.#up !== undefined
  }

  /** When the last connection was made, in monotonic milliseconds: since then it may be another server than before. */
  get since(): number {
    return this.#since
  }

  /** A server has answered, and its greeting is still under way. */
  get isDeciding(): boolean {
    return this.#trying?.isMet ?? false
  }

  /** Why there is no connection. */
  get trouble(): string {
    return this.#trouble
  }

  /** Why the server refuses us; undefined while it does not. */
  get refusal(): string | undefined {
    return this.#refusal
  }

  /** Sends a request with a timeout; after four timeouts in a row the connection is dropped. */
  run<T>(operation: Omit<Operation<T>, 'start'> & { readonly start: (client: C) => Promise<T> }): Promise<T> {
    const session = this.#up
    if (this.#closed) return Promise.reject(new Error('closed'))
    if (!session) return Promise.reject(new Away(`not connected: ${this.#trouble}`))
    const { start, ...rest } = operation
    return session.outstanding.run({ ...rest, start: () => start(session.client) })
  }

  /** Drops the connection: the server said that it cannot serve now. */
  drop(reason: string): void {
    if (this.#up) this.#lose(this.#up, new Error(reason))
  }

  /** Connects again, since the name may resolve to another server by now. The old connection serves until the new one does. */
  renew(): void {
    const now = performance.now()
    const since = now - this.#renewedAt
    if (!this.#up || this.#trying || since < this.#pauseMs) return
    this.#pauseMs = since < CALM_MS ? Math.min(MAX_PAUSE_MS, this.#pauseMs * 2) : FIRST_PAUSE_MS
    this.#renewedAt = now
    clearTimeout(this.#retry)
    void this.#connect()
  }

  /** Outstanding requests reject with `reason`. */
  close(reason: Error = new Error('closed')): void {
    this.#closed = true
    clearTimeout(this.#retry)
    for (const session of [this.#up, this.#trying]) session?.end(reason)
    this.#up = undefined
    this.#trying = undefined
  }

  async #connect(): Promise<void> {
    const { connectTimeout, greet, diagnose } = this.#options
    const address = this.#options.address()
    const session = new Session<C>(this.#options, address)
    this.#trying = session
    session.ended = (error) => this.#lose(session, error)
    try {
      await within(
        connectTimeout,
        session.opened.then(() => session.orEnded(greet(session.client, address))),
        'connect',
      )
      if (session.error) throw session.error
      this.#settle(session)
    } catch (caught) {
      const first = caught instanceof Error ? caught : new Error(String(caught))
      const error =
        first instanceof ConnectionRefused || this.#closed
          ? first
          : await (diagnose?.(first, address) ?? first)
      session.end(error)
      if (this.#trying === session) this.#fail(error)
    }
  }

  #settle(session: Session<C>): void {
    if (this.#closed) return session.end(new Error('closed'))
    const old = this.#up
    this.#trying = undefined
    this.#up = session
    this.#since = performance.now()
    this.#attempts = 0
    this.#refusal = undefined
    old?.retire(RETIRE_MS)
  }

  /** Handles a failed attempt. */
  #fail(error: Error): void {
    this.#trying = undefined
    this.#trouble = error.message
    this.#refusal = error instanceof ConnectionRefused ? error.message : undefined
    // An attempt to replace a working connection is not repeated: the next `renew` makes another.
    if (this.#up) return
    this.#again(this.#refusal === undefined ? retryDelay(++this.#attempts) : REFUSED_RETRY_MS)
  }

  /** Handles the end of the working connection; `#connect` handles that of one being opened. */
  #lose(session: Session<C>, error: Error): void {
    session.end(error)
    if (session !== this.#up) return
    this.#up = undefined
    this.#trouble = error.message
    if (!this.#trying) this.#again(retryDelay(++this.#attempts))
  }

  #again(ms: number): void {
    if (this.#closed) return
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => void this.#connect(), ms)
    this.#retry.unref()
  }
}

/** One connection, from its opening to its end. */
class Session<C> {
  readonly outstanding: Outstanding
  /** Rejects with the reason why it was not opened. */
  readonly opened: Promise<void>
  /** Called once, with the reason. */
  ended: (error: Error) => void = () => {}
  error: Error | undefined
  isMet = false
  readonly #connection: ClientConnection<C>
  readonly #failed: Promise<never>
  #fail: (error: Error) => void = () => {}

  constructor({ open }: ReconnectingOptions<C>, address: SocketAddress) {
    this.outstanding = new Outstanding(() => this.#over(new Error('it stopped answering')))
    this.#failed = new Promise<never>((_, reject) => {
      this.#fail = reject
    })
    this.#connection = open(address, {
      met: () => {
        this.isMet = true
      },
      over: (error) => this.#over(error),
    })
    this.#failed.catch(() => {})
    this.opened = this.orEnded(this.#connection.opened)
    this.opened.catch(() => {})
  }

  get client(): C {
    return this.#connection.client
  }

  /** Settles as `work` does, or rejects when the connection ends: a library may leave a request open that it failed at. */
  orEnded<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#failed])
  }

  end(error: Error): void {
    if (this.error) return
    this.error = error
    this.#fail(error)
    this.#connection.end(error)
  }

  /** Ends when all requests are answered, or after `ms`. */
  retire(ms: number): void {
    if (this.outstanding.isIdle) return this.end(new Error('replaced'))
    setTimeout(() => this.end(new Error('replaced')), ms).unref()
  }

  #over(error: Error): void {
    if (this.error) return
    this.end(error)
    this.ended(error)
  }
}
