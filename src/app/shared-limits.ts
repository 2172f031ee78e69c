/** The limits of tenants over the gateways on one Redis. Where the settings name no tenants, nothing runs. */
import { randomUUID } from 'node:crypto'
import type { Settings } from '../config/schema.ts'
import { LimitExchange } from '../control/limits/limit-exchange.ts'
import { createLimitStore } from '../control/limits/limit-store.ts'
import type { Log } from '../core/log.ts'
import type { SharedStore } from '../core/shared.ts'
import type { PeerLimits } from '../data/decision/peer-limits.ts'
import type { QuotaTable } from '../data/decision/quota-table.ts'
import type { Clock } from '../lib/clock.ts'

export interface SharedLimitsParts {
  readonly limits: PeerLimits
  readonly quotas: QuotaTable
  /** Opens the store that the gateways share; undefined: there is none. */
  readonly openStore: () => Promise<SharedStore | undefined>
  readonly clock: Clock
  readonly log: Log
}

export class SharedLimits {
  readonly #parts: SharedLimitsParts
  #store: SharedStore | undefined
  #exchange: LimitExchange | undefined

  constructor(parts: SharedLimitsParts) {
    this.#parts = parts
  }

  /** Begins with the first settings that name tenants. */
  async follow({ tenants }: Pick<Settings, 'tenants'>): Promise<void> {
    if (tenants === undefined || this.#exchange) return
    const { limits, quotas, openStore, clock, log } = this.#parts
    this.#store = await openStore()
    if (!this.#store) return
    this.#exchange = new LimitExchange({
      store: createLimitStore(this.#store),
      limits: {
        take: () => limits.take(),
        hear: (gateways, reports) => limits.hear(gateways, reports),
        part: () => limits.part(),
        rejoin: (gateways) => limits.rejoin(gateways),
        takeQuotas: () => quotas.take(),
        counted: (uses, totals, now) => quotas.counted(uses, totals, now),
      },
      clock,
      log,
      gateway: randomUUID(),
    })
    this.#exchange.start()
  }

  /** Tells the store the last of what was used. Never rejects. */
  async close(): Promise<void> {
    await this.#exchange?.close()
    this.#store?.close()
  }

  /** What is wrong, for people. */
  get problems(): readonly string[] {
    return this.#exchange?.problems ?? []
  }
}
