/**
 * One connection to a server that answers in the order in which it was asked: opened, greeted, given up when it is of no
 * use, and opened again for as long as the link lives. While there is none every question rejects at once. A strict
 * reader judges what the server sends: whatever is not right ends the connection, and nothing can end the process.
 */
import net from 'node:net'
import tls from 'node:tls'
import { type Operation, Outstanding, retryDelay, within } from './remote.ts'
import { Away } from './tier.ts'

export type Parts = readonly (string | Uint8Array)[]
export type Ask<R> = (parts: Parts) => Promise<R>

export interface Address {
  readonly host: string
  readonly port: number
}

/** The server will not have us as things are, however often we try: somebody must change the settings, here or there. */
export class Refused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Refused'
  }
}

export interface LinkOptions<R> {
  /** Asked for every attempt. */
  readonly address: () => Address
  /** Undefined: plain TCP. */
  readonly tls?: ((address: Address) => tls.ConnectionOptions) | undefined
  /** Milliseconds for a connection to be made and greeted. */
  readonly connectTimeout: number
  readonly reader: (take: (reply: R) => void) => { read(chunk: Buffer): void }
  /** What is asked first on every connection; rejects where the server is not fit, `Refused` where it will not be. */
  readonly greet: (ask: Ask<R>, address: Address) => Promise<void>
  /** Finds out why a connection could not be made; gives the error itself where there is no more to know. */
  readonly diagnose?: (error: Error, address: Address) => Promise<Error>
  /** Takes what nobody asked for; without it that ends the connection. */
  readonly heard?: (reply: R) => void
}

/** Once refused, it is a person who has to act: asked seldom enough not to fill the server's own log. */
const REFUSED_RETRY_MS = 5_000
/** A connection that is replaced finishes what it was asked. */
const RETIRE_MS = 1_000
const KEEP_ALIVE_MS = 30_000
/** Bounds on how often a working connection is replaced, and after how long without need they begin anew. */
const FIRST_PAUSE_MS = 1_000
const MAX_PAUSE_MS = 30_000
const CALM_MS = 60_000

export class Link<R> {
  readonly #options: LinkOptions<R>
  #up: Session<R> | undefined
  #trying: Session<R> | undefined
  #attempts = 0
  #trouble = 'still connecting'
  #refusal: string | undefined
  #retry: NodeJS.Timeout | undefined
  #closed = false
  #renewedAt = Number.NEGATIVE_INFINITY
  #pauseMs = FIRST_PAUSE_MS

  constructor(options: LinkOptions<R>) {
    this.#options = options
    void this.#connect()
  }

  get isUp(): boolean {
    return this.#up !== undefined
  }

  /** Somebody is there, and whether it is the right one is being found out. */
  get isDeciding(): boolean {
    return this.#trying?.isMet ?? false
  }

  /** Why there is no connection. */
  get trouble(): string {
    return this.#trouble
  }

  /** Why the server will not have us; undefined while it may. */
  get refusal(): string | undefined {
    return this.#refusal
  }

