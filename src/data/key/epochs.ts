/**
 * Purge epochs, which make a purge take constant time. Every key covers the epochs of what it belongs to (everything, its
 * route, its model, its version, its tags). A purge replaces an epoch: no lookup reaches what was stored under the old
 * one, and a late answer to an earlier call is stored under the old one too.
 *
 * An epoch is a unique value that never returns (`stamp.ts`). Gateways share it through the first shared tier: the first
 * to need one makes it (`claim`), a purge replaces it (`publish`), and a poll each second reads the others'. An epoch
 * that the tier has lost, or shows with an earlier value, is replaced by a new one: cold, but right. While the tier cannot
 * be asked, an unknown epoch gets a value of this process alone, and nothing may be written to shared tiers under it.
 */
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { Poll } from '../../lib/poll.ts'
import type { KeptEpoch } from './kept-facts.ts'
import { isLater, isStamp, type Stamp, stampAfter } from './stamp.ts'

/** Facts in the first shared tier. Undefined, or false, means that the tier cannot be asked. */
export interface FactStore {
  claim(name: string, value: string): Promise<string | undefined>
  facts(names: readonly string[]): Promise<(string | undefined)[] | undefined>
  publish(name: string, value: string): Promise<boolean>
}

export interface EpochsOptions {
  /** Undefined: this process is alone. */
  readonly shared: FactStore | undefined
  readonly clock: Clock
  readonly log: Log
  /** Called whenever an epoch has changed, by a purge here or elsewhere. */
  readonly changed: () => void
  /** Called with each epoch's new state, undefined for one that is forgotten, so that workers can keep copies. */
  readonly onState?: (name: string, epoch: EpochState | undefined) => void
  /** Called with each epoch that was replaced, or forgotten, so that a purge may have been missed. */
  readonly onPurge?: (name: string) => void
  /** Those of a process before this one, where it was as alone as this one. */
  readonly kept?: readonly KeptEpoch[]
  /** Called with each purge; a purge is told to others only where this resolves true. */
  readonly purged?: () => Promise<boolean>
}

export interface EpochState {
  readonly value: string
  /** False: known to this process alone. */
  readonly shared: boolean
}

export interface EpochValues {
  readonly values: readonly string[]
  /** False where one of them is known to this process alone. */
  readonly shared: boolean
}

interface Epoch {
  value: Stamp
  shared: boolean
  /** A purge that the shared tier does not know of yet. */
  unpublished: boolean
  /** The latest value that the gateways shared, or that of a purge made here: no earlier one is adopted again. */
  floor: Stamp | undefined
  /** An earlier attempt to publish it failed. */
  isLate?: boolean
  /** Used again since it was last spared from eviction: callers make up names, and most come once. */
  isUsed?: boolean
}

const POLL_MS = 1000
const MAX_EPOCHS = 10_000

export class Epochs {
  /** Changes whenever `peek` may give another answer. */
  revision = 0
  readonly #options: EpochsOptions
  readonly #epochs = new Map<string, Epoch>()
  /** Claims under way: whoever needs the same epoch meanwhile must get the same value. */
  readonly #claims = new Map<string, Promise<void>>()
  readonly #poll: Poll

  constructor(options: EpochsOptions) {
    this.#options = options
    const { clock, log } = options
    const failed = (error: unknown) => log.warn('epochs.poll', { error: String(error) })
    this.#poll = new Poll({ clock, ms: POLL_MS, run: () => this.poll(), failed })
    // Nobody has a copy yet.
    for (const [name, value] of options.kept ?? [])
      this.#epochs.set(name, { value, shared: true, unpublished: false, floor: value })
  }

