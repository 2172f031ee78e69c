/**
 * Several gateways on one store, in simulated time: the real tables and the real exchange, and a store whose answers are late,
 * lost or missing. Each gateway has a clock of its own, which may run faster or slower than the others.
 */

import { LimitExchange } from '../../src/control/limits/limit-exchange.ts'
import type { ExchangeAnswer, ExchangeRequest, LimitStore } from '../../src/control/limits/limit-store.ts'
import type { PeerReport } from '../../src/core/limit-report.ts'
import { silentLog } from '../../src/core/log.ts'
import { accountOf } from '../../src/data/decision/account-places.ts'
import { allocateLimits, type LimitCharge, LimitTable } from '../../src/data/decision/limit-table.ts'
import { PeerLimits } from '../../src/data/decision/peer-limits.ts'
import type { Clock } from '../../src/lib/clock.ts'
import { createRandom, exponential, type Random } from '../../src/lib/seeded-random.ts'

export interface Network {
  /** The longest way to the store, in milliseconds, and the way back. */
  readonly delayMs: number
  /** The part of requests, and of answers, that are lost. */
  readonly lost: number
  /** Whether the store can be reached at this time. */
  readonly isDown?: (now: number) => boolean
}

const ACCOUNT = accountOf('a tenant')
const TIMEOUT_MS = 500
/** Microtasks of an exchange. */
const TURNS = 12

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** What a call turns out to cost, and when. */
export interface Settlement {
  readonly afterMs: number
  readonly cost: number
}

export class LimitWorld {
  /** The times at which a call was let through, by gateway. */
  readonly granted: number[][] = []
  now = 0
  readonly #random: Random
  readonly #network: Network
  readonly #timers = new Set<Timer>()
  readonly #gateways: { readonly table: LimitTable; readonly peers: PeerLimits }[] = []
  readonly #reports: { readonly gateway: string; readonly text: string }[] = []
  readonly #numbers = new Map<string, number>()

  constructor(seed: number, gateways: number, network: Network) {
    this.#random = createRandom(seed)
    this.#network = network
    for (let i = 0; i < gateways; i++) this.#add(i)
  }

  /**
   * Lets time pass. `perSecond`: calls of the tenant at each gateway, at random times; `settlement`: left out, they cost what they
   * were charged.
   */
  async run(
    ms: number,
    perSecond: readonly number[],
    charge: LimitCharge,
    settlement?: Settlement,
  ): Promise<void> {
    const end = this.now + ms
    const due = perSecond.map((each) => this.now + this.#gap(each))
    for (; this.now < end; this.now++) {
      for (const timer of this.#timers) {
        if (timer.at > this.now) continue
        this.#timers.delete(timer)
        timer.run()
        for (let turn = 0; turn < TURNS; turn++) await Promise.resolve()
      }
      for (const [i, each] of perSecond.entries())
        for (; (due[i] ?? 0) <= this.now; due[i] = (due[i] ?? 0) + this.#gap(each))
          this.#ask(i, charge, settlement)
    }
  }

  #ask(i: number, charge: LimitCharge, settlement: Settlement | undefined): void {
    if (this.#gateways[i]?.table.charge(ACCOUNT, charge) !== 0) return
    this.granted[i]?.push(this.now)
    const { rate, cost } = charge
    if (settlement)
      this.#later(settlement.afterMs * (0.5 + this.#random()), () =>
        this.#gateways[i]?.table.correct(ACCOUNT, { rate, cost: settlement.cost - cost }),
      )
  }

  /** The calls that were let through in each window of `ms` that begins after `from`; the fewest and the most. */
  windows(ms: number, from: number): { readonly fewest: number; readonly most: number } {
    const all = this.granted.flat().sort((a, b) => a - b)
    let [fewest, most] = [Infinity, 0]
    for (let at = from; at + ms <= this.now; at += ms / 50) {
      const calls = all.filter((time) => time >= at && time < at + ms).length
      fewest = Math.min(fewest, calls)
      most = Math.max(most, calls)
    }
    return { fewest, most }
  }

  #gap(perSecond: number): number {
    return perSecond === 0 ? Infinity : exponential(this.#random, 1000 / perSecond)
  }

  #add(i: number): void {
    const clock = this.#clock(1 + (this.#random() - 0.5) * 0.002, this.#random() * 1e6)
    const bytes = allocateLimits(1, 64)
    const viewer = { worker: 0, now: () => clock.now() }
    const peers = new PeerLimits(bytes, viewer)
    this.granted.push([])
    this.#gateways.push({ table: new LimitTable(bytes, viewer), peers })
    const limits = {
      take() {
        const use = peers.take()
        return use && { ...use, served: [], waiting: [] }
      },
      hear: (gateways: number, reports: readonly PeerReport[]) => peers.hear(gateways, reports),
      part: () => peers.part(),
      rejoin: (gateways: number) => peers.rejoin(gateways),
      takeQuotas: () => [],
      counted: () => {},
    }
    const store = this.#store()
    const exchange = new LimitExchange({ store, limits, clock, log: silentLog, gateway: `g${i}` })
    this.#later(this.#random() * 100, () => exchange.start())
  }

  #clock(speed: number, origin: number): Clock {
    return {
      now: () => origin + this.now * speed,
      wall: () => origin,
      after: (ms, run) => this.#later(ms / speed + this.#random() * 2, run),
    }
  }

  #later(ms: number, run: () => void): () => void {
    const timer = { at: this.now + ms, run }
    this.#timers.add(timer)
    return () => void this.#timers.delete(timer)
  }

  /** A message on its way, which may be lost. */
  #send(run: () => void): void {
    if (this.#random() >= this.#network.lost) this.#later(this.#random() * this.#network.delayMs, run)
  }

  #store(): LimitStore {
    return {
      connected: true,
      leave: async () => {},
      exchange: (request) =>
        new Promise((resolve, reject) => {
          this.#later(TIMEOUT_MS, () => reject(new Error('no answer')))
          this.#send(() => {
            if (this.#network.isDown?.(this.now)) return
            const answer = this.#answer(request)
            this.#send(() => resolve(answer))
          })
        }),
    }
  }

  #answer({ gateway, number, report, last }: ExchangeRequest): ExchangeAnswer {
    if (report !== undefined && this.#numbers.get(gateway) !== number)
      this.#reports.push({ gateway, text: report })
    this.#numbers.set(gateway, number)
    return {
      now: this.now,
      gateways: this.#numbers.size,
      sequence: this.#reports.length,
      reports: this.#reports.slice(last ?? this.#reports.length).filter((each) => each.gateway !== gateway),
      totals: [],
      isHeard: true,
      problems: [],
    }
  }
}
