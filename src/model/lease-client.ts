/**
 * The client of the gateway's registry: registers one backend in a pool, renews its lease, registers again when it was
 * forgotten, and deregisters at the end.
 *
 * One loop makes all calls one after the other, so a registration that is already on its way cannot overtake a drain.
 * `update`, `drain` and `leave` only set a goal and wake the loop. It runs on a thread of its own, see lease.ts.
 */
import { readSecret } from '../lib/regular-file.ts'
import { reasonOf } from './error.ts'

/** A model as it is registered; a new digest is a new deployment. */
export interface ServedModel {
  readonly name: string
  readonly version: string
  readonly digest: string
  readonly maxBatch: number
}

export interface LeaseTerms {
  /** Base URL of the admin API, without `/api/v1`. */
  readonly adminUrl: string
  readonly pool: string
  readonly id: string
  /** The URL at which the gateway reaches this server. */
  readonly url: string
  /** The URL at which it takes gRPC. */
  readonly grpc: string
  /** When this process started, in Unix milliseconds: a later one supersedes an earlier one under the same id. */
  readonly epoch: number
  readonly ttlMs: number
  /** Read again for every call, because tokens are rotated. */
  readonly tokenFile?: string
  readonly token?: string
}

export type LeaseEvent =
  | { readonly type: 'registered'; readonly generation: number }
  /** The registry cannot be reached or refuses; retried for ever. Reported once per reason. */
  | { readonly type: 'trouble'; readonly reason: string }
  /** A successor holds the id: this process must end. */
  | { readonly type: 'fenced'; readonly reason: string }
  | { readonly type: 'drained' }
  | { readonly type: 'left' }

const CALL_TIMEOUT_MS = 2_000
const RETRY_MS = { first: 200, most: 5_000 } as const
/** Jitter, so that many servers do not renew at the same time. */
const JITTER = 0.2
const MIN_RENEW_MS = 100

interface RegistryResponse {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

export class LeaseClient {
  readonly #terms: LeaseTerms
  readonly #report: (event: LeaseEvent) => void
  #offers: readonly ServedModel[]
  #generation: number | undefined
  #renewAfterMs: number
  #isStale = true
  #goal: 'hold' | 'drain' | 'leave' = 'hold'
  #isDraining = false
  #isOver = false
  #failures = 0
  #lastProblem = ''
  #wake: () => void = () => undefined

  constructor(terms: LeaseTerms, offers: readonly ServedModel[], report: (event: LeaseEvent) => void) {
    this.#terms = terms
    this.#offers = offers
    this.#report = report
    this.#renewAfterMs = terms.ttlMs / 3
  }

