/** The state and settings that the connections of one fast door share. */
import type { Duplex } from 'node:stream'
import type { Wheel } from '../../../lib/wheel.ts'
import type { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { Client } from '../../auth/authenticator.ts'
import type { Ingress } from '../ingress.ts'
import type { KnownRequests } from './known-requests.ts'

/** All times in milliseconds. */
export interface DoorLimits {
  /** Longer heads are left to node:http. */
  readonly maxHeadBytes: number
  readonly headTimeoutMs: number
  readonly bodyTimeoutMs: number
  readonly keepAliveTimeoutMs: number
}

/** The part of a connection that its door needs to end it. */
export interface DoorConnection {
  /** Ends the connection if it is idle; otherwise its next answer is the last. */
  retire(): void
  cut(): void
}

export interface DoorContext extends Ingress {
  readonly limits: DoorLimits
  readonly wheel: Wheel
  /**
   * Hands the connection over to node:http, or to the HTTP/2 door. Its unread bytes are in the stream, and begin with `bytes`.
   * `headMs`: the time left for their head. `isNew`: they are the first of the connection. Closes it where it is foreign.
   */
  readonly handOver: (socket: Duplex, bytes: Buffer, at: { headMs: number; isNew: boolean }) => void
  /** What the door has learned of clients of this kind under the present settings. */
  readonly known: (client: Client) => KnownRequests
  readonly writeBatcher: WriteBatcher
  readonly connections: Set<DoorConnection>
  /** The field lines of a connection that stays open. */
  readonly keepAlive: string
  /** The gateway shuts down: an answer with no request behind it is the last on its connection. */
  leaving: boolean
  /** The gateway drains: every answer is the last on its connection. */
  draining: boolean
}
