/**
 * Shares the limits of tenants with the other gateways on one store: ten times a second each says what its tenants have used
 * and hears what those of the others have. No call waits for it. While the store is not heard, each gateway has its part of
 * every limit, by the number of gateways last known.
 */
import { type LimitReport, type PeerReport, type QuotaUse, readReport } from '../../core/limit-report.ts'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ExchangeAnswer, ExchangeRequest, LimitStore } from './limit-store.ts'

/** The limits of this gateway, as the data plane counts them. */
export interface ExchangedLimits {
  /** What was used since the last call; undefined: nothing that the others do not know. */
  take(): LimitReport | undefined
  /** `self`: the name of this gateway, and the store's time in Unix milliseconds. */
  hear(
    gateways: number,
    reports: readonly PeerReport[],
    self: { readonly gateway: string; readonly now: number },
  ): void
  /** The others are not heard any more; returns this gateway's part of each limit. */
  part(): number
  /** They are heard again. */
  rejoin(gateways: number): void
  /** What was counted against quotas and not yet `counted`. */
  takeQuotas(): readonly QuotaUse[]
  /** What all have used of those quotas. `now`: the store's time, in Unix milliseconds. */
  counted(quotas: readonly QuotaUse[], totals: readonly number[], now: number): void
}

export interface LimitExchangeOptions {
  readonly store: LimitStore
  readonly limits: ExchangedLimits
  readonly clock: Clock
  readonly log: Log
  /** The unique name of this gateway; without a space. */
  readonly gateway: string
}

const ROUND_MS = 100
/** Silence after which the store is taken to be away. */
const AWAY_MS = 1_000
/** A store that is back is asked for so long whether all gateways are: one that is not there yet still uses its part. */
const GATHER_MS = 2_000
/** Time for the first connection, in which a missing one is not logged. */
const START_MS = 1_500

export class LimitExchange {
  readonly #options: LimitExchangeOptions
  readonly #startedAt: number
  /** Sent, or to be sent, and not answered: it is sent again as it is, since it may have been counted. */
  #pending: Omit<ExchangeRequest, 'last'> | undefined
  #number = 0
  #last: number | undefined
  #heardAt = -Infinity
  /** When the store answered again; undefined: it has not, or all goes well. */
  #backAt: number | undefined
  /** The number of gateways last known. */
  #gateways = 1
  /** This gateway's part of each limit while the others are not heard; undefined: they are. */
  #part: number | undefined
  #isLogged = false
  /** What lies in the store and does not belong there. */
  #oddities: readonly string[] = []
  #error: unknown = 'no connection'
  #running: Promise<void> | undefined
  #cancel: (() => void) | undefined

  constructor(options: LimitExchangeOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
    this.#part = options.limits.part()
  }

  start(): void {
    this.#tick()
  }

  /** Tells the others the last of it. Resolves within the store's time; never rejects. */
  async close(): Promise<void> {
    this.#cancel?.()
    const { store, gateway } = this.#options
    await this.#running
    if (!store.connected) return
    await this.#exchange()
    await store.leave(gateway).catch(() => {})
  }

  /** What is wrong, for people. */
  get problems(): readonly string[] {
    const odd = this.#oddities.map((oddity) => `tenants: ${oddity}`)
    if (!this.#isLogged || this.#part === undefined) return odd
    return [
      `tenants: the other gateways are not heard (${reasonOf(this.#error)}): ${wordsFor(this.#part)}`,
      ...odd,
    ]
  }

  #tick(): void {
    const { clock, store } = this.#options
    this.#cancel = clock.after(ROUND_MS, () => this.#tick())
    if (clock.now() - this.#heardAt > AWAY_MS) this.#lose()
    if (!store.connected) this.#error = 'no connection'
    else
      this.#running ??= this.#exchange().finally(() => {
        this.#running = undefined
      })
  }

  async #exchange(): Promise<void> {
    const { store, limits, gateway } = this.#options
    const pending = (this.#pending ??= { gateway, number: ++this.#number, ...this.#news(limits) })
    try {
      this.#answered(pending, await store.exchange({ ...pending, last: this.#last }))
    } catch (error) {
      this.#error = error
    }
  }

  #news(limits: ExchangedLimits): Pick<ExchangeRequest, 'report' | 'quotas'> {
    // What is used of one's own part is owed by nobody else.
    const report = this.#part === undefined ? limits.take() : undefined
    return { report: report && JSON.stringify(report), quotas: limits.takeQuotas() }
  }

  #answered({ quotas }: Pick<ExchangeRequest, 'quotas'>, answer: ExchangeAnswer): void {
    const { clock, limits, gateway: self } = this.#options
    const { now, gateways, sequence, reports, totals } = answer
    this.#pending = undefined
    limits.counted(quotas, totals, now)
    this.#tell(answer.problems)
    if (!answer.isHeard) return void (this.#error = 'something else lies where they write')
    this.#last = sequence
    if (clock.now() - this.#heardAt > AWAY_MS) this.#lose()
    this.#heardAt = clock.now()
    if (this.#part !== undefined) return this.#find(gateways)
    this.#gateways = gateways
    limits.hear(
      gateways,
      reports.map(({ gateway, text }) => ({ gateway, ...readReport(text) })),
      { gateway: self, now },
    )
  }

  /** Once for each problem. */
  #tell(problems: readonly string[]): void {
    for (const problem of problems)
      if (!this.#oddities.includes(problem)) this.#options.log.warn('limits.odd', { problem })
    this.#oddities = problems
  }

  #lose(): void {
    const { clock, limits, log } = this.#options
    this.#part ??= limits.part()
    this.#backAt = undefined
    if (this.#isLogged || clock.now() - this.#startedAt < START_MS) return
    this.#isLogged = true
    log.warn('limits.away', { reason: reasonOf(this.#error), part: wordsFor(this.#part) })
  }

  #find(gateways: number): void {
    const { clock, limits, log } = this.#options
    this.#backAt ??= clock.now()
    if (gateways < this.#gateways && clock.now() - this.#backAt < GATHER_MS) return
    limits.rejoin(gateways)
    this.#part = undefined
    this.#gateways = gateways
    if (this.#isLogged) log.info('limits.back', { gateways })
    this.#isLogged = false
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function wordsFor(part: number): string {
  return part === 1 ? 'this one knows of no other' : `this one has 1/${Math.round(1 / part)} of each limit`
}
