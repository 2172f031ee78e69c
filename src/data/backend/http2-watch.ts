/**
 * Watches a connection of the HTTP/2 client: pings find out whether a silent backend is still there, one that reads nothing is given
 * up, and one that nobody uses is closed.
 */
import { timer, type Wheel } from '../../lib/wheel.ts'

/** How a connection is watched. */
export interface WatchOptions {
  /** Time between two looks at the connection. */
  readonly lookMs: number
  /** Looks at a connection without streams before it is closed. */
  readonly idleLooks: number
  /** Longest wait for the answer to a ping, and for a backend that reads nothing. */
  readonly pingMs: number
}

/** Load balancers drop connections that are idle for longer than a minute. */
export const WATCH: WatchOptions = { lookMs: 20_000, idleLooks: 2, pingMs: 20_000 }

/**
 * Servers of gRPC end a connection with more than two pings, five minutes apart or less, to which they sent nothing in
 * between (grpc/proposal A8); the first is free.
 */
const FREE_PINGS = 3
const RARE_PING_MS = 310_000
const PING = Buffer.from('infergat')

/** What is watched. */
export interface WatchedConnection {
  /** Streams that are open. */
  readonly running: number
  /** Streams ever begun. */
  readonly started: number
  sendPing(payload: Buffer): void
  /** The backend has answered a ping, or reads again. */
  trusted(): void
  /** A look was taken. */
  looked(): void
  close(): void
  destroy(error: Error): void
}

export class Http2Watch {
  readonly #connection: WatchedConnection
  readonly #wheel: Wheel
  readonly #options: WatchOptions
  readonly #timer = timer(() => this.#look())
  readonly #silent = timer(() =>
    this.#connection.destroy(new Error(this.#isBlocked ? 'it reads nothing' : 'no answer to a ping')),
  )
  /** How often something of an answer has arrived; and how often at the last look. */
  #arrivals = 0
  #arrivalsSeen = 0
  #startedSeen = 0
  #idleLooks = 0
  #isDoubted = false
  /** It is doubted because it reads nothing. */
  #isBlocked = false
  /** Pings since something of an answer has arrived, and when the last one was sent. */
  #pings = 0
  #pingedAt = 0

  constructor(
    connection: WatchedConnection,
    { wheel, watch }: { readonly wheel: Wheel; readonly watch: WatchOptions },
  ) {
    this.#connection = connection
    this.#wheel = wheel
    this.#options = watch
  }

  /** A ping is not answered yet, or nothing is read, so the connection gets no more streams. */
  get isDoubted(): boolean {
    return this.#isDoubted
  }

  /** Grows whenever something of an answer arrives. */
  get arrivals(): number {
    return this.#arrivals
  }

  begin(): void {
    this.#wheel.arm(this.#timer, this.#options.lookMs)
  }

  end(): void {
    this.#wheel.disarm(this.#timer)
    this.#wheel.disarm(this.#silent)
  }

  /** Something of an answer has arrived. */
  heard(): void {
    this.#arrivals++
    this.#pings = 0
  }

  /** An answer is late. Where none has arrived since there were `arrivals`, a ping must be answered before there is another stream. */
  doubt(arrivals: number): void {
    if (this.#arrivals === arrivals) this.#ping()
  }

  /** The backend has answered a ping. */
  answered(payload: Buffer): void {
    if (this.#isDoubted && !this.#isBlocked && payload.equals(PING)) this.#trust()
  }

  /**
   * A request is cut that the backend may not have read, since it does not read at present. Such requests would pile up: a ping behind
   * them says no more than that it reads again.
   */
  blocked(): void {
    if (this.#isDoubted) return
    this.#isBlocked = true
    this.#doubt()
  }

  /** The backend has read all that was sent. */
  drained(): void {
    if (this.#isBlocked) this.#trust()
  }

  #doubt(): void {
    this.#isDoubted = true
    this.#wheel.arm(this.#silent, this.#options.pingMs)
  }

  #trust(): void {
    this.#wheel.disarm(this.#silent)
    this.#isDoubted = this.#isBlocked = false
    this.#connection.trusted()
  }

  #look(): void {
    const { lookMs, idleLooks } = this.#options
    const { running, started } = this.#connection
    this.#wheel.arm(this.#timer, lookMs)
    this.#connection.looked()
    if (running > 0) {
      this.#idleLooks = 0
      if (this.#arrivals === this.#arrivalsSeen) this.#ping()
      this.#arrivalsSeen = this.#arrivals
      return
    }
    this.#idleLooks = started === this.#startedSeen ? this.#idleLooks + 1 : 0
    this.#startedSeen = started
    if (this.#idleLooks >= idleLooks) this.#connection.close()
  }

  /** Asks the backend whether it is there, unless it was asked as often as servers bear. */
  #ping(): void {
    const now = this.#wheel.now()
    if (this.#isDoubted || (this.#pings >= FREE_PINGS && now - this.#pingedAt < RARE_PING_MS)) return
    this.#pings++
    this.#pingedAt = now
    this.#doubt()
    this.#connection.sendPing(PING)
  }
}
