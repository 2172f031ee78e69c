/**
 * Where files go: a folder, in which they are written under hidden names, and the way to the name that readers see. A whole file
 * of a folder is renamed; one for a remote directory is uploaded, and until then it is in the folder, the spool.
 */
import { mkdir, stat, unlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Log } from '../core/log.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { publish } from './publish.ts'
import { Trouble } from './trouble.ts'

/** A whole file under its hidden name. */
export interface FinishedFile {
  readonly path: string
  /** The name that it is to have. */
  readonly name: string
  readonly bytes: number
}

export interface Destination {
  /** The folder that files are written in. */
  readonly folder: string
  /** No further bytes are to be written now, because too many wait for the far side. */
  readonly isFull: boolean
  /** Paths of finished files that wait for the far side. */
  readonly waiting: ReadonlySet<string>
  /** In words why files do not leave the folder now; undefined: they do. */
  readonly problem: string | undefined
  /** Before a file is created: makes the folder where it is the gateway's own and somebody has removed it. */
  prepare(): Promise<void>
  /** Gives a whole file its name; a remote directory gets it later. Rejects where the file stays under its hidden name. */
  publish(file: FinishedFile): Promise<void>
  /** Waits for what is under way, until the signal aborts; what is not done then waits for the next start. */
  close(signal: AbortSignal): Promise<void>
}

/** A directory at a store. */
export interface RemoteDirectory {
  /** As in the settings. */
  readonly url: string
  /**
   * Makes the bytes of the local file appear under `name`, whole or not at all. Called again after an error, whatever the far side
   * has done of it.
   */
  put(file: FinishedFile, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** What became of a file. `lost`: somebody has removed it before it was published. */
export type FileEvent = 'published' | 'retried' | 'lost'

export interface DestinationParts {
  readonly log: Log
  readonly counted: (event: FileEvent) => void
}

export function localDestination(folder: string, { counted }: DestinationParts): Destination {
  return {
    folder,
    isFull: false,
    waiting: new Set(),
    problem: undefined,
    prepare: async () => {},
    async publish({ path, name }) {
      await publish(path, folder, name)
      counted('published')
    },
    close: async () => {},
  }
}

export interface SpoolParts extends DestinationParts {
  readonly remote: RemoteDirectory
  /** Bound of the files that wait. */
  readonly maxBytes: number
  readonly clock: Pick<Clock, 'after'>
  readonly random: () => number
  /** `problem` is another one. */
  readonly changed: () => void
}

const BACKOFF = { baseMs: 500, maxMs: 30_000 }
/** Longest time of one upload: a gigabyte at 2 MB/s. */
const UPLOAD_MS = 600_000

/** Uploads the files one after the other, each again until the far side has it. */
export class Spool implements Destination {
  readonly folder: string
  readonly waiting = new Set<string>()
  readonly #parts: SpoolParts
  readonly #files: FinishedFile[] = []
  readonly #ended = new AbortController()
  readonly #trouble: Trouble
  #bytes = 0
  #uploading: Promise<void> | undefined
  #wake = () => {}

  constructor(folder: string, parts: SpoolParts) {
    this.folder = folder
    this.#parts = parts
    this.#trouble = new Trouble(parts.changed)
  }

  get problem(): string | undefined {
    return this.#trouble.now
  }

  async prepare(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 })
  }

  get isFull(): boolean {
    return this.#bytes >= this.#parts.maxBytes
  }

  async publish(file: FinishedFile): Promise<void> {
    this.#files.push(file)
    this.waiting.add(file.path)
    this.#bytes += file.bytes
    this.#uploading ??= this.#uploadAll()
  }

  async close(signal: AbortSignal): Promise<void> {
    const { log, remote } = this.#parts
    const end = () => {
      this.#ended.abort()
      this.#wake()
    }
    signal.addEventListener('abort', end, { once: true })
    // What waits for its next attempt gets it now.
    this.#wake()
    if (signal.aborted) end()
    await this.#uploading
    signal.removeEventListener('abort', end)
    if (this.#files.length > 0)
      log.warn('prediction-log.waiting', { to: remote.url, files: this.#files.length, in: this.folder })
    await remote.close()
  }

  async #uploadAll(): Promise<void> {
    let failures = 0
    for (let file = this.#files[0]; file && !this.#ended.signal.aborted; file = this.#files[0]) {
      const isDone = await this.#upload(file)
      failures = isDone ? 0 : failures + 1
      if (isDone) this.#forget(file)
      else await this.#pause(failures)
    }
    this.#uploading = undefined
  }

  /** True: no more is to be done for the file. */
  async #upload(file: FinishedFile): Promise<boolean> {
    const { remote, log, counted } = this.#parts
    const { name, path } = file
    try {
      await remote.put(file, AbortSignal.any([this.#ended.signal, AbortSignal.timeout(UPLOAD_MS)]))
      await unlink(path)
    } catch (error) {
      if (await isGone(path)) return this.#lose(file)
      counted('retried')
      // One line for each outage: the metric tells how often it was tried.
      if (this.#trouble.begin(`files wait for ${remote.url}: ${String(error)}`))
        log.warn('prediction-log.upload', { to: remote.url, name, error: String(error) })
      return false
    }
    if (this.#trouble.end()) log.info('prediction-log.uploading', { to: remote.url, name })
    counted('published')
    return true
  }

  /** Those behind it must not wait for a file that will never come. */
  #lose({ path, bytes }: FinishedFile): true {
    const { log, counted } = this.#parts
    log.error('prediction-log.lost', { file: path, bytes })
    counted('lost')
    return true
  }

  #forget(file: FinishedFile): void {
    this.#files.shift()
    this.waiting.delete(file.path)
    this.#bytes -= file.bytes
  }

  #pause(failures: number): Promise<void> {
    const { clock, random } = this.#parts
    return new Promise((resolve) => {
      const cancel = clock.after(backoffMs(failures - 1, { ...BACKOFF, random }), resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }
}

/** Whether there is no such file. */
export async function isGone(path: string): Promise<boolean> {
  try {
    await stat(path)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** The path of a file of this destination. */
export function pathIn({ folder }: Destination, hidden: string): string {
  return join(folder, basename(hidden))
}
