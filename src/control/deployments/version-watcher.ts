/**
 * Asks one backend what it has of the models that are called: status of TensorFlow Serving, metadata of the Open Inference
 * Protocol, the index of its repository where the metadata names no version, and TorchServe's management.
 */
import type { Backend } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Probe } from '../health/probe.ts'
import type { VersionOffer } from './offering.ts'
import { readIndex, readManaged, readMetadata, readStatus, type VersionAnswer } from './version-answer.ts'

/** Models that are asked about out of turn since a call is waiting, in each interval: callers may invent names. */
const MAX_LOOKS = 16
/** Models that are asked about in a round; of more, those that have waited longest. */
const MAX_ROUND = 64
/** Of them, those that it has said nothing of yet have so many places, since callers may invent names. */
const MAX_UNSPOKEN = 16

export interface WatcherOptions {
  readonly clock: Clock
  readonly probe: Probe
  readonly intervalMs: number
  readonly timeoutMs: () => number | undefined
  /** For the Host field; undefined: the backend's own. */
  readonly host: () => string | undefined
  readonly models: (backend: Backend) => readonly string[]
  readonly said: (model: string, offers: readonly VersionOffer[]) => void
  /** After each question, whatever came of it. */
  readonly heard: (model: string) => void
}

type Dialect = 'status' | 'metadata' | 'management'

const DIALECTS: readonly Dialect[] = ['status', 'metadata', 'management']
/** Where each has its models. */
const PREFIXES: Readonly<Record<Dialect, string>> = { status: '/v1', metadata: '/v2', management: '' }

/** Asks one backend, round after round, one question after the other. */
export class Watcher {
  readonly pool: string
  backend: Backend
  readonly #options: WatcherOptions
  readonly #spoken = new Map<string, Dialect>()
  /** Models that it has been asked about, who has waited longest first. */
  readonly #heard = new Set<string>()
  /** Models whose versions it has named. */
  readonly #versioned = new Set<string>()
  #looks = 0
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
  look(model: string): void {
    if (this.#looks++ < MAX_LOOKS && this.#serves(model)) void this.#hear(model)
  }

  /** It was asked about it, or is not to be. */
  hasHeard(model: string): boolean {
    return this.#heard.has(model) || !this.#serves(model)
  }

  #serves(model: string): boolean {
    return this.#options.models(this.backend).includes(model)
  }

  async #round(): Promise<void> {
    const { clock, models, intervalMs } = this.#options
    const startedAt = clock.now()
    this.#looks = 0
    const names = models(this.backend)
    const wanted = new Set(names)
    for (const model of this.#heard) if (!wanted.has(model)) this.#forget(model)
    for (const model of this.#due(names)) if (!(await this.#hear(model))) break
    if (this.#stopped) return
    this.#cancel = clock.after(Math.max(0, startedAt + intervalMs - clock.now()), () => void this.#round())
  }

  /** Whom to ask about now: each has its turn, however many there are. */
  #due(names: readonly string[]): readonly string[] {
    if (names.length <= MAX_ROUND) return names
    const waiting = [...names.filter((name) => !this.#heard.has(name)), ...this.#heard]
    const spoken = waiting.filter((name) => this.#spoken.has(name))
    const others = waiting.filter((name) => !this.#spoken.has(name))
    const places = Math.max(MAX_UNSPOKEN, MAX_ROUND - spoken.length)
    const some = others.slice(0, places)
    return [...spoken.slice(0, MAX_ROUND - some.length), ...some]
  }

  #forget(model: string): void {
    this.#spoken.delete(model)
    this.#versioned.delete(model)
    this.#heard.delete(model)
  }

  /** False: nobody is there to be asked more. */
  async #hear(model: string): Promise<boolean> {
    const limit = this.#options.timeoutMs()
    const answer: VersionAnswer = limit === undefined ? { kind: 'other' } : await this.#ask(model, limit)
    if (this.#stopped) return false
    if (answer.kind === 'offers') this.#options.said(model, answer.offers)
    if (answer.kind === 'other') this.#options.said(model, [])
    const isAway = answer.kind === 'silent' && answer.away
    // Who is not there is not asked about the others.
    for (const name of isAway ? this.#options.models(this.backend) : [model]) {
      this.#heard.delete(name)
      this.#heard.add(name)
      this.#options.heard(name)
    }
    return !isAway
  }

  async #ask(model: string, timeoutMs: number): Promise<VersionAnswer> {
    const [, name = model, label] = /^(.+)\/labels\/([^/]+)$/.exec(model) ?? []
    const place =
      encodeURIComponent(name) + (label === undefined ? '' : `/labels/${encodeURIComponent(label)}`)
    for (const dialect of this.#dialects(model, label)) {
      const path = `${PREFIXES[dialect]}/models/${place}`
      const answer = await this.#read(dialect, { path, model, timeoutMs })
      if (answer.kind !== 'offers' && answer.kind !== 'silent') continue
      if (answer.kind === 'offers') this.#spoken.set(model, dialect)
      return answer
    }
    return { kind: 'other' }
  }

  /** What it spoke before comes first. Labels are TensorFlow Serving's. */
  #dialects(model: string, label: string | undefined): readonly Dialect[] {
    if (label !== undefined) return ['status']
    const before = this.#spoken.get(model)
    return before === undefined ? DIALECTS : [before, ...DIALECTS.filter((dialect) => dialect !== before)]
  }

  async #read(dialect: Dialect, { path, model, timeoutMs }: VersionQuery): Promise<VersionAnswer> {
    const { probe } = this.#options
    const asked = { url: this.backend.url, timeoutMs, host: this.#options.host() }
    const result = await probe({ ...asked, path })
    if (dialect === 'status') return readStatus(result)
    if (dialect === 'management') return readManaged(result, model)
    const answer = readMetadata(result)
    if (answer.kind === 'offers' && hasVersions(answer.offers)) this.#versioned.add(model)
    if (answer.kind !== 'unversioned') return answer
    const index = await probe({ ...asked, path: '/v2/repository/index', json: '{}' })
    const offers = readIndex(index, model, answer.digest)
    if (offers.kind !== 'offers') return offers
    // One that named versions before is being loaded.
    if (!hasVersions(offers.offers) && this.#versioned.has(model)) return { kind: 'silent', away: false }
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
