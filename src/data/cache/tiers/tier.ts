/**
 * The interface of a tier: a shared cache outside this process, bytes by digest. What the bytes mean is in `entry.ts`.
 *
 * Absence is undefined, failure rejects. Every operation settles within the tier's own timeout, also when the server is
 * frozen, and nothing is queued while it is away. Callers never use a Tier directly: `guard.ts` puts deadlines and the
 * breakers around it.
 */
import type { Digest } from '../../../core/key.ts'
import type { LeaseTier } from './lease-tier.ts'

/**
 * Hints that shared facts have changed, without saying which: a gateway that gets one polls. A hint may be lost, so nobody
 * relies on it; each gateway polls every second anyway.
 */
export interface Hints {
  /** Never throws, never waits. */
  send(): void
  /** To be called once. */
  listen(run: () => void): void
}

/** The server that has the key is away, while others of the tier are there: it costs as little as a tier without a connection. */
export class Away extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Away'
  }
}

export function isAway(error: unknown): boolean {
  return error instanceof Away || (error instanceof Error && error.cause instanceof Away)
}

/** The server answers, but takes no writes for now: it is full, or a replica, or cannot save. */
export class Unwritable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Unwritable'
  }
}

/** The value is too long for the server, which says nothing of the server itself. */
export class Unfit extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Unfit'
  }
}

export interface Tier {
  /** The name in the YAML, shown in Cache-Status `detail`. */
  readonly name: string
  /** False while there is no connection: then nothing is asked. Left out: always asked. */
  readonly connected?: boolean
  /**
   * When the youngest connection was made, in monotonic milliseconds: a server that was away may be back with the values it
   * had before. Left out: it comes back empty.
   */
  readonly since?: number
  /** A server has answered, and whether it is the one that the settings describe is being found out. */
  readonly isDeciding?: boolean
  /** Why there is no connection. */
  readonly trouble?: string
  /** Of several servers those that are away or too slow to be asked, for people; undefined while all are there. */
  readonly missing?: string | undefined
  /** Why the server refuses us, with what a person can do about it; undefined while it does not. */
  readonly refusal?: string | undefined
  /** Whether the server that has the key is connected, and takes a value of this size. Left out: unknown. */
  takes?(digest: Digest, bytes: number): boolean
  /** One round trip for all; the values are in the keys' order. */
  getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]>
  set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void>
  delete(digest: Digest): Promise<void>
  /** Sets a fact that gateways share (epochs, deployments) to `value` unless it has one; returns the value it has then. */
  claim(name: string, value: string): Promise<string>
  /** The values of shared facts; undefined where there is none. */
  facts(names: readonly string[]): Promise<(string | undefined)[]>
  /** Replaces a shared fact. */
  publish(name: string, value: string): Promise<void>
  /** Optional: one gateway loads what several miss. */
  readonly leases?: LeaseTier
  /** Optional: gateways tell each other that facts have changed. */
  readonly hints?: Hints
  close(): Promise<void>
}
