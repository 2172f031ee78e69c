/**
 * Coalesces calls within a worker: one load a key at a time. A flight is the promise of a row's answer that is being
 * fetched; a call for the same row joins it.
 *
 * A caller who leaves harms nobody: the load goes on while anyone waits for any of its rows, and is cancelled when the last
 * one has left. From then on its flights cannot be joined. Each waiter keeps its own deadline; that of the load is the
 * latest of theirs, and grows when one joins who has more time. A flight always lands, also when the load throws, so the
 * table is empty when nothing is under way. Beside a load that takes very long a second one may start, so that a hung
 * backend does not gather every caller.
 */

import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import { moreUrgent, type TenantShare } from '../../core/tenant-share.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { type Awaitable, Deferred, type Listener, subscribe } from '../../lib/deferred.ts'
import { type Chained, DigestTable } from './digest-table.ts'
import type { SharedDeadline } from './shared-deadline.ts'

export interface Flight<L> {
  readonly digest: Digest
  /**
   * Settles when the flight has landed; fails with the signal's reason when the waiter leaves first. To be called once for
   * each join, in the same turn: until then a joined flight counts as waited for.
   */
  wait(signal: Signal): Awaitable<L>
}

/** One load: the rows of the flights it opened, and a signal that ends it. */
export interface Load<L> extends SharedDeadline {
  readonly digests: readonly Digest[]
  /** Aborted when nobody waits for any of these rows any more. */
  readonly signal: Signal
  land(digest: Digest, result: L): void
}

/** Whoever opens a flight or joins one. */
export interface Waiter {
  /** Until when it waits, in monotonic milliseconds. */
  readonly deadline: number
  /** Callers of another group do not join: a backend may refuse the load for a reason that concerns its own group alone. */
  readonly group: number
  /** By whose share it would wait for a backend. */
  readonly share?: TenantShare | undefined
}

const ANYBODY: Waiter = { deadline: Number.POSITIVE_INFINITY, group: 0 }

export interface FlightsOptions {
  /** How many may wait for one flight; the next caller opens another. */
  readonly maxWaiters: number
  /** Milliseconds after which one more load for the same row may start beside the first; default 5,000. */
  readonly leaderAgeMs?: number
  readonly clock?: Clock
}

const LEADER_AGE_MS = 5_000

