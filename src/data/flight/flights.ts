/**
 * One load a key at a time. A flight is the promise of one row's answer that somebody is already fetching:
 * who asks for the same row meanwhile joins it.
 *
 * A caller who leaves harms nobody: the load goes on while anyone waits for any of its rows, and is cancelled
 * when the last one has left; from then on its flights are not found, so nobody joins what is being given up.
 * Each waiter keeps its own deadline. A flight always lands, also when the load throws, so the map is empty
 * when nothing is under way. A load that takes very long is overtaken once, so that a hung backend does not
 * gather everybody who comes.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'

export interface Flight<L> {
  readonly digest: Digest
  /**
   * Resolves when the flight has landed; rejects with the signal's reason when the waiter leaves first. To be
   * called once for each join, in the same turn: until then a joined flight counts as waited for.
   */
  wait(signal: Signal): Promise<L>
}

/** What one load has taken upon itself: the flights it opened, and a signal that ends it. */
export interface Load<L> {
  readonly digests: readonly Digest[]
  /** Aborted when nobody waits for any of these rows any more. */
  readonly signal: Signal
  land(digest: Digest, landing: L): void
}

export interface FlightsOptions {
  /** How many may wait for one flight; whoever comes then opens another. */
  readonly maxWaiters: number
  /** Milliseconds after which one more load for the same row may start beside the first; default 5,000. */
  readonly leaderAgeMs?: number
  readonly clock?: Clock
}

const LEADER_AGE_MS = 5_000

export class Flights<L> {
  /** For each row the flight to join: the last one opened. */
  readonly #open = new Map<Digest, OpenFlight<L>>()
  readonly #maxWaiters: number
  readonly #leaderAgeMs: number
  readonly #clock: Clock

  constructor({ maxWaiters, leaderAgeMs = LEADER_AGE_MS, clock = systemClock }: FlightsOptions) {
    this.#maxWaiters = maxWaiters
    this.#leaderAgeMs = leaderAgeMs
    this.#clock = clock
  }

  get size(): number {
    return this.#open.size
  }

  has(digest: Digest): boolean {
    return this.#open.has(digest)
  }

  /** Nobody joins the present flight for this row any more; those who wait for it go on waiting. */
  retire(digest: Digest): void {
    this.#open.delete(digest)
  }

  /** The flight for a row that is under way and has room, joined. */
  join(digest: Digest): Flight<L> | undefined {
    const flight = this.#open.get(digest)
    if (!flight || flight.waiters >= this.#maxWaiters || this.#isOvertaken(flight)) return undefined
    flight.join()
    return flight
  }

  /**
   * Opens a flight for each row and runs the load for all of them; the caller waits on what it gets back, one
   * flight for each digest, equal ones included. `unlanded` is what a flight lands with that the load left
   * open, with the load's error if it threw.
   */
  open(
    digests: readonly Digest[],
    run: (load: Load<L>) => Promise<void>,
    unlanded: (error: unknown) => L,
  ): readonly Flight<L>[] {
    const cancel = new Cancel()
    const own = new Map<Digest, OpenFlight<L>>()
    const crew = new Crew(() => {
      for (const flight of own.values()) this.#forget(flight)
      cancel.abort(new GatewayError('callerLeft', 'nobody waits for this any more'))
    })
    const flights = digests.map((digest) => {
      const known = own.get(digest)
      if (known) known.join()
      const flight = known ?? new OpenFlight<L>(digest, crew, this.#clock.now())
      own.set(digest, flight)
      return flight
    })
    for (const flight of own.values()) this.#publish(flight)
    const land = (digest: Digest, landing: L) => {
      const flight = own.get(digest)
      if (!flight) return
      this.#forget(flight)
      flight.land(landing)
    }
    void this.#fly({ digests: [...own.keys()], signal: cancel, land }, run, unlanded)
    return flights
  }

  /** Where there is one already it is full or old: whoever comes next joins this one. */
  #publish(flight: OpenFlight<L>): void {
    const present = this.#open.get(flight.digest)
    if (present && this.#isOvertaken(present)) flight.overtook = present
    this.#open.set(flight.digest, flight)
  }

  /** Too long under way, and none beside it yet: two loads for one row are the most. */
  #isOvertaken(flight: OpenFlight<L>): boolean {
    const isAlone = flight.overtook === undefined || flight.overtook.isOver
    return isAlone && this.#clock.now() - flight.began >= this.#leaderAgeMs
  }

  #forget(flight: OpenFlight<L>): void {
    if (this.#open.get(flight.digest) === flight) this.#open.delete(flight.digest)
  }

  async #fly(
    load: Load<L>,
    run: (load: Load<L>) => Promise<void>,
    unlanded: (error: unknown) => L,
  ): Promise<void> {
    let failure: unknown
    try {
      await run(load)
    } catch (error) {
      failure = error
    }
    for (const digest of load.digests) load.land(digest, unlanded(failure))
  }
}

/** All who wait for a row of one load that has not landed. */
class Crew {
  isGone = false
  #waiters = 0
  #aloft = 0
  readonly #deserted: () => void

  constructor(deserted: () => void) {
    this.#deserted = deserted
  }

  opened(): void {
    this.#aloft++
  }

  joined(): void {
    this.#waiters++
  }

  left(): void {
    this.#waiters--
    this.#check()
  }

  landed(waiters: number): void {
    this.#aloft--
    this.#waiters -= waiters
    this.#check()
  }

  /** When all has landed there is nothing to cancel, and an answer may still be on its way out. */
  #check(): void {
    if (this.isGone || this.#waiters > 0 || this.#aloft === 0) return
    this.isGone = true
    this.#deserted()
  }
}

class OpenFlight<L> implements Flight<L> {
  readonly digest: Digest
  readonly began: number
  waiters = 0
  /** The older load for the same row, where this one was opened beside it for its age. */
  overtook: OpenFlight<L> | undefined
  #landed = false
  #resolve: (landing: L) => void = () => {}
  readonly #landing: Promise<L>
  readonly #crew: Crew

  constructor(digest: Digest, crew: Crew, began: number) {
    this.digest = digest
    this.began = began
    this.#crew = crew
    this.#landing = new Promise((resolve) => {
      this.#resolve = resolve
    })
    crew.opened()
    // Who opened it counts as the first.
    this.join()
  }

  /** Landed, or given up. */
  get isOver(): boolean {
    return this.#landed || this.#crew.isGone
  }

  join(): void {
    this.waiters++
    this.#crew.joined()
  }

  land(landing: L): void {
    if (this.#landed) return
    this.#landed = true
    this.overtook = undefined
    this.#resolve(landing)
    this.#crew.landed(this.waiters)
  }

  wait(signal: Signal): Promise<L> {
    return new Promise((resolve, reject) => {
      const left = () => {
        reject(signal.reason)
        if (this.#landed) return
        this.waiters--
        this.#crew.left()
      }
      if (signal.aborted) return left()
      signal.addEventListener('abort', left, { once: true })
      void this.#landing.then((landing) => {
        signal.removeEventListener('abort', left)
        resolve(landing)
      })
    })
  }
}