  /** Runs the loop. Resolves when the backend is deregistered or fenced; never rejects. */
  async run(): Promise<void> {
    while (!this.#isOver) {
      const pauseMs = await this.#step().catch((error: unknown) => this.#failed(reasonOf(error)))
      if (!this.#isOver && !this.#hasWork()) await this.#pause(pauseMs)
    }
  }

  update(offers: readonly ServedModel[]): void {
    this.#offers = offers
    this.#isStale = true
    this.#wake()
  }

  /** Asks the gateway to send no more calls. Renewals continue, so that it waits for the running ones. */
  drain(): void {
    if (this.#goal === 'hold') this.#goal = 'drain'
    this.#wake()
  }

  leave(): void {
    this.#goal = 'leave'
    this.#wake()
  }

  #hasWork(): boolean {
    return (
      this.#goal === 'leave' ||
      (this.#goal === 'drain' ? !this.#isDraining : this.#isStale && this.#failures === 0)
    )
  }

  /** One call to the registry; resolves to how long to wait before the next, in milliseconds. */
  async #step(): Promise<number> {
    if (this.#goal === 'leave') return this.#depart()
    if (this.#goal === 'drain' && !this.#isDraining) return this.#announceDrain()
    if (this.#generation === undefined || this.#isStale)
      return this.#isDraining ? RETRY_MS.most : this.#register()
    return this.#renew(this.#generation)
  }

  async #register(): Promise<number> {
    const { url, grpc, epoch, ttlMs } = this.#terms
    this.#isStale = false
    const sent = { url, grpc, epoch, models: this.#offers, lease: { ttlMs } }
    const { status, body } = await this.#call('PUT', '', sent).catch((error: unknown) => {
      this.#isStale = true
      throw error
    })
    if (status === 409) return this.#fence(body)
    const generation = body['generation']
    if ((status !== 200 && status !== 201) || typeof generation !== 'number') {
      this.#isStale = true
      return this.#failed(refusal(status, body))
    }
    this.#generation = generation
    this.#report({ type: 'registered', generation })
    return this.#renewed(body)
  }

  async #renew(generation: number): Promise<number> {
    const { status, body } = await this.#call('POST', '/renew', { generation })
    if (status === 409) return this.#fence(body)
    if (status === 404) {
      this.#generation = undefined
      return 0
    }
    return status === 200 ? this.#renewed(body) : this.#failed(refusal(status, body))
  }

  #renewed(body: RegistryResponse['body']): number {
    this.#failures = 0
    this.#lastProblem = ''
    const { renewAfterMs } = body
    if (typeof renewAfterMs === 'number' && renewAfterMs > 0) this.#renewAfterMs = renewAfterMs
    return Math.max(MIN_RENEW_MS, this.#renewAfterMs * (1 - JITTER + 2 * JITTER * Math.random()))
  }

  #failed(reason: string): number {
    if (reason !== this.#lastProblem) this.#report({ type: 'trouble', reason })
    this.#lastProblem = reason
    const longest = Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** Math.min(this.#failures, 10))
    this.#failures += 1
    return longest * (0.5 + Math.random() / 2)
  }

  #fence(body: RegistryResponse['body']): number {
    this.#isOver = true
    this.#report({ type: 'fenced', reason: refusal(409, body) })
    return 0
  }

  /** Best effort: an unreachable registry sees the lease expire. */
  async #announceDrain(): Promise<number> {
    this.#isDraining = true
    if (this.#generation !== undefined) {
      await this.#call('PATCH', '', { state: 'draining' }).catch((error: unknown) =>
        this.#failed(reasonOf(error)),
      )
    }
    this.#report({ type: 'drained' })
    return this.#renewAfterMs / 2
  }

  /** With the generation, so that a successor under the same id is not removed. */
  async #depart(): Promise<number> {
    this.#isOver = true
    if (this.#generation !== undefined) {
      const query = `?generation=${this.#generation}`
      await this.#call('DELETE', query).catch((error: unknown) => this.#failed(reasonOf(error)))
    }
    this.#report({ type: 'left' })
    return 0
  }

  async #call(method: string, tail: string, body?: unknown): Promise<RegistryResponse> {
    const { adminUrl, pool, id } = this.#terms
    const path = `/api/v1/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(id)}`
    const token = await this.#token()
    const response = await fetch(`${adminUrl.replace(/\/+$/, '')}${path}${tail}`, {
      method,
      // A redirect would carry the token to wherever it points.
      redirect: 'manual',
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      headers: {
        'content-type': 'application/json',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
      throw new Error(`${adminUrl} cannot be reached: ${reasonOf(cause)}`, { cause: error })
    })
    return { status: response.status, body: objectOf(await response.text()) }
  }

  async #token(): Promise<string | undefined> {
    const { tokenFile, token } = this.#terms
    return tokenFile === undefined ? token : await readSecret(tokenFile)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

function objectOf(text: string): RegistryResponse['body'] {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as RegistryResponse['body']) : {}
  } catch {
    return {}
  }
}

/** The registry's error message, from its problem+json where it sent one. */
function refusal(status: number, body: RegistryResponse['body']): string {
  const detail = body['detail'] ?? body['title']
  return `the registry answered ${status}${typeof detail === 'string' ? `: ${detail.slice(0, 200)}` : ''}`
}