  /** The epochs of this process, for one after it. */
  keep(): KeptEpoch[] {
    return [...this.#epochs].map(([name, { value }]) => [name, value])
  }

  start(): void {
    if (this.#options.shared) this.#poll.start()
  }

  stop(): void {
    this.#poll.stop()
  }

  /** The epochs of these names; undefined: one of them must be loaded first. */
  peek(names: readonly string[]): EpochValues | undefined {
    return valuesOf(this.#epochs, names)
  }

  state(name: string): EpochState | undefined {
    return this.#epochs.get(name)
  }

  /** Notes that calls at other workers use these. */
  noteUsed(names: readonly string[]): void {
    this.peek(names.filter((name) => this.#epochs.has(name)))
  }

  /** Like `peek`, but asks the shared tier for what is unknown. Never rejects. */
  async load(names: readonly string[]): Promise<EpochValues> {
    await Promise.all(names.filter((name) => !this.#epochs.has(name)).map((name) => this.#claim(name)))
    const epochs = names.map((name) => this.#epochs.get(name))
    // A flood of names may have evicted one again by now; a unique value makes a key that is used once.
    return {
      values: epochs.map((epoch) => epoch?.value ?? stampAfter(this.#options.clock.wall())),
      shared: epochs.every((epoch) => epoch?.shared),
    }
  }

  /** Makes everything under these names unreachable, here at once. False where the other gateways could not be told yet. */
  async purge(names: readonly string[]): Promise<boolean> {
    for (const name of names) this.#renew(name)
    const { changed, purged } = this.#options
    changed()
    const published = await Promise.all([purged?.() ?? true, ...names.map((name) => this.#publish(name))])
    return published.every(Boolean)
  }

  /** Adopts what other gateways have purged. */
  async poll(): Promise<void> {
    const { shared, changed } = this.#options
    if (!shared) return
    const names = [...this.#epochs.keys()]
    await Promise.all(
      names.filter((name) => this.#epochs.get(name)?.unpublished).map((name) => this.#publish(name)),
    )
    const before = names.map((name) => this.#epochs.get(name)?.value)
    const values = await shared.facts(names)
    if (!values) return
    let moved = false
    await Promise.all(
      names.map(async (name, i) => {
        const mine = this.#epochs.get(name)
        // Purged during the request: the tier's answer is older than our value.
        if (!mine || mine.unpublished || mine.value !== before[i]) return
        const theirs = values[i]
        if (theirs === mine.value) return this.#isShared(name, mine)
        moved = true
        if (theirs === undefined) await this.#claim(name)
        else await this.#take(name, theirs)
      }),
    )
    if (moved) changed()
  }

  #claim(name: string): Promise<void> {
    const known = this.#claims.get(name)
    if (known) return known
    const claim = this.#settle(name).finally(() => this.#claims.delete(name))
    this.#claims.set(name, claim)
    return claim
  }

  async #settle(name: string): Promise<void> {
    const before = this.#epochs.get(name)
    const floor = before?.floor
    const mine = stampAfter(this.#options.clock.wall(), floor)
    const { shared } = this.#options
    if (!shared) return this.#share(name, mine)
    const value = await shared.claim(name, mine)
    // Purged during the request: the tier's answer is older than that.
    if (this.#epochs.get(name) !== before) return
    if (value !== undefined) return this.#take(name, value)
    this.#set(name, { value: mine, shared: false, unpublished: false, floor })
  }

  /** Adopts the tier's value. One that is no later than a known one shows that the tier went back: it is replaced for all. */
  async #take(name: string, theirs: string): Promise<void> {
    if (isStamp(theirs) && isLater(theirs, this.#epochs.get(name)?.floor)) return this.#share(name, theirs)
    this.#renew(name)
    await this.#publish(name)
  }

  #share(name: string, value: Stamp): void {
    this.#set(name, { value, shared: true, unpublished: false, floor: value })
  }

  #renew(name: string, theirs?: Stamp): void {
    const known = this.#epochs.get(name)
    const value = stampAfter(this.#options.clock.wall(), known?.value, known?.floor, theirs)
    this.#set(name, {
      value,
      shared: this.#options.shared === undefined,
      unpublished: true,
      floor: value,
    })
  }

  /**
   * Tells the other gateways. Their value is read first: ours must be later, whatever our clock says, and a purge that was
   * not published at once may be older than one of theirs, which it must not undo.
   */
  async #publish(name: string): Promise<boolean> {
    const { shared } = this.#options
    const epoch = this.#epochs.get(name)
    if (!epoch) return true
    if (shared) {
      const present = await shared.facts([name])
      const theirs = present?.[0]
      const isAhead = isStamp(theirs) && (epoch.isLate || isLater(theirs, epoch.value))
      if (present && this.#epochs.get(name) === epoch && isAhead && theirs !== epoch.value) {
        this.#renew(name, theirs)
        return this.#publish(name)
      }
      epoch.isLate = true
      if (!present || !(await shared.publish(name, epoch.value))) return false
    }
    epoch.unpublished = false
    this.#isShared(name, epoch)
    return true
  }

  #isShared(name: string, epoch: Epoch): void {
    if (epoch.shared) return
    this.revision++
    epoch.shared = true
    epoch.floor = epoch.value
    if (this.#epochs.get(name) === epoch) this.#options.onState?.(name, epoch)
  }

  #set(name: string, epoch: Epoch): void {
    this.revision++
    const before = this.#epochs.get(name)
    this.#epochs.delete(name)
    this.#epochs.set(name, epoch)
    this.#options.onState?.(name, epoch)
    if (before && before.value !== epoch.value) this.#options.onPurge?.(name)
    if (this.#epochs.size <= MAX_EPOCHS) return
    const forgotten = this.#forgetOne()
    this.#options.onState?.(forgotten, undefined)
    this.#options.onPurge?.(forgotten)
  }

  /**
   * Evicts the oldest epoch that was not used again, or callers who make up names could evict everybody's. Whoever needs
   * it later asks the shared tier, or starts cold.
   */
  #forgetOne(): string {
    for (let left = this.#epochs.size; left > 0; left--) {
      const [name, epoch] = this.#epochs.entries().next().value as [string, Epoch]
      this.#epochs.delete(name)
      if (!epoch.isUsed && !epoch.unpublished) return name
      epoch.isUsed = false
      this.#epochs.set(name, epoch)
    }
    const oldest = this.#epochs.keys().next().value as string
    this.#epochs.delete(oldest)
    return oldest
  }
}

/** The epochs of these names, each marked as used; undefined where one is unknown. */
export function valuesOf(
  known: ReadonlyMap<string, EpochState & { isUsed?: boolean }>,
  names: readonly string[],
): EpochValues | undefined {
  let shared = true
  const values: string[] = []
  for (const name of names) {
    const epoch = known.get(name)
    if (!epoch) return undefined
    epoch.isUsed = true
    shared &&= epoch.shared
    values.push(epoch.value)
  }
  return { values, shared }
}
