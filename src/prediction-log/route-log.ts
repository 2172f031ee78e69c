/** The log of one route: writes records into a file, and closes it when it is long or old enough. */

import type { Log } from '../core/log.ts'
import type { Prediction } from '../core/prediction.ts'
import type { Clock } from '../lib/clock.ts'
import { type Destination, isGone, pathIn } from './destination.ts'
import type { Encoder } from './encoder.ts'
import { type FileOwner, hiddenName, type LogFormat, nameOf } from './file-name.ts'
import { LogFile } from './log-file.ts'
import { Trouble } from './trouble.ts'

/** What became of a record; the last three are not in the log. */
export type RecordOutcome = 'written' | 'unmapped' | 'failed' | 'spool'

export interface RouteLogParts {
  readonly route: string
  readonly format: LogFormat
  readonly encoder: Encoder
  readonly roll: { readonly bytes: number; readonly every: number }
  readonly to: Destination
  readonly owner: FileOwner
  /** Numbers of files, over all routes. */
  readonly nextSeq: () => number
  /** Paths of the files that are open, over all routes. */
  readonly open: Set<string>
  readonly counted: (route: string, outcome: RecordOutcome, records: number) => void
  /** A file that somebody has removed while it was written. */
  readonly lost: () => void
  /** `problem` is another one. */
  readonly changed: () => void
  readonly log: Log
  readonly clock: Clock
}

interface OpenFile {
  readonly file: LogFile
  readonly name: string
  readonly cancelRoll: () => void
}

export class RouteLog {
  readonly #parts: RouteLogParts
  #current: OpenFile | undefined
  /** The last operation: each begins when the one before has ended. */
  #last: Promise<void> = Promise.resolve()
  readonly #trouble: Trouble

  constructor(parts: RouteLogParts) {
    this.#parts = parts
    this.#trouble = new Trouble(parts.changed)
  }

  /** In words why records are lost now; undefined: none is. */
  get problem(): string | undefined {
    return this.#trouble.now
  }

  /** Resolves when the records are in the file, or were counted as lost. Never rejects. */
  write(predictions: readonly Prediction[]): Promise<void> {
    return this.#inTurn(() => this.#write(predictions))
  }

  /** Closes the file and publishes it. Never rejects. */
  close(): Promise<void> {
    return this.#inTurn(() => this.#finish())
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work).catch((error: unknown) => this.#failed(error))
    return this.#last
  }

  async #write(predictions: readonly Prediction[]): Promise<void> {
    const { route, encoder, to, roll, counted } = this.#parts
    const records = predictions.flatMap((prediction) => encoder.encode(prediction) ?? [])
    counted(route, 'unmapped', predictions.length - records.length)
    if (records.length === 0) return
    if (to.isFull) {
      counted(route, 'spool', records.length)
      return this.#failed(new Error('the spool is full'))
    }
    try {
      await this.#leaveRemoved()
      const { file } = (this.#current ??= await this.#begin())
      await file.append(records.length === 1 ? (records[0] as Uint8Array) : Buffer.concat(records))
      this.#worked()
      counted(route, 'written', records.length)
      if (file.length >= roll.bytes) await this.#finish()
    } catch (error) {
      counted(route, 'failed', records.length)
      this.#failed(error)
    }
  }

  /** A file that is not in its folder any more would take records that nobody ever reads. */
  async #leaveRemoved(): Promise<void> {
    const current = this.#current
    if (!current || !(await isGone(current.file.path))) return
    this.#current = undefined
    const { log, open, lost } = this.#parts
    const { file, cancelRoll } = current
    cancelRoll()
    open.delete(file.path)
    lost()
    log.error('prediction-log.lost', { file: file.path, bytes: file.length })
    await file.abandon()
  }

  async #begin(): Promise<OpenFile> {
    const { route, format, to, owner, nextSeq, open, clock, roll } = this.#parts
    await to.prepare()
    const name = nameOf({ route, format, openedAt: clock.wall(), seq: nextSeq() }, owner)
    const path = pathIn(to, hiddenName(name, owner))
    // Before it exists: the search for leftovers must not take it for one.
    open.add(path)
    const file = await LogFile.create(path).catch((error: unknown) => {
      open.delete(path)
      throw error
    })
    return { file, name, cancelRoll: clock.after(roll.every, () => void this.close()) }
  }

  async #finish(): Promise<void> {
    const current = this.#current
    if (!current) return
    this.#current = undefined
    const { file, name, cancelRoll } = current
    const { to, open } = this.#parts
    cancelRoll()
    try {
      if (await file.finish()) await to.publish({ path: file.path, name, bytes: file.length })
    } finally {
      open.delete(file.path)
    }
  }

  /** One line for each time of trouble: the metric tells how many records it has cost. */
  #failed(error: unknown): void {
    const { log, route, to } = this.#parts
    if (this.#trouble.begin(`route ${route}: predictions are lost: ${String(error)}`))
      log.error('prediction-log.failed', { route, folder: to.folder, error: String(error) })
  }

  #worked(): void {
    const { log, route } = this.#parts
    if (this.#trouble.end()) log.info('prediction-log.working', { route })
  }
}
