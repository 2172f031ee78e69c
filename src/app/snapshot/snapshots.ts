/**
 * Process memory over restarts: the file is read at the start, behind the first calls, and written every so often and when the
 * gateway goes down.
 *
 * Nothing that was purged comes back with it. Keys cover purges and deployments, so a record is reached only while they are what
 * they were. A gateway that shares a tier asks that tier for them; one that is alone has them from the file, and therefore removes the
 * file before a purge, or a deployment that the backends' reports do not show, is done. A purge by key changes no other
 * key: it removes the file too, and gateways that share a tier agree on an epoch of such purges, which the head of the file has.
 */
import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import type { Settings } from '../../config/schema.ts'
import type { Log } from '../../core/log.ts'
import type { Memory } from '../../data/cache/memory/memory.ts'
import type { SealedFile, UnfitFile } from '../../data/cache/snapshot/format.ts'
import type { Tiered } from '../../data/cache/tiered.ts'
import { PURGED_KEYS } from '../../data/key/epoch-names.ts'
import type { Clock } from '../../lib/clock.ts'
import { Slices } from '../../lib/slices.ts'
import { withTimeout } from '../../lib/with-timeout.ts'
import type { SharedFacts } from '../shared-facts.ts'
import { removeLeftovers } from './leftovers.ts'
import { type OpenSnapshot, openSnapshot } from './read-snapshot.ts'
import { type Restored, Restoring } from './restoring.ts'
import { type SnapshotHead, settingsDigest } from './snapshot-head.ts'
import type { SnapshotCounts } from './snapshot-metrics.ts'
import { syncFolder, writeSnapshot } from './write-snapshot.ts'

export interface SnapshotSettings {
  readonly file: string
  readonly everyMs: number
  /** Bound of the file. */
  readonly maxBytes: number
  readonly seal: SealedFile['seal']
  /** Whether gateways share what keys cover. */
  readonly isShared: boolean
}

export interface SnapshotsParts {
  readonly settings: Settings
  readonly snapshot: SnapshotSettings
  readonly memory: Memory
  /** The longest value that memory takes. */
  readonly maxValueBytes: number
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly counts: SnapshotCounts
}

interface Started {
  readonly facts: Pick<SharedFacts, 'epochs' | 'deployments' | 'purgedKeys'>
  readonly cache: Pick<Tiered, 'mark' | 'passes'>
  /** Those in force now. */
  readonly settings: () => Settings
}

/** How long the start waits for the head, which takes a millisecond: a folder that does not answer must not hold it up for ever. */
const OPEN_MS = 3_000
/** The parts of the thread's time that reading and writing may take while there are calls. */
const READ_SHARE = 0.25
const WRITE_SHARE = 0.1
/** A file that a purge has removed is written again within this time. */
const AGAIN_MS = 30_000
/** How long a gateway that starts waits for the tier that has the facts. */
const FACTS_TRIES = 60
const FACTS_MS = 1_000
/** The clock was set back since the file was written, by more than clocks are corrected by. */
const MAX_BEHIND_MS = 1_000

export async function openSnapshots(parts: SnapshotsParts): Promise<Snapshots> {
  const { snapshot, clock, maxValueBytes } = parts
  const { file, seal } = snapshot
  await removeLeftovers(file).catch(() => {})
  const opening = openSnapshot(file, { seal, maxValueBytes }).catch(
    (error: unknown): UnfitFile => ({ unfit: String(error) }),
  )
  const late: UnfitFile = { unfit: `it could not be read within ${OPEN_MS} ms` }
  const found = await withTimeout(clock, opening, { ms: OPEN_MS, fallback: late })
  if (found === late)
    void opening.then((opened) => (opened && 'head' in opened ? opened.close() : undefined)).catch(() => {})
  const snapshots = new Snapshots(parts)
  await snapshots.found(found)
  return snapshots
}

export class Snapshots {
  readonly #parts: SnapshotsParts
  readonly #owner = randomUUID()
  readonly #startedAt: number
  #started: Started | undefined
  #found: OpenSnapshot | undefined
  /** Changes whenever what a file has, or will have, is void. */
  #turn = 0
  /** The file that is there, as far as is known: that of this head, none, or nobody knows. */
  #present: string | undefined
  #isPresent = true
  #committing: Promise<unknown> = Promise.resolve()
  #work: Promise<void> = Promise.resolve()
  #loading: Promise<void> = Promise.resolve()
  #isLoaded = false
  #cancel: (() => void) | undefined
  #nextAt = Number.POSITIVE_INFINITY
  #closeBy: number | undefined
  #problem: string | undefined

  constructor(parts: SnapshotsParts) {
    this.#parts = parts
    this.#startedAt = parts.clock.wall()
  }

