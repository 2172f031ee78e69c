/**
 * Keeps the credentials that the gateway shows to backends: those in the settings, and those in files, which are read again
 * when they change. A file that cannot be used changes nothing but the message on /readyz.
 */
import type { BackendCredential } from '../../core/backend-credential.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { CredentialsError } from './credentials-error.ts'
import { WatchedFile } from './watched-file.ts'

/** Where the credential of a pool stands: either here or in a file. */
export interface CredentialSource extends Omit<BackendCredential, 'value'> {
  /** Stands before it with a space between. */
  readonly scheme?: string | undefined
  readonly value?: string | undefined
  /** Absolute path. */
  readonly valueFile?: string | undefined
}

/** By pool. */
export type BackendCredentials = Readonly<Record<string, BackendCredential>>

export interface BackendCredentialsOptions {
  readonly clock: Clock
  readonly log: Log
  /** The credential in the text of a file; throws an Error that says what is wrong, and repeats none of it. */
  readonly read: (text: string) => string
  readonly changed: (credentials: BackendCredentials) => void
}

const MAX_BYTES = 64 * 1024

interface CredentialFile {
  value: string
  readonly watched: WatchedFile
}

export class BackendCredentialStore {
  current: BackendCredentials = {}
  readonly #options: BackendCredentialsOptions
  #sources: ReadonlyMap<string, CredentialSource> = new Map()
  #files: ReadonlyMap<string, CredentialFile> = new Map()

  constructor(options: BackendCredentialsOptions) {
    this.#options = options
  }

  /**
   * Reads the files of new settings; `sources` by pool. They are in force once the returned function is called. Rejects where a
   * file cannot be used; then nothing has changed.
   */
  async prepare(sources: ReadonlyMap<string, CredentialSource>): Promise<() => void> {
    const files = new Map<string, CredentialFile>()
    try {
      for (const [pool, { valueFile: path }] of sources) {
        if (path === undefined || files.has(path)) continue
        files.set(path, this.#files.get(path) ?? (await this.#opened(path, pool)))
      }
    } catch (error) {
      this.#stopBeyond(files, this.#files)
      throw error
    }
    return () => {
      this.#stopBeyond(this.#files, files)
      this.#files = files
      this.#sources = sources
      this.#tell()
    }
  }

  /** For people: files that cannot be used. What was read of them before stays. */
  get problems(): readonly string[] {
    return [...this.#files].flatMap(
      ([
        path,
        {
          watched: { problem },
        },
      ]) => (problem === undefined ? [] : [`credentials: ${path}: ${problem}`]),
    )
  }

  stop(): void {
    for (const { watched } of this.#files.values()) watched.stop()
  }

  async #opened(path: string, pool: string): Promise<CredentialFile> {
    const { clock, log, read } = this.#options
    const file: CredentialFile = {
      value: '',
      watched: new WatchedFile({
        path,
        maxBytes: MAX_BYTES,
        clock,
        take: (text) => {
          file.value = read(text)
          if (this.#files.get(path) !== file) return
          log.info('credentials.reloaded', { path })
          this.#tell()
        },
        failed: (error) => log.warn('credentials.refused', { path, error }),
      }),
    }
    await file.watched.start().catch((error: unknown) => {
      throw new CredentialsError(`pools.${pool}.credentials.valueFile`, path, error)
    })
    return file
  }

  #stopBeyond(files: ReadonlyMap<string, CredentialFile>, kept: ReadonlyMap<string, CredentialFile>): void {
    for (const [path, { watched }] of files) if (!kept.has(path)) watched.stop()
  }

  #tell(): void {
    this.current = Object.fromEntries(
      [...this.#sources].map(([pool, source]) => {
        const { header, scheme, value, valueFile, urls, hosts } = source
        const secret = value ?? this.#files.get(valueFile ?? '')?.value ?? ''
        const text = scheme === undefined ? secret : `${scheme} ${secret}`
        return [pool, { header, value: text, urls, hosts }]
      }),
    )
    this.#options.changed(this.current)
  }
}