export class Flights<L> {
  /** For each row the flight to join: the last one opened. */
  readonly #open = new DigestTable<OpenFlight<L>>()
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
    return this.#open.get(digest) !== undefined
  }

  /** Nobody joins the present flight for this row any more; its waiters go on waiting. */
  retire(digest: Digest): void {
    this.#open.delete(digest)
  }

  /** Joins the flight for a row, if one of the caller's group is under way and has room. */
  join(digest: Digest, waiter: Waiter = ANYBODY): Flight<L> | undefined {
    const { group } = waiter
    const flight = this.#open.get(digest)
    if (!flight || flight.group !== group || flight.waiters >= this.#maxWaiters || this.#isOvertaken(flight))
      return undefined
    flight.join()
    flight.extend(waiter)
    return flight
  }

  /**
   * Opens a flight for each row and runs one load for all of them. Returns one flight for each digest, equal digests
   * included; the caller waits on them. A flight that the load leaves open lands with `unlanded`, which gets the load's
   * error if it threw.
   */
  open(
    digests: readonly Digest[],
    run: (load: Load<L>) => Awaitable<void>,
    unlanded: (error: unknown) => L,
    opener: Waiter = ANYBODY,
  ): readonly Flight<L>[] {
    const { deadline, group, share } = opener
    const ends = { forget: this.#forget, unlanded, deadline, group, share }
    const running = new RunningLoad<L>(digests, this.#clock.now(), ends)
    for (const flight of running.flights) this.#publish(flight)
    try {
      subscribe(run(running), running)
    } catch (error) {
      running.onError(error)
    }
    return running.requested
  }

  /** Replaces a present flight, which is full or old: later callers join this one. */
  #publish(flight: OpenFlight<L>): void {
    const present = this.#open.get(flight.digest)
    if (present && this.#isOvertaken(present)) flight.overtook = present
    this.#open.set(flight)
  }

  /** The load has taken too long, and no second one runs beside it: there are at most two for one row. */
  #isOvertaken(flight: OpenFlight<L>): boolean {
    const isAlone = flight.overtook === undefined || flight.overtook.isOver
    return isAlone && this.#clock.now() - flight.began >= this.#leaderAgeMs
  }

  readonly #forget = (flight: OpenFlight<L>): void => {
    if (this.#open.get(flight.digest) === flight) this.#open.delete(flight.digest)
  }
}

interface Ends<L> extends Waiter {
  readonly forget: (flight: OpenFlight<L>) => void
  readonly unlanded: (error: unknown) => L
}

/** A load under way and the flights it opened. As a listener it learns that the load has ended, and lands what is open. */
class RunningLoad<L> implements Load<L>, Listener<void> {
  readonly signal = new Cancel()
  readonly digests: readonly Digest[]
  /** One for each row. */
  readonly flights: readonly OpenFlight<L>[]
  /** One for each digest that the opener gave. */
  readonly requested: readonly OpenFlight<L>[]
  isGone = false
  deadline: number
  isJoined = false
  share: TenantShare | undefined
  onPromoted: (() => void) | undefined
  readonly #ends: Ends<L>
  #byDigest: ReadonlyMap<Digest, OpenFlight<L>> | undefined
  #waiters = 0
  #pending = 0

  constructor(digests: readonly Digest[], now: number, ends: Ends<L>) {
    this.#ends = ends
    this.deadline = ends.deadline
    this.share = ends.share
    const [only] = digests
    if (only !== undefined && digests.length === 1) {
      this.flights = this.requested = [new OpenFlight(only, this, now, ends.group)]
      this.digests = digests
      return
    }
    const unique = new Map<Digest, OpenFlight<L>>()
    this.requested = digests.map((digest) => {
      const known = unique.get(digest)
      if (known) known.join()
      const flight = known ?? new OpenFlight<L>(digest, this, now, ends.group)
      unique.set(digest, flight)
      return flight
    })
    this.#byDigest = unique
    this.flights = [...unique.values()]
    this.digests = [...unique.keys()]
  }

  land(digest: Digest, result: L): void {
    const [first] = this.flights
    const flight = this.#byDigest ? this.#byDigest.get(digest) : first
    if (!flight || flight.digest !== digest) return
    this.#ends.forget(flight)
    flight.land(result)
  }

  onValue(): void {
    this.onError(undefined)
  }

  onError(error: unknown): void {
    if (this.#pending === 0) return
    for (const digest of this.digests) this.land(digest, this.#ends.unlanded(error))
  }

  opened(): void {
    this.#pending++
  }

  joined(): void {
    this.#waiters++
  }

  extend({ deadline, share }: Waiter): void {
    this.isJoined = true
    if (deadline > this.deadline) this.deadline = deadline
    const urgent = moreUrgent(this.share, share)
    if (urgent === this.share) return
    this.share = urgent
    this.onPromoted?.()
  }

  left(reason: Error): void {
    this.#waiters--
    this.#check(reason)
  }

  landed(waiters: number): void {
    this.#pending--
    this.#waiters -= waiters
    this.#check()
  }

  /** Cancels the load when nobody waits. Once all has landed there is nothing to cancel: an answer may be on its way out. */
  #check(reason?: Error): void {
    if (this.isGone || this.#waiters > 0 || this.#pending === 0) return
    this.isGone = true
    for (const flight of this.flights) this.#ends.forget(flight)
    // A load that took too long counts against the backend; a client that went away does not.
    const isLate = reason instanceof GatewayError && reason.code === 'deadline'
    this.signal.abort(isLate ? reason : new GatewayError('callerLeft', 'nobody waits for this any more'))
  }
}

class OpenFlight<L> implements Flight<L>, Chained<OpenFlight<L>> {
  readonly digest: Digest
  next: OpenFlight<L> | undefined
  readonly began: number
  readonly group: number
  waiters = 0
  /** The older load for the same row, beside which this one was opened. */
  overtook: OpenFlight<L> | undefined
  readonly #running: RunningLoad<L>
  #isLanded = false
  #result: L | undefined
  /** Most flights have one waiter. */
  #first: Wait<L> | undefined
  #others: Wait<L>[] | undefined

  constructor(digest: Digest, running: RunningLoad<L>, began: number, group: number) {
    this.digest = digest
    this.began = began
    this.group = group
    this.#running = running
    running.opened()
    // The opener counts as the first waiter.
    this.join()
  }

  /** Landed, or given up. */
  get isOver(): boolean {
    return this.#isLanded || this.#running.isGone
  }

  join(): void {
    this.waiters++
    this.#running.joined()
  }

  extend(waiter: Waiter): void {
    this.#running.extend(waiter)
  }

  land(result: L): void {
    if (this.#isLanded) return
    this.#isLanded = true
    this.#result = result
    this.overtook = undefined
    this.#running.landed(this.waiters)
    const first = this.#first
    const others = this.#others
    this.#first = this.#others = undefined
    first?.land(result)
    if (others) for (const wait of others) wait.land(result)
  }

  wait(signal: Signal): Awaitable<L> {
    const wait = new Wait<L>(this, signal)
    if (wait.isSettled) return wait
    if (this.#isLanded) wait.land(this.#result as L)
    else if (!this.#first) this.#first = wait
    else {
      this.#others ??= []
      this.#others.push(wait)
    }
    return wait
  }

  /** A waiter has left. */
  left(reason: Error): void {
    if (this.#isLanded) return
    this.waiters--
    this.#running.left(reason)
  }
}

/** One caller's wait for one flight. */
class Wait<L> extends Deferred<L> {
  readonly #flight: OpenFlight<L>
  readonly #signal: Signal
  readonly #leave = () => {
    this.fail(this.#signal.reason)
    this.#flight.left(this.#signal.reason)
  }

  constructor(flight: OpenFlight<L>, signal: Signal) {
    super()
    this.#flight = flight
    this.#signal = signal
    if (signal.aborted) this.#leave()
    else signal.addEventListener('abort', this.#leave, { once: true })
  }

  land(result: L): void {
    this.#signal.removeEventListener('abort', this.#leave)
    this.settle(result)
  }
}
