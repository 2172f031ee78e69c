/**
 * Discovers backends from a file, a list of URLs or of backends, which is read again whenever it changes. The directory
 * is watched instead of the file, since editors replace files and Kubernetes swaps the symbolic link of a mounted
 * ConfigMap. The file is also read every few seconds, for file systems without notifications.
 */
import { createHash } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { dirname } from 'node:path'
import { parseBackendUrl } from '../../core/addresses.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import { readRegular } from '../../lib/regular-file.ts'
import { BOUNDS, type FoundBackend } from '../registry/registration.ts'
import type { DiscoverySource, Snapshot } from './source.ts'

export interface FileOptions {
  readonly path: string
  /** Rejects with an Error that says what is wrong. Default: JSON, read at once. */
  readonly read?: (text: string, signal: AbortSignal) => Promise<readonly FoundBackend[]>
  readonly clock: Clock
  readonly log: Log
}

/** How long to wait after a change: an editor writes in several steps. */
const DEBOUNCE_MS = 100
const MAX_DEBOUNCE_MS = 1000
const REREAD_MS = 5000
/** How long a text that could not be read is not tried again: a thread may have spent ten seconds on it. */
const RETRY_MS = 60_000
const MAX_BYTES = 4 * 1024 * 1024

export function createFileSource(options: FileOptions): DiscoverySource {
  return new FileSource(options)
}

class FileSource implements DiscoverySource {
  readonly name: string
  readonly #options: FileOptions
  #apply: ((snapshot: Snapshot) => void) | undefined
  #watcher: FSWatcher | undefined
  #cancel: (() => void) | undefined
  #digest = ''
  /** The text that could not be read last, and until when it is left alone. */
  #unreadable = { digest: '', until: 0 }
  #lastWarning = ''
  #reading = false
  /** The text that was read last while something in the folder changed. */
  #unsettled: string | undefined
  /**
   * Changes in the folder so far, and when the first one, or a request for a refresh, came that no reading has
   * followed.
   */
  #changes = 0
  #changedAt: number | undefined
  /** A refresh was requested: the next reading is applied even if nothing changed. */
  #isForced = false
  readonly #stop = new AbortController()

  constructor(options: FileOptions) {
    this.#options = options
    this.name = `file:${options.path}`
  }

  start(apply: (snapshot: Snapshot) => void): void {
    this.#apply = apply
    void this.#read()
  }

  refresh(): void {
    this.#isForced = true
    this.#changedAt ??= this.#options.clock.now()
    // The file may be in the middle of being written.
    this.#plan(DEBOUNCE_MS)
  }

  stop(): void {
    this.#apply = undefined
    this.#cancel?.()
    this.#stop.abort()
    this.#unwatch()
  }

  #plan(ms: number): void {
    this.#cancel?.()
    if (this.#apply) this.#cancel = this.#options.clock.after(ms, () => void this.#read())
  }

