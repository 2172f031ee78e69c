/**
 * Asks one backend what it has of the models that are called: status of TensorFlow Serving, metadata of the Open Inference
 * Protocol, the index of its repository where the metadata names no version.
 */
import type { Backend } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Probe } from '../health/probe.ts'
import type { VersionOffer } from './offering.ts'
import { readIndex, readMetadata, readStatus, type VersionAnswer } from './version-answer.ts'

/** Models that are asked about out of turn since a call is waiting, in each interval: callers may invent names. */
const MAX_URGENT = 16
/** Models that are asked about in a round; of more, those that have waited longest. */
const MAX_ROUND = 64
/** Of them, those that it has said nothing of yet have so many places, since callers may invent names. */
const MAX_UNANSWERED = 16

export interface WatcherOptions {
  readonly clock: Clock
  readonly probe: Probe
  readonly intervalMs: number
  readonly timeoutMs: () => number | undefined
  /** For the Host field; undefined: the backend's own. */
  readonly host: () => string | undefined
  readonly models: (backend: Backend) => readonly string[]
  readonly offered: (model: string, offers: readonly VersionOffer[]) => void
  /** After each question, whatever came of it. */
  readonly queried: (model: string) => void
}

type Dialect = 'status' | 'metadata'

/** Asks one backend, round after round, one question after the other. */
export class Watcher {
  readonly pool: string
  backend: Backend
  readonly #options: WatcherOptions
  readonly #dialect = new Map<string, Dialect>()
  /** Models that it has been asked about, who has waited longest first. */
  readonly #queried = new Set<string>()
  /** Models whose versions it has named. */
  readonly #versioned = new Set<string>()
  #urgent = 0
  #stopped = false
  #cancel: (() => void) | undefined

  constructor(pool: string, backend: Backend, options: WatcherOptions) {
    this.pool = pool
    this.backend = backend
    this.#options = options
  }

  start(): void {
    void this.#round()
  }

  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  /** Asks about this one out of turn, or in the next round when there were too many. */
  query(model: string): void {
    if (this.#urgent++ < MAX_URGENT && this.#serves(model)) void this.#query(model)
  }

  /** It was asked about it, or is not to be. */
  hasQueried(model: string): boolean {
    return this.#queried.has(model) || !this.#serves(model)
  }

  #serves(model: string): boolean {
    return this.#options.models(this.backend).includes(model)
  }

  async #round(): Promise<void> {
    const { clock, models, intervalMs } = this.#options
    const startedAt = clock.now()
    this.#urgent = 0
    const names = models(this.backend)
    const wanted = new Set(names)
    for (const model of this.#queried) if (!wanted.has(model)) this.#forget(model)
    for (const model of this.#batch(names)) if (!(await this.#query(model))) break
    if (this.#stopped) return
    this.#cancel = clock.after(Math.max(0, startedAt + intervalMs - clock.now()), () => void this.#round())
  }

  /** Whom to ask about now: each has its turn, however many there are. */
  #batch(names: readonly string[]): readonly string[] {
    if (names.length <= MAX_ROUND) return names
    const waiting = [...names.filter((name) => !this.#queried.has(name)), ...this.#queried]
    const answered = waiting.filter((name) => this.#dialect.has(name))
    const others = waiting.filter((name) => !this.#dialect.has(name))
    const room = Math.max(MAX_UNANSWERED, MAX_ROUND - answered.length)
    const some = others.slice(0, room)
    return [...answered.slice(0, MAX_ROUND - some.length), ...some]
  }

  #forget(model: string): void {
    this.#dialect.delete(model)
    this.#versioned.delete(model)
    this.#queried.delete(model)
  }

  /** False: nobody is there to be asked more. */
  async #query(model: string): Promise<boolean> {
    const limit = this.#options.timeoutMs()
    const answer: VersionAnswer =
      limit === undefined ? { kind: 'other' } : await this.#readVersions(model, limit)
    if (this.#stopped) return false
    if (answer.kind === 'offers') this.#options.offered(model, answer.offers)
    if (answer.kind === 'other') this.#options.offered(model, [])
    const isUnreachable = answer.kind === 'silent' && answer.isUnreachable
    // Who is not there is not asked about the others.
    for (const name of isUnreachable ? this.#options.models(this.backend) : [model]) {
      this.#queried.delete(name)
      this.#queried.add(name)
      this.#options.queried(name)
    }
    return !isUnreachable
  }

  async #readVersions(model: string, timeoutMs: number): Promise<VersionAnswer> {
    const [, name = model, label] = /^(.+)\/labels\/([^/]+)$/.exec(model) ?? []
    const segment =
      encodeURIComponent(name) + (label === undefined ? '' : `/labels/${encodeURIComponent(label)}`)
    for (const dialect of this.#dialects(model, label)) {
      const path = `/${dialect === 'status' ? 'v1' : 'v2'}/models/${segment}`
      const answer = await this.#readDialect(dialect, { path, model, timeoutMs })
      if (answer.kind !== 'offers' && answer.kind !== 'silent') continue
      if (answer.kind === 'offers') this.#dialect.set(model, dialect)
      return answer
    }
    return { kind: 'other' }
  }

  /** What it spoke before comes first. Labels are TensorFlow Serving's. */
  #dialects(model: string, label: string | undefined): readonly Dialect[] {
    if (label !== undefined) return ['status']
    return this.#dialect.get(model) === 'metadata' ? ['metadata', 'status'] : ['status', 'metadata']
  }

  async #readDialect(dialect: Dialect, { path, model, timeoutMs }: VersionQuery): Promise<VersionAnswer> {
    const { probe } = this.#options
    const request = { url: this.backend.url, timeoutMs, host: this.#options.host() }
    const result = await probe({ ...request, path })
    if (dialect === 'status') return readStatus(result)
    const answer = readMetadata(result)
    if (answer.kind === 'offers' && hasVersions(answer.offers)) this.#versioned.add(model)
    if (answer.kind !== 'unversioned') return answer
    const index = await probe({ ...request, path: '/v2/repository/index', json: '{}' })
    const offers = readIndex(index, model, answer.digest)
    if (offers.kind !== 'offers') return offers
    // One that named versions before is being loaded.
    if (!hasVersions(offers.offers) && this.#versioned.has(model))
      return { kind: 'silent', isUnreachable: false }
    if (hasVersions(offers.offers)) this.#versioned.add(model)
    return offers
  }
}

interface VersionQuery {
  readonly path: string
  readonly model: string
  readonly timeoutMs: number
}

function hasVersions(offers: readonly VersionOffer[]): boolean {
  return offers.some((offer) => !offer.startsWith('@'))
}
