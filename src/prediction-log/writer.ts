/** Writes the prediction logs of all routes. There is one in a process, in a thread of its own. */
import { hostname } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../core/log.ts'
import { type Prediction, unpackPredictions } from '../core/prediction.ts'
import type { Clock } from '../lib/clock.ts'
import { requirePackages } from '../lib/optional-packages.ts'
import {
  type Destination,
  type FileEvent,
  localDestination,
  type RemoteDirectory,
  Spool,
} from './destination.ts'
import type { Encoder } from './encoder.ts'
import { hostOf, type LogFormat } from './file-name.ts'
import { jsonl } from './jsonl.ts'
import { finishLeftovers } from './leftovers.ts'
import { type RecordOutcome, RouteLog } from './route-log.ts'

/** The log of one route, as the settings have it. */
export interface LogSettings {
  readonly route: string
  readonly format: LogFormat
  readonly roll: { readonly bytes: number; readonly every: number }
  /** The folder that files are written in. That of a remote directory is made where it is missing. */
  readonly folder: string
  /** A directory at a store; undefined: the folder itself is the destination. */
  readonly remote?: { readonly url: string; readonly spoolBytes: number } | undefined
}

export interface WriterParts {
  readonly openRemote: (url: string) => Promise<RemoteDirectory>
  readonly counted: (route: string, outcome: RecordOutcome, records: number) => void
  readonly fileCounted: (to: string, event: FileEvent) => void
  /** What is wrong now, a line each, whenever that changes. */
  readonly troubled: (problems: readonly string[]) => void
  readonly log: Log
  readonly clock: Clock
  readonly random: () => number
  /** The process; set by tests. */
  readonly pid?: number
}

/** Interval at which the folders are searched for files that other machines have left. */
const SEARCH_MS = 600_000

export class PredictionWriter {
  readonly #parts: WriterParts
  readonly #destinations = new Map<string, Destination>()
  readonly #logs = new Map<string, { readonly settings: LogSettings; readonly log: RouteLog }>()
  /** Routes whose log could not be opened, and why. */
  readonly #refusals = new Map<string, string>()
  readonly #open = new Set<string>()
  readonly #owner
  #seq = 0
  #cancelSearch = () => {}

  constructor(parts: WriterParts) {
    this.#parts = parts
    this.#owner = { host: hostOf(hostname()).slice(0, 64), pid: parts.pid ?? process.pid }
  }

  /** Takes over the settings: logs that are no longer wanted are closed. */
  async follow(wanted: readonly LogSettings[]): Promise<void> {
    this.#refusals.clear()
    const next = new Map(wanted.map((settings) => [settings.route, settings]))
    for (const [route, { settings, log }] of this.#logs) {
      if (isDeepStrictEqual(next.get(route), settings)) continue
      this.#logs.delete(route)
      await log.close()
    }
    for (const settings of wanted) {
      if (this.#logs.has(settings.route)) continue
      await this.#add(settings).catch((error: unknown) => this.#refused(settings, error))
    }
    this.#changed()
  }

  /** Resolves when all records of the batch are in files, or were counted as lost. */
  async write(batch: Uint8Array): Promise<void> {
    const byRoute = new Map<string, Prediction[]>()
    for (const prediction of unpackPredictions(batch)) {
      const { route } = prediction.head
      const known = byRoute.get(route)
      if (known) known.push(prediction)
      else byRoute.set(route, [prediction])
    }
    const { counted } = this.#parts
    const writes = [...byRoute].map(([route, predictions]) => {
      const log = this.#logs.get(route)?.log
      // A reload took the log away while the batch was under way.
      if (log) return log.write(predictions)
      counted(route, 'failed', predictions.length)
      return Promise.resolve()
    })
    await Promise.all(writes)
  }

  /** Publishes all files. What the far side has not taken when the signal aborts is left for the next start. */
  async close(signal: AbortSignal): Promise<void> {
    this.#cancelSearch()
    await Promise.all([...this.#logs.values()].map(({ log }) => log.close()))
    await Promise.all([...this.#destinations.values()].map((to) => to.close(signal)))
  }

  /** The records of this route are counted as failed; the other routes are served. */
  #refused({ route, folder }: LogSettings, error: unknown): void {
    this.#refusals.set(route, `route ${route}: predictions are lost: ${String(error)}`)
    this.#parts.log.error('prediction-log.refused', { route, folder, error: String(error) })
  }

  #changed(): void {
    const parts = [...[...this.#logs.values()].map(({ log }) => log), ...this.#destinations.values()]
    const problems = [...this.#refusals.values(), ...parts.map(({ problem }) => problem)]
    this.#parts.troubled(problems.filter((problem) => problem !== undefined))
  }

  async #add(settings: LogSettings): Promise<void> {
    const { counted, fileCounted, log, clock } = this.#parts
    const { route, format, roll, folder, remote } = settings
    const made = new RouteLog({
      route,
      format,
      roll,
      encoder: await encoderOf(format),
      to: await this.#destinationOf(settings),
      owner: this.#owner,
      nextSeq: () => ++this.#seq,
      open: this.#open,
      counted: (of, outcome, records) => void (records > 0 && counted(of, outcome, records)),
      lost: () => fileCounted(remote?.url ?? folder, 'lost'),
      changed: () => this.#changed(),
      log,
      clock,
    })
    this.#logs.set(route, { settings, log: made })
  }

  /** Routes may share a destination. One that no route has any more stays open until what waits in it is away. */
  async #destinationOf({ folder, remote }: LogSettings): Promise<Destination> {
    const known = this.#destinations.get(folder)
    if (known) return known
    const { fileCounted, openRemote } = this.#parts
    const counted = (event: FileEvent) => fileCounted(remote?.url ?? folder, event)
    const made = remote
      ? new Spool(folder, {
          ...this.#parts,
          counted,
          remote: await openRemote(remote.url),
          maxBytes: remote.spoolBytes,
          changed: () => this.#changed(),
        })
      : localDestination(folder, { ...this.#parts, counted })
    this.#destinations.set(folder, made)
    return made
  }

  /** Finishes what dead processes have left in the folders, now and then every ten minutes. Never rejects. */
  async finishLeftovers(): Promise<void> {
    const { log, clock } = this.#parts
    this.#cancelSearch()
    for (const to of this.#destinations.values())
      await finishLeftovers(to, {
        owner: this.#owner,
        encoders: encoderOf,
        isOpen: (path) => this.#open.has(path),
        log,
        wall: () => clock.wall(),
      })
    this.#cancelSearch = clock.after(SEARCH_MS, () => void this.finishLeftovers())
  }
}

/** Protocol buffers are loaded with the first log that has them. */
async function encoderOf(format: LogFormat): Promise<Encoder> {
  if (format === 'jsonl') return jsonl
  requirePackages('tfrecord')
  return (await import('./tfrecord.ts')).tfrecord
}
