/**
 * Which registration of an id is the newer one. The epoch is the process's own claim of its age; it is
 * compared while the id is present, and while its tombstone lives.
 */
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

/** The epoch the registration has, or why it is refused. Equal to the known member's: the same process again. */
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
  // A wall clock set back must not make an unnamed epoch an old one.
  const epoch = registration.epoch ?? Math.max(wall, newest + 1)
  if (epoch < newest) {
    return refusal('conflict', `epoch ${epoch} is older than ${newest}: a newer process has this id`)
  }
  if (epoch === buried?.epoch && buried.removed) {
    return refusal('conflict', `"${id}" was removed with epoch ${epoch}: come back with a newer epoch`)
  }
  if (epoch === known?.epoch && known.url !== registration.url) {
    const message = `epoch ${epoch} of "${id}" is at ${known.url}: another URL needs a newer epoch`
    return refusal('conflict', message)
  }
  return { epoch }
}

/**
 * Where a registry begins to count generations. From the wall clock, so that a number given out before our own restart is
 * not given out again; by lot within the millisecond, for gateways that start together share their backends.
 */
export function firstGeneration(wall: number, random: () => number): number {
  return wall * 256 + Math.floor(random() * 256)
}
