/**
 * Polls one backend for the versions of the models that are called: TensorFlow Serving's status, the metadata of the
 * Open Inference Protocol, the index of its repository where the metadata name no version, the list of models of OpenAI's
 * API, and TorchServe's management API.
 */
import type { Backend } from '../../core/backend.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Probe, type ProbeAccess, reached } from '../health/probe.ts'
import type { VersionOffer } from './offering.ts'
import {
  readIndex,
  readList,
  readManaged,
  readMetadata,
  readStatus,
  type VersionAnswer,
} from './version-answer.ts'

/** Most queries out of turn in each interval, for waiting calls: callers may invent names. */
const MAX_URGENT = 16
/** Most models that are queried in a round; of more, those that have waited longest. */
const MAX_ROUND = 64
/** Of them, the share of models that the backend has not answered for yet: callers may invent names. */
const MAX_UNANSWERED = 16

export interface WatcherOptions {
  readonly clock: Clock
  readonly probe: Probe
  readonly intervalMs: number
  readonly timeoutMs: () => number | undefined
  readonly access: () => ProbeAccess
  readonly models: (backend: Backend) => readonly string[]
  readonly offered: (model: string, offers: readonly VersionOffer[]) => void
  /** Called after each query, whatever the answer is. */
  readonly queried: (model: string) => void
}

type Dialect = 'status' | 'metadata' | 'list' | 'management'

const DIALECTS: readonly Dialect[] = ['status', 'metadata', 'list', 'management']
/** Where each has its models. */
const PREFIXES: Readonly<Record<Dialect, string>> = {
  status: '/v1',
  metadata: '/v2',
  list: '/v1',
  management: '',
}

/** Polls one backend in rounds, with one query at a time. */
export class Watcher {
  readonly pool: string
  backend: Backend
  readonly #options: WatcherOptions
  readonly #dialect = new Map<string, Dialect>()
  /** Models that were queried, in the order in which they were; the first has waited longest. */
  readonly #queried = new Set<string>()
  /** Models whose versions the backend has named. */
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

  /** Queries this model out of turn, or in the next round when there were too many. */
  query(model: string): void {
    if (this.#urgent++ < MAX_URGENT && this.#serves(model)) void this.#query(model)
  }

  /** True where the model was queried, or need not be. */
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

  /** The models of this round. Each has its turn, however many there are. */
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

  /** Queries a model and reports the answer. False where the backend is unreachable. */
  async #query(model: string): Promise<boolean> {
    const limit = this.#options.timeoutMs()
    const answer: VersionAnswer =
      limit === undefined ? { kind: 'other' } : await this.#readVersions(model, limit)
    if (this.#stopped) return false
    if (answer.kind === 'offers') this.#options.offered(model, answer.offers)
    if (answer.kind === 'other') this.#options.offered(model, [])
    const isUnreachable = answer.kind === 'silent' && answer.isUnreachable
    // The other models of an unreachable backend count as queried, too.
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
      const path = `${PREFIXES[dialect]}/models${dialect === 'list' ? '' : `/${segment}`}`
      const answer = await this.#readDialect(dialect, { path, model, timeoutMs })
      if (answer.kind !== 'offers' && answer.kind !== 'silent') continue
      if (answer.kind === 'offers') this.#dialect.set(model, dialect)
      return answer
    }
    return { kind: 'other' }
  }

  /** The protocol that answered before comes first. Only TensorFlow Serving has labels. */
  #dialects(model: string, label: string | undefined): readonly Dialect[] {
    if (label !== undefined) return ['status']
    const before = this.#dialect.get(model)
    return before === undefined ? DIALECTS : [before, ...DIALECTS.filter((dialect) => dialect !== before)]
  }

  async #readDialect(dialect: Dialect, { path, model, timeoutMs }: VersionQuery): Promise<VersionAnswer> {
    const { probe } = this.#options
    const request = { ...reached(this.backend), timeoutMs, ...this.#options.access() }
    const result = await probe({ ...request, path })
    if (dialect === 'status') return readStatus(result)
    if (dialect === 'list') return readList(result, model)
    if (dialect === 'management') return readManaged(result, model)
    const answer = readMetadata(result)
    if (answer.kind === 'offers' && hasVersions(answer.offers)) this.#versioned.add(model)
    if (answer.kind !== 'unversioned') return answer
    const index = await probe({ ...request, path: '/v2/repository/index', json: '{}' })
    const offers = readIndex(index, model, answer.digest)
    if (offers.kind !== 'offers') return offers
    // A model that had versions before is being loaded.
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
