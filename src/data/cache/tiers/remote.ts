/**
 * What all tiers behind a socket share: options, a bound on outstanding operations, a deadline on each, and the rule that a
 * connection is dropped and made anew after several operations in a row went unanswered.
 */
import { createHash } from 'node:crypto'
import type { HostPort } from '../../../core/addresses.ts'
import type { Digest } from '../../../core/key.ts'

export interface RemoteOptions {
  readonly name: string
  /** Milliseconds; default 25. */
  readonly readTimeout?: number
  /** Milliseconds; default 250. */
  readonly writeTimeout?: number
  /** Milliseconds; default 1,000. */
  readonly connectTimeout?: number
  /** Larger values are refused on write and a miss on read. */
  readonly maxEntryBytes?: number
  /** The prefix of every key; default `ig1:`. */
  readonly prefix?: string
}

export const DEFAULT_READ_TIMEOUT = 25
export const DEFAULT_WRITE_TIMEOUT = 250
export const DEFAULT_CONNECT_TIMEOUT = 1_000
export const DEFAULT_PREFIX = 'ig1:'

/** The most keys of one round trip; more keys are sent in several. */
export const MAX_KEYS = 512

const MAX_OPERATIONS = 2_048
const MAX_PENDING_BYTES = 64 * 1024 * 1024
const STRIKES = 4
const MAX_RETRY_MS = 2_000

/** There was no answer in time. */
export class Late extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Late'
  }
}

export function isLate(error: unknown): boolean {
  return error instanceof Late || (error instanceof Error && error.cause instanceof Late)
}

/** Settles as `work` does, or rejects after `ms`. What arrived while the event loop was busy is still read first. */
export function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Late(`${what}: no answer within ${ms} ms`))
    const timer = setTimeout(() => setImmediate(late), ms)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

export interface Operation<T> {
  readonly what: string
  readonly ms: number
  /** Bytes that wait in the socket until the server takes them. */
  readonly bytes?: number
  readonly start: () => Promise<T>
}

/** The outstanding operations of one connection: bounded, timed, and watched for silence. */
export class Outstanding {
  readonly #onSilence: () => void
  #operations = 0
  #bytes = 0
  #strikes = 0

  /** `onSilence` is called when several operations in a row got no answer in time. */
  constructor(onSilence: () => void) {
    this.#onSilence = onSilence
  }

  get isIdle(): boolean {
    return this.#operations === 0
  }

  async run<T>({ what, ms, bytes = 0, start }: Operation<T>): Promise<T> {
    if (this.#operations >= MAX_OPERATIONS || this.#bytes + bytes > MAX_PENDING_BYTES) {
      throw new Error(`${what}: too many operations wait for the server`)
    }
    const work = start()
    this.#operations++
    this.#bytes += bytes
    let settled = false
    const ended = () => {
      settled = true
      this.#operations--
      this.#bytes -= bytes
    }
    // Counted until the server has really answered, not until we stop waiting.
    work.then(ended, ended)
    try {
      const value = await within(ms, work, what)
      this.#strikes = 0
      return value
    } catch (error) {
      if (!settled && ++this.#strikes >= STRIKES) {
        this.#strikes = 0
        this.#onSilence()
      }
      throw error
    }
  }
}

/** A jittered pause before attempt `n` (from 1) to connect: at most two seconds, so that a returning server is found soon. */
export function retryDelay(n: number): number {
  const full = Math.min(MAX_RETRY_MS, 50 * 2 ** Math.min(n, 10))
  return Math.round(full * (0.5 + Math.random() / 2))
}

const scratch = Buffer.allocUnsafeSlow(32)

export function base64url(digest: Digest): string {
  scratch.write(digest, 0, 'latin1')
  return scratch.toString('base64url')
}

/** Parses `host:port`, or `[v6]:port`. @throws Error where it is neither. */
export function hostPortOf(name: string, server: string, defaultPort = 0): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/.exec(server)
  const port = Number(match?.[3] ?? defaultPort)
  const host = match?.[1] ?? match?.[2]
  if (!host || port < 1 || port > 65_535) throw new Error(`${name}: "${server}" is not host:port`)
  return { host, port }
}

/** The key of a shared fact: readable where possible, and never longer than a server allows. */
export function factName(name: string): string {
  const plain = /^[\x21-\x7a]{1,150}$/.test(name)
  return plain ? name : `~${createHash('sha256').update(name).digest('base64url')}`
}