  async #read(): Promise<void> {
    if (this.#reading) return this.#plan(DEBOUNCE_MS)
    this.#reading = true
    this.#changedAt = undefined
    let dueIn = REREAD_MS
    try {
      if (!this.#watcher) this.#watch()
      const changes = this.#changes
      const text = (await readRegular(this.#options.path, MAX_BYTES)).toString('utf8')
      // What changed meanwhile may be the file, and half a list may look like a complete one. Read twice it is no half; without that
      // a folder in which something always changes would hold up the list for ever.
      const isSettled = changes === this.#changes || text === this.#unsettled
      this.#unsettled = isSettled ? undefined : text
      if (isSettled) await this.#take(text)
      else dueIn = DEBOUNCE_MS
    } catch (error) {
      this.#warnOnce(error instanceof Error ? error.message : String(error))
    } finally {
      this.#reading = false
      // A change since the bytes were read is not delayed further.
      this.#plan(this.#changedAt === undefined ? dueIn : DEBOUNCE_MS)
    }
  }

  async #take(text: string): Promise<void> {
    const { clock, read = async (json) => backendsIn(JSON.parse(json)) } = this.#options
    const digest = createHash('sha256').update(text).digest('base64')
    if (digest === this.#digest && !this.#isForced) return
    if (digest === this.#unreadable.digest && clock.now() < this.#unreadable.until) return
    this.#unreadable = { digest, until: clock.now() + RETRY_MS }
    const snapshot = await read(text, this.#stop.signal)
    this.#unreadable.digest = ''
    this.#isForced = false
    this.#digest = digest
    this.#lastWarning = ''
    this.#apply?.(snapshot)
  }

  /** Logs a problem once; the last valid list stays. */
  #warnOnce(message: string): void {
    const { log, path } = this.#options
    if (message !== this.#lastWarning) log.warn('discovery.file', { path, error: message })
    this.#lastWarning = message
  }

  #watch(): void {
    try {
      this.#watcher = watch(dirname(this.#options.path), { persistent: false }, () => {
        this.#changes++
        const now = this.#options.clock.now()
        this.#changedAt ??= now
        // Constant changes in the folder must not delay the reading for ever.
        this.#plan(Math.max(0, Math.min(DEBOUNCE_MS, this.#changedAt + MAX_DEBOUNCE_MS - now)))
      })
      this.#watcher.on('error', () => this.#unwatch())
    } catch {
      // The folder is not there yet: the next reading tries again.
    }
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = undefined
  }
}

/** The backends of a parsed file: `[…]` or `{ "backends": […] }`, each a URL or an object with one. Throws. */
export function backendsIn(value: unknown): FoundBackend[] {
  const list = Array.isArray(value) ? value : (value as { backends?: unknown } | null)?.backends
  if (!Array.isArray(list))
    throw new Error('expected a list of backends, or an object with one as "backends"')
  if (list.length > BOUNDS.backends) throw new Error(`more than ${BOUNDS.backends} backends`)
  return list.map((entry: unknown, i) => backendOf(entry, `backend ${i + 1}`))
}

const FIELDS = new Set(['url', 'grpc', 'weight', 'zone', 'concurrency', 'models', 'labels'])

function backendOf(entry: unknown, where: string): FoundBackend {
  if (typeof entry === 'string') return { url: urlOf(entry, where) }
  if (typeof entry !== 'object' || entry === null) throw new Error(`${where} is neither a URL nor an object`)
  const unknown = Object.keys(entry).find((key) => !FIELDS.has(key))
  if (unknown) throw new Error(`${where} has "${unknown}": known are ${[...FIELDS].join(', ')}`)
  const { url, grpc, weight, zone, concurrency, models, labels } = entry as Record<string, unknown>
  if (url === undefined && grpc === undefined) throw new Error(`${where} has neither "url" nor "grpc"`)
  return {
    ...(url === undefined ? {} : { url: urlOf(url, where) }),
    ...(grpc === undefined ? {} : { grpc: urlOf(grpc, where) }),
    ...(weight === undefined ? {} : { weight: within(weight, `weight of ${where}`, 0.01, BOUNDS.maxWeight) }),
    ...(zone === undefined ? {} : { zone: textOf(zone, `zone of ${where}`) }),
    ...(concurrency === undefined
      ? {}
      : { concurrency: within(concurrency, `concurrency of ${where}`, 1, 100_000) }),
    ...(models === undefined ? {} : { models: modelsOf(models, where) }),
    ...(labels === undefined ? {} : { labels: labelsOf(labels, where) }),
  }
}

function modelsOf(value: unknown, where: string): NonNullable<FoundBackend['models']> {
  if (!Array.isArray(value) || value.length > BOUNDS.models) throw new Error(`models of ${where} are no list`)
  return value.map((entry: unknown) => {
    if (typeof entry === 'string') return { name: textOf(entry, `model of ${where}`) }
    const { name, version, digest } = Object(entry) as Record<string, unknown>
    return {
      name: textOf(name, `name of a model of ${where}`),
      ...(version === undefined ? {} : { version: textOf(version, `version of a model of ${where}`) }),
      ...(digest === undefined ? {} : { digest: textOf(digest, `digest of a model of ${where}`) }),
    }
  })
}

function labelsOf(value: unknown, where: string): Record<string, string> {
  if (typeof value !== 'object' || value === null) throw new Error(`labels of ${where} are no object`)
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, BOUNDS.labels)
      .map(([key, text]) => [key, textOf(text, `a label of ${where}`)]),
  )
}

function urlOf(text: unknown, where: string): string {
  if (typeof text !== 'string') throw new Error(`the URL of ${where} is no text`)
  const parsed = parseBackendUrl(text)
  if ('problem' in parsed) throw new Error(`the URL of ${where} ${parsed.problem}`)
  return parsed.url
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.length > BOUNDS.nameLength)
    throw new Error(`${what} is no text of 1 to ${BOUNDS.nameLength} characters`)
  return value
}

function within(value: unknown, what: string, min: number, max: number): number {
  if (typeof value !== 'number' || !(value >= min && value <= max))
    throw new Error(`${what} is no number from ${min} to ${max}`)
  return value
}
