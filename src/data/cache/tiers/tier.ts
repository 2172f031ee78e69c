/**
 * A shared cache outside this process: bytes by digest. Meaning lives in the entry, not here.
 *
 * Absence is undefined, failure rejects; every operation settles within the tier's own timeout, also when
 * the server is frozen, and nothing is queued while it is away. Callers never see a Tier bare: `guard.ts`
 * puts the breaker around it.
 */
import type { Digest } from '../../../core/key.ts'
import type { LeaseTier } from './lease-tier.ts'

/**
 * Word that shared facts have changed, without saying which: who hears it asks. It may be lost, so nobody relies on
 * it; whoever does not hear it finds out by asking each second.
 */
export interface Hints {
  /** Never throws, never waits. */
  send(): void
  /** To be called once. */
  listen(run: () => void): void
}

/** The server that has the key is not there, while others of the tier are: as costless as a tier without a connection. */
export class Away extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Away'
  }
}

export function isAway(error: unknown): boolean {
  return error instanceof Away || (error instanceof Error && error.cause instanceof Away)
}

/** The server answers, but takes no writes at present: it is full, or a replica, or cannot save. */
export class Unwritable extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'Unwritable'
  }
}

/** The server does not take this value, being as long as it is; of the server itself that says nothing. */
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
   * When its youngest connection was made, in monotonic milliseconds: a server that has been away may be back with what it had
   * before. Left out: it comes back with nothing.
   */
  readonly since?: number
  /** Somebody is there, and whether it is what the settings say is being found out. */
  readonly isDeciding?: boolean
  /** Why there is no connection. */
  readonly trouble?: string
  /** Why the server will not have us, with what a person can do about it; undefined while it may. */
  readonly refusal?: string | undefined
  /** Whether the server that has the key is there, and takes a value of so many bytes. Left out: as far as is known. */
  takes?(digest: Digest, bytes: number): boolean
  /** One round trip for all; the answer has the keys' order. */
  getMany(digests: readonly Digest[]): Promise<(Uint8Array | undefined)[]>
  set(digest: Digest, value: Uint8Array, ttlMs: number): Promise<void>
  delete(digest: Digest): Promise<void>
  /** Facts shared by gateways (epochs, deployment tokens): sets `value` unless the name has one, and gives what it has then. */
  claim(name: string, value: string): Promise<string>
  /** Gives the values of shared facts; undefined where there is none. */
  facts(names: readonly string[]): Promise<(string | undefined)[]>
  /** Replaces a shared fact. */
  publish(name: string, value: string): Promise<void>
  /** Optional power: one gateway loads what several miss. */
  readonly leases?: LeaseTier
  /** Optional power: gateways tell each other that facts have changed. */
  readonly hints?: Hints
  close(): Promise<void>
}