  /** Takes over what was opened, if it may be used. */
  async found(found: OpenSnapshot | UnfitFile | undefined): Promise<void> {
    if (!found) {
      this.#isPresent = false
      return
    }
    const unfit = 'unfit' in found ? found.unfit : this.#whyUnfit(found.head)
    if ('head' in found) this.#present = found.head.id
    if (unfit === undefined) this.#found = found as OpenSnapshot
    else {
      this.#say('void', unfit)
      if ('head' in found) await found.close()
    }
  }

  #whyUnfit({ settings, writtenAt }: SnapshotHead): string | undefined {
    const { settings: own, clock } = this.#parts
    if (settings !== settingsDigest(own))
      return 'pools, routes, models or tiers are others since it was written'
    if (writtenAt > clock.wall() + MAX_BEHIND_MS)
      return 'it was written in the future: the clock was set back'
    return undefined
  }

  /** What keys cover, for a gateway that is alone. */
  get kept(): Pick<SnapshotHead, 'epochs' | 'deployments'> | undefined {
    return this.#parts.snapshot.isShared ? undefined : this.#found?.head
  }

  /** What is wrong, for people. */
  get problems(): readonly string[] {
    return this.#problem === undefined ? [] : [this.#problem]
  }

  /** Begins to read the file, and to write it every so often. */
  start(started: Started): void {
    this.#started = started
    this.#loading = this.#load(started).catch((error: unknown) => this.#failed('load', error))
    this.#plan(this.#parts.snapshot.everyMs)
  }

  /**
   * What was kept so far must not be given after a restart. Resolves when no file has it; false: the file could not be removed.
   */
  async voided(): Promise<boolean> {
    this.#turn++
    await this.#committing.catch(() => {})
    if (!this.#isPresent) return true
    const { snapshot, counts } = this.#parts
    try {
      this.#isPresent = false
      await rm(snapshot.file, { force: true })
      await syncFolder(snapshot.file)
      counts.written('removed')
      this.#plan(AGAIN_MS)
      return true
    } catch (error) {
      this.#isPresent = true
      this.#failed('remove', error)
      return false
    }
  }

  /** Writes the file a last time, for at most so long; calls have ended. */
  async close(withinMs: number): Promise<void> {
    const { clock } = this.#parts
    this.#cancel?.()
    this.#cancel = undefined
    this.#closeBy = clock.now() + withinMs
    // The file that is there has more than memory, which was not filled from it yet.
    const isBetter = this.#isLoaded || !this.#isPresent
    if (isBetter) this.#turn++
    await withTimeout(clock, Promise.all([this.#loading, this.#work]), { ms: withinMs, fallback: undefined })
    if (isBetter && this.#started) await this.#write(this.#started)
  }

  #plan(withinMs: number): void {
    const { clock, random } = this.#parts
    const waitMs = Math.min(withinMs, this.#parts.snapshot.everyMs) * (0.8 + 0.4 * random())
    if (!this.#started || this.#closeBy !== undefined || clock.now() + waitMs >= this.#nextAt) return
    this.#cancel?.()
    this.#nextAt = clock.now() + waitMs
    this.#cancel = clock.after(waitMs, () => {
      this.#nextAt = Number.POSITIVE_INFINITY
      this.#work = this.#work.then(() => this.#round())
    })
  }

  async #round(): Promise<void> {
    await this.#loading
    if (this.#started && this.#closeBy === undefined) await this.#write(this.#started)
    this.#plan(this.#isPresent ? this.#parts.snapshot.everyMs : AGAIN_MS)
  }

  async #write(started: Started): Promise<void> {
    const { snapshot, memory, clock, counts, log } = this.#parts
    const turn = this.#turn
    const began = clock.now()
    try {
      if (await this.#isTaken()) return
      const head = await this.#head(started)
      if (!head) return counts.written('skipped')
      const written = await writeSnapshot({
        ...snapshot,
        memory,
        head,
        clock,
        slices: new Slices(clock, () => (this.#closeBy === undefined ? WRITE_SHARE : 1)),
        isLate: () => this.#turn !== turn || clock.now() > (this.#closeBy ?? Number.POSITIVE_INFINITY),
        commit: (rename) => this.#commit(turn, head.id, rename),
      })
      if (!written) return counts.written('void')
      const seconds = (clock.now() - began) / 1000
      counts.success(written, { seconds, at: clock.wall() / 1000 })
      this.#problem = undefined
      log.info('snapshot.written', { file: snapshot.file, ...written, seconds })
    } catch (error) {
      this.#failed('write', error)
    }
  }

  async #commit(turn: number, id: string, rename: () => Promise<void>): Promise<boolean> {
    if (this.#turn !== turn) return false
    const committing = rename()
    this.#committing = committing
    // From here on a purge finds a file.
    this.#isPresent = true
    await committing
    this.#present = id
    return true
  }

  /** Whether another gateway has been given the same file: the one that started last has it. */
  async #isTaken(): Promise<boolean> {
    const { snapshot, maxValueBytes, log } = this.#parts
    const found = await openSnapshot(snapshot.file, { seal: snapshot.seal, maxValueBytes })
    if (!found || 'unfit' in found) return false
    await found.close()
    const { id, owner, startedAt } = found.head
    if (id === this.#present || owner === this.#owner) return false
    const isTheirs = startedAt > this.#startedAt
    const fix = 'give each gateway a file of its own'
    log.error('snapshot.shared', { file: snapshot.file, kept: isTheirs ? 'theirs' : 'ours', fix })
    this.#problem = `snapshot ${snapshot.file}: another gateway writes it as well; ${fix}`
    return isTheirs
  }

  /** Undefined: the tier that has the facts cannot be asked. */
  async #head({ facts, settings }: Started): Promise<SnapshotHead | undefined> {
    const { snapshot, clock } = this.#parts
    const purgedKeys = snapshot.isShared ? await purgedKeysOf(facts) : undefined
    // Purges up to that epoch are known before anything is copied.
    if (snapshot.isShared && (purgedKeys === undefined || !(await facts.purgedKeys.poll()))) return undefined
    return {
      id: randomUUID(),
      owner: this.#owner,
      startedAt: this.#startedAt,
      writtenAt: clock.wall(),
      settings: settingsDigest(settings()),
      ...(purgedKeys === undefined ? {} : { purgedKeys }),
      epochs: snapshot.isShared ? [] : facts.epochs.keep(),
      deployments: snapshot.isShared ? [] : facts.deployments.keep(),
    }
  }

  async #load(started: Started): Promise<void> {
    const found = this.#found
    if (!found) {
      this.#isLoaded = true
      return
    }
    try {
      await this.#restore(found, started)
    } finally {
      this.#found = undefined
      await found.close()
    }
  }

  async #restore(found: OpenSnapshot, { facts, cache }: Started): Promise<void> {
    const { clock, memory, counts, log, snapshot } = this.#parts
    const began = clock.now()
    const restoring = new Restoring({ memory, cache, clock, writtenAt: found.head.writtenAt })
    if (snapshot.isShared) {
      const reason = await this.#whyPurged(found.head, facts)
      if (reason !== undefined) return this.#say('void', reason)
    }
    const isStopped = () => this.#closeBy !== undefined
    const slices = new Slices(clock, () => READ_SHARE)
    const isWhole = await found.read(slices, (record) => restoring.take(record), isStopped)
    this.#isLoaded = !isStopped()
    const restored: Restored = restoring.counts
    const seconds = (clock.now() - began) / 1000
    counts.loaded(restored, seconds)
    log.info('snapshot.loaded', { file: snapshot.file, ...restored, seconds })
    if (!isWhole) this.#say('damaged', 'it is damaged behind the last of these')
  }

  /** Waits for the tier; undefined: no key was purged since the file was written. */
  async #whyPurged(head: SnapshotHead, facts: Started['facts']): Promise<string | undefined> {
    const { clock } = this.#parts
    for (let left = FACTS_TRIES; left > 0 && this.#closeBy === undefined; left--) {
      const present = await purgedKeysOf(facts)
      if (present !== undefined)
        return present === head.purgedKeys
          ? undefined
          : 'answers were purged by their keys since it was written'
      await new Promise<void>((resolve) => void clock.after(FACTS_MS, resolve))
    }
    return 'the tier that has purges and deployments cannot be asked'
  }

  #say(event: 'void' | 'damaged', reason: string): void {
    const { snapshot, log, counts } = this.#parts
    this.#isLoaded = true
    counts.unused()
    if (event === 'void') log.warn('snapshot.void', { file: snapshot.file, reason })
    else log.warn('snapshot.damaged', { file: snapshot.file, reason })
  }

  #failed(what: 'load' | 'write' | 'remove', error: unknown): void {
    const { snapshot, log, counts } = this.#parts
    if (what === 'load') this.#isLoaded = true
    counts.written('failed')
    this.#problem = `snapshot ${snapshot.file}: ${what}: ${String(error)}`
    log.error('snapshot.failed', { file: snapshot.file, what, error: String(error) })
  }
}

/** The epoch of purges by key; undefined: the gateways cannot be asked. */
async function purgedKeysOf({ epochs }: Started['facts']): Promise<string | undefined> {
  const { values, shared } = await epochs.load([PURGED_KEYS])
  return shared ? values[0] : undefined
}
