/** What the connections of one door share. */
import type { Duplex } from 'node:stream'
import type { Wheel } from '../../../lib/wheel.ts'
import type { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { Ingress } from '../ingress.ts'
import type { KnownRequests } from './known-requests.ts'

/** All times in milliseconds. */
export interface DoorLimits {
  /** Longer heads are node:http's. */
  readonly maxHeadBytes: number
  readonly headTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
}

/** A connection, as its door ends it. */
export interface DoorConnection {
  /** Ends it if nothing is under way on it; otherwise its next answer is the last. */
  retire(): void
  cut(): void
}

export interface DoorContext extends Ingress {
  readonly limits: DoorLimits
  readonly wheel: Wheel
  /** Gives the connection to node:http; its unread bytes are in the stream. `headMs`: what is left for the head that they begin. */
  readonly handOver: (socket: Duplex, headMs: number) => void
  /** Under the present settings. */
  readonly known: () => KnownRequests
  readonly writeBatcher: WriteBatcher
  readonly connections: Set<DoorConnection>
  /** The field lines about a connection that stays. */
  readonly keepAlive: string
  /** The gateway goes: an answer with no request behind it is the last on its connection. */
  leaving: boolean
  /** And so is any other. */
  draining: boolean
}
