/** The state and settings that the connections of one HTTP/2 door share. */
import type { ServerSessionOptions } from 'node:http2'
import type { Wheel } from '../../../lib/wheel.ts'
import type { Client } from '../../auth/authenticator.ts'
import type { DoorLimits } from '../door/context.ts'
import type { KnownRequests } from '../door/known-requests.ts'
import type { Ingress } from '../ingress.ts'

/** Bytes that may be on their way to all streams of a connection. */
export const CONNECTION_WINDOW = 1024 * 1024

/** The part of a connection that its door needs to end it. */
export interface Http2DoorConnection {
  retire(): void
  cut(): void
}

export interface Http2DoorContext extends Ingress {
  readonly limits: DoorLimits
  readonly wheel: Wheel
  readonly options: ServerSessionOptions
  /** What the door has learned of clients of this kind under the present settings. */
  readonly known: (client: Client) => KnownRequests
  readonly connections: Set<Http2DoorConnection>
}
