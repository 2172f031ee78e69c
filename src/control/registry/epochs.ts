/**
 * Decides which registration of an id is newer. The epoch is what the process claims as its age. It is compared while
 * the id is present and while its tombstone lives.
 */
import { addressesOf, haveSameAddresses } from '../../core/backend.ts'
import type { Member } from './member.ts'
import type { Tombstone } from './membership.ts'
import { type Registration, type RegistrationRefusal, refusal } from './registration.ts'

export interface EpochClaim {
  readonly id: string
  readonly registration: Registration
  readonly known: Member | undefined
  readonly buried: Tombstone | undefined
  /** Milliseconds since the Unix epoch. */
  readonly wall: number
}

/**
 * The epoch of a registration, or why it is refused. An epoch equal to the known member's is the same process again.
 */
export function epochOf({
  id,
  registration,
  known,
  buried,
  wall,
}: EpochClaim): { epoch: number } | RegistrationRefusal {
  if (known?.source === 'static') {
    return refusal('conflict', `"${id}" is a backend of the settings: register under another id`)
  }
  const newest = Math.max(known?.epoch ?? -1, buried?.epoch ?? -1)
  // After a wall clock was set back, a registration without an epoch must still be newer.
  const epoch = registration.epoch ?? Math.max(wall, newest + 1)
  if (epoch < newest) {
    return refusal('conflict', `epoch ${epoch} is older than ${newest}: a newer process has this id`)
  }
  if (epoch === buried?.epoch && buried.removed) {
    return refusal('conflict', `"${id}" was removed with epoch ${epoch}: come back with a newer epoch`)
  }
  if (known && epoch === known.epoch && !haveSameAddresses(known, registration)) {
    const at = addressesOf(known).join(' and ')
    const message = `epoch ${epoch} of "${id}" is at ${at}: another address needs a newer epoch`
    return refusal('conflict', message)
  }
  return { epoch }
}
