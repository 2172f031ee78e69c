/**
 * Keeps the credentials that do not stand in the settings: the file with further keys, and the public keys of issuers. The data
 * plane gets all of them as plain data whenever one changes.
 */
import type { Log } from '../../core/log.ts'
import { shownUrl } from '../../core/shown-url.ts'
import type { Clock } from '../../lib/clock.ts'
import { CredentialsError } from './credentials-error.ts'
import type { Jwk } from './jwk-set.ts'
import { type KeySet, openKeySet } from './key-set.ts'
import { WatchedFile } from './watched-file.ts'

export interface CredentialSources {
  readonly keysFile?: string | undefined
  readonly jwt: readonly { readonly jwks: string }[]
}

export interface CredentialsOptions<K> {
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** The keys in the text of the file; rejects with an Error that says what is wrong, or when the signal fires. */
  readonly readKeys: (text: string, signal: AbortSignal) => Promise<readonly K[]>
  readonly changed: (credentials: {
    readonly keys: readonly K[]
    readonly jwks: Readonly<Record<string, readonly Jwk[]>>
  }) => void
}

export interface NamedKey {
  readonly name: string
}

/** Most names of each kind that the log tells of a changed file. */
const MAX_TOLD = 20

/** A hundred thousand keys take about 16 MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024

export class CredentialStore<K extends NamedKey> {
  readonly #options: CredentialsOptions<K>
  #file: { readonly path: string; readonly watched: WatchedFile } | undefined
  #sets = new Map<string, KeySet>()
  #keys: readonly K[] = []
  readonly #jwks = new Map<string, readonly Jwk[]>()
  /** Changes are told one by one only when all sources of the settings were opened. */
  #isOpening = false

  constructor(options: CredentialsOptions<K>) {
    this.#options = options
  }

  /**
   * Opens the sources of these settings, and closes those that they no longer name. Rejects where a file cannot be taken over;
   * then the sources stay that were there before.
   */
  async follow(sources: CredentialSources | undefined): Promise<void> {
    this.#isOpening = true
    try {
      const [places, file] = [new Set(sources?.jwt.map(({ jwks }) => jwks)), sources?.keysFile]
      const opened = await this.#opened(places)
      await this.#followFile(file).catch((error: unknown) => {
        for (const [place, set] of opened) if (!this.#sets.has(place)) set.stop()
        throw error
      })
      for (const [place, set] of this.#sets) {
        if (places.has(place)) continue
        set.stop()
        this.#jwks.delete(place)
      }
      this.#sets = opened
    } finally {
      this.#isOpening = false
    }
    this.#tell()
  }

  /** A token names a key that the set at this place does not have. Never rejects. */
  async keyMissing(place: string): Promise<void> {
    await this.#sets.get(place)?.refresh()
  }

  /** For people: what could not be read. Where it could before, what was read then stays. */
  get problems(): readonly string[] {
    const file = this.#file?.watched.problem
    const ofSets = [...this.#sets].flatMap(([place, { problem }]) =>
      problem === undefined ? [] : [`auth: key set ${shownUrl(place)}: ${problem}`],
    )
    return [...(file === undefined ? [] : [`auth: keysFile: ${file}`]), ...ofSets]
  }

  stop(): void {
    this.#file?.watched.stop()
    for (const set of this.#sets.values()) set.stop()
  }

  async #opened(places: ReadonlySet<string>): Promise<Map<string, KeySet>> {
    const opened = new Map<string, KeySet>()
    for (const place of places) {
      const set = this.#sets.get(place) ?? (await this.#open(place))
      opened.set(place, set)
    }
    return opened
  }

  async #open(place: string): Promise<KeySet> {
    const { clock, random, log } = this.#options
    const set = openKeySet({
      place,
      clock,
      random,
      changed: (keys) => {
        this.#jwks.set(place, keys)
        this.#tell()
      },
      failed: (error) => log.warn('auth.jwks', { place: shownUrl(place), error }),
    })
    await set.start().catch((error: unknown) => {
      throw new CredentialsError('auth.jwt', place, error)
    })
    return set
  }

  async #followFile(path: string | undefined): Promise<void> {
    if (path === this.#file?.path) return
    let keys: readonly K[] = []
    const watched = path === undefined ? undefined : this.#watch(path, (read) => (keys = read))
    await watched?.start().catch((error: unknown) => {
      throw new CredentialsError('auth.keysFile', path as string, error)
    })
    this.#file?.watched.stop()
    this.#file = watched && path !== undefined ? { path, watched } : undefined
    this.#keys = keys
  }

  #watch(path: string, first: (keys: readonly K[]) => void): WatchedFile {
    const { clock, log, readKeys } = this.#options
    const take = async (text: string, signal: AbortSignal) => {
      const keys = await readKeys(text, signal)
      if (this.#file?.path !== path) return first(keys)
      log.info('auth.keys', { path, keys: keys.length, ...differences(this.#keys, keys) })
      this.#keys = keys
      this.#tell()
    }
    const failed = (error: string) => log.warn('auth.file', { path, error })
    return new WatchedFile({ path, maxBytes: MAX_FILE_BYTES, clock, take, failed })
  }

  #tell(): void {
    if (this.#isOpening) return
    this.#options.changed({ keys: this.#keys, jwks: Object.fromEntries(this.#jwks) })
  }
}

/** The names of keys that are new, gone, or other than before. */
function differences(before: readonly NamedKey[], after: readonly NamedKey[]) {
  const [old, now] = [byName(before), byName(after)]
  const told = (names: Iterable<string>) => [...names].slice(0, MAX_TOLD)
  return {
    added: told([...now.keys()].filter((name) => !old.has(name))),
    removed: told([...old.keys()].filter((name) => !now.has(name))),
    changed: told([...now].flatMap(([name, text]) => (old.has(name) && old.get(name) !== text ? name : []))),
  }
}

function byName(keys: readonly NamedKey[]): ReadonlyMap<string, string> {
  return new Map(keys.map((key) => [key.name, JSON.stringify(key)]))
}
