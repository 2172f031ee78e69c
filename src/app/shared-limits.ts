/** The limits of tenants over the gateways on one Redis. Where the settings name no tenants, nothing runs. */
import { randomUUID } from 'node:crypto'
import type { Settings } from '../config/schema.ts'
import { type ExchangedLimits, LimitExchange } from '../control/limits/limit-exchange.ts'
import { createLimitStore } from '../control/limits/limit-store.ts'
import type { Log } from '../core/log.ts'
import type { SharedStore } from '../core/shared.ts'
import type { PeerDemands } from '../data/balance/fair/peer-demands.ts'
import type { PeerShares } from '../data/balance/fair/peer-shares.ts'
import type { PeerLimits } from '../data/decision/peer-limits.ts'
import type { QuotaTable } from '../data/decision/quota-table.ts'
import type { Clock } from '../lib/clock.ts'

export interface SharedLimitsParts {
  readonly limits: PeerLimits
  readonly quotas: QuotaTable
  readonly shares: PeerShares
  readonly demands: PeerDemands
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
    const { openStore, clock, log } = this.#parts
    this.#store = await openStore()
    if (!this.#store) return
    this.#exchange = new LimitExchange({
      store: createLimitStore(this.#store),
      limits: exchangedLimits(this.#parts),
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

/** All that is told of tenants, as one. */
export function exchangedLimits({
  limits,
  quotas,
  shares,
  demands,
}: Pick<SharedLimitsParts, 'limits' | 'quotas' | 'shares' | 'demands'>): ExchangedLimits {
  return {
    take() {
      const use = limits.take()
      const waiting = demands.take()
      const served = shares.take()
      if (!use && !waiting && served.length === 0) return undefined
      return { used: [], running: [], ...use, served, waiting: waiting ?? [] }
    },
    hear(gateways, reports, self) {
      limits.hear(gateways, reports)
      for (const { gateway, served, waiting } of reports) {
        shares.hear(served)
        demands.hear(gateway, waiting)
      }
      demands.agree(self)
    },
    part: () => limits.part(),
    rejoin(gateways) {
      limits.rejoin(gateways)
      shares.forget()
    },
    takeQuotas: () => quotas.take(),
    counted: (uses, totals, now) => quotas.counted(uses, totals, now),
  }
}
