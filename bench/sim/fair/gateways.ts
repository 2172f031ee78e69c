/** Gateways that tell each other over a store what they run, what they have served, and who waits; messages take their time. */
import { PeerDemands } from '../../../src/data/balance/fair/peer-demands.ts'
import { PeerShares } from '../../../src/data/balance/fair/peer-shares.ts'
import { inflightOf, type LoadTable } from '../../../src/data/balance/table.ts'
import { createRandom, type Random } from '../../../src/lib/seeded-random.ts'
import type { Engine } from '../engine.ts'

interface Gateway {
  readonly name: string
  readonly table: LoadTable
  readonly demands: PeerDemands
  readonly shares: PeerShares
  /** The reports that it has read. */
  read: number
}

interface Report {
  readonly gateway: string
  readonly served: readonly number[]
  readonly waiting: readonly number[]
}

const ROUND_MS = 100
/** Between two words on running calls, as in `control/registry/shared.ts`. */
const RUNNING_MS = 400
const HURRIED_MS = 50
/** The store's time at the start. */
const EPOCH = 1_796_000_000_123

export class Gateways {
  readonly #engine: Engine
  readonly #random: Random
  readonly #delayMs: number
  readonly #gateways: readonly Gateway[]
  readonly #reports: Report[] = []
  readonly #running = new Map<string, readonly number[]>()

  /** `delayMs`: the longest way to the store, and back. */
  constructor(
    tables: readonly LoadTable[],
    engine: Engine,
    { seed, delayMs }: { seed: number; delayMs: number },
  ) {
    this.#engine = engine
    this.#random = createRandom(seed, 'gateways')
    this.#delayMs = delayMs
    this.#gateways = tables.map((table, i) => ({
      name: `gateway ${i}`,
      table,
      demands: new PeerDemands({ ...table, now: () => engine.now() }),
      shares: new PeerShares(table.shares),
      read: 0,
    }))
  }

  start(): void {
    for (const gateway of this.#gateways) {
      this.#engine.at(this.#random() * ROUND_MS, () => this.#tell(gateway))
      this.#engine.at(this.#random() * ROUND_MS, () => this.#tellRunning(gateway))
    }
  }

  /** One round to the store and back. */
  #exchange<T>(atStore: () => T, heard: (answer: T) => void): void {
    const way = () => this.#random() * this.#delayMs
    this.#engine.after(way(), () => {
      const answer = atStore()
      this.#engine.after(way(), () => heard(answer))
    })
  }

  #tell(gateway: Gateway): void {
    const { name, demands, shares } = gateway
    const waiting = demands.take() ?? []
    const report = { gateway: name, waiting, served: shares.take() }
    this.#exchange(
      () => {
        this.#reports.push(report)
        const news = this.#reports.slice(gateway.read)
        gateway.read = this.#reports.length
        return { news: news.filter((each) => each.gateway !== name), now: EPOCH + this.#engine.now() }
      },
      ({ news, now }) => {
        for (const each of news) {
          shares.hear(each.served)
          demands.hear(each.gateway, each.waiting)
        }
        demands.agree({ gateway: name, now })
      },
    )
    this.#engine.after(ROUND_MS, () => this.#tell(gateway))
  }

  #tellRunning(gateway: Gateway): void {
    const { name, table, demands } = gateway
    const own = Array.from({ length: table.slots }, (_, slot) => inflightOf(table, slot))
    this.#exchange(
      () => {
        this.#running.set(name, own)
        return [...this.#running].filter(([other]) => other !== name).map(([, calls]) => calls)
      },
      (others) => {
        for (let slot = 0; slot < table.slots; slot++)
          table.peers[slot] = others.reduce((sum, calls) => sum + (calls[slot] ?? 0), 0)
        this.#engine.after(demands.isDividing ? HURRIED_MS : RUNNING_MS, () => this.#tellRunning(gateway))
      },
    )
  }
}