  /** Asks within a time; four times in a row in vain, and the connection is given up. */
  run<T>(
    operation: Omit<Operation<T>, 'start'> & { readonly start: (ask: Ask<R>) => Promise<T> },
  ): Promise<T> {
    const session = this.#up
    if (this.#closed) return Promise.reject(new Error('closed'))
    if (!session) return Promise.reject(new Away(`not connected: ${this.#trouble}`))
    const { what, ms, bytes = 0, start } = operation
    return session.outstanding.run({
      what,
      ms,
      bytes,
      start: () => session.inOneWrite(() => start(session.ask)),
    })
  }

  /** Ends the connection: the server said that it is of no use now. */
  drop(reason: string): void {
    if (this.#up) this.#lose(this.#up, new Error(reason))
  }

  /** Under the same name another server may be found by now. The old connection serves until the new one does. */
  renew(): void {
    const now = performance.now()
    const since = now - this.#renewedAt
    if (!this.#up || this.#trying || since < this.#pauseMs) return
    this.#pauseMs = since < CALM_MS ? Math.min(MAX_PAUSE_MS, this.#pauseMs * 2) : FIRST_PAUSE_MS
    this.#renewedAt = now
    clearTimeout(this.#retry)
    void this.#connect()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    for (const session of [this.#up, this.#trying]) session?.end(new Error('closed'))
    this.#up = undefined
    this.#trying = undefined
  }

  async #connect(): Promise<void> {
    const { connectTimeout, greet, diagnose } = this.#options
    const address = this.#options.address()
    const session = new Session<R>(this.#options, address)
    this.#trying = session
    session.ended = (error) => this.#lose(session, error)
    try {
      await within(
        connectTimeout,
        session.opened.then(() => session.inOneWrite(() => greet(session.ask, address))),
        'connect',
      )
      if (session.error) throw session.error
      this.#settle(session)
    } catch (caught) {
      const first = caught instanceof Error ? caught : new Error(String(caught))
      const error =
        first instanceof Refused || this.#closed ? first : await (diagnose?.(first, address) ?? first)
      session.end(error)
      if (this.#trying === session) this.#fail(error)
    }
  }

  #settle(session: Session<R>): void {
    if (this.#closed) return session.end(new Error('closed'))
    const old = this.#up
    this.#trying = undefined
    this.#up = session
    this.#attempts = 0
    this.#refusal = undefined
    old?.retire(RETIRE_MS)
  }

  /** An attempt has failed. */
  #fail(error: Error): void {
    this.#trying = undefined
    this.#trouble = error.message
    this.#refusal = error instanceof Refused ? error.message : undefined
    // One that was to replace a working connection is not tried again by itself.
    if (this.#up) return
    this.#again(this.#refusal === undefined ? retryDelay(++this.#attempts) : REFUSED_RETRY_MS)
  }

  /** A connection that worked has ended; one that is being tried is dealt with where it is tried. */
  #lose(session: Session<R>, error: Error): void {
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

interface Waiting<R> {
  readonly resolve: (reply: R) => void
  readonly reject: (error: Error) => void
}

/** One connection, from its opening to its end. */
class Session<R> {
  readonly outstanding: Outstanding
  /** Resolves when bytes may be sent; rejects with the reason why not. */
  readonly opened: Promise<void>
  /** Called once, with the reason. */
  ended: (error: Error) => void = () => {}
  error: Error | undefined
  /** The server's side has answered, be it with the handshake of TCP. */
  isMet = false
  readonly #socket: net.Socket
  readonly #heard: ((reply: R) => void) | undefined
  readonly #waiting: Waiting<R>[] = []
  #isRetired = false

  constructor({ tls: secure, reader: openReader, heard }: LinkOptions<R>, address: Address) {
    this.outstanding = new Outstanding(() => this.#over(new Error('it stopped answering')))
    this.#heard = heard
    const reader = openReader((reply) => this.#take(reply))
    const socket = secure ? tls.connect(secure(address)) : net.connect(address)
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    this.opened = new Promise((resolve, reject) => {
      socket.once('connect', () => {
        this.isMet = true
      })
      socket.once(secure ? 'secureConnect' : 'connect', resolve)
      socket.on('error', (error) => {
        reject(error)
        this.#over(error)
      })
      socket.on('close', () => {
        const error = new Error('it closed the connection')
        reject(error)
        this.#over(error)
      })
    })
    this.opened.catch(() => {})
    socket.on('data', (chunk: Buffer) => {
      if (this.isOver) return
      try {
        reader.read(chunk)
      } catch (error) {
        this.#over(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }

  get isOver(): boolean {
    return this.error !== undefined
  }

  readonly ask: Ask<R> = (parts) => {
    const { error } = this
    if (error) return Promise.reject(error)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#write(parts)
    })
  }

  /** What `run` asks at once leaves in one write. */
  inOneWrite<T>(run: () => T): T {
    this.#socket.cork()
    try {
      return run()
    } finally {
      this.#socket.uncork()
    }
  }

  end(error: Error): void {
    if (this.error) return
    this.error = error
    this.#socket.destroy()
    for (const { reject } of this.#waiting.splice(0)) reject(error)
  }

  /** Ends once what was asked is answered, or soon. */
  retire(ms: number): void {
    this.#isRetired = true
    if (this.#waiting.length === 0) return this.end(new Error('replaced'))
    setTimeout(() => this.end(new Error('replaced')), ms).unref()
  }

  #write(parts: Parts): void {
    const [only] = parts
    if (only !== undefined && parts.length === 1) this.#socket.write(only)
    else
      this.inOneWrite(() => {
        for (const part of parts) this.#socket.write(part)
      })
  }

  #take(reply: R): void {
    const waiting = this.#waiting.shift()
    if (waiting) waiting.resolve(reply)
    else if (this.#heard) this.#heard(reply)
    else throw new Error('it said what nobody asked for')
    if (this.#isRetired && this.#waiting.length === 0) this.end(new Error('replaced'))
  }

  #over(error: Error): void {
    if (this.error) return
    this.end(error)
    this.ended(error)
  }
}
