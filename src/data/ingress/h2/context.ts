/** The state and settings that the connections of one HTTP/2 door share. */
import type { Wheel } from '../../../lib/wheel.ts'
import type { WriteBatcher } from '../../../lib/write-batcher.ts'
import type { Client } from '../../auth/authenticator.ts'
import type { DoorConnection, DoorLimits } from '../door/context.ts'
import type { KnownRequests } from '../door/known-requests.ts'
import type { Ingress } from '../ingress.ts'

export interface Http2DoorContext extends Ingress {
  readonly limits: DoorLimits
  readonly wheel: Wheel
  /** What the door has learned of clients of this kind under the present settings. */
  readonly known: (client: Client) => KnownRequests
  readonly writeBatcher: WriteBatcher
  readonly connections: Set<DoorConnection>
}
