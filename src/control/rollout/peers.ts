/** What the gateways of a group have seen, told to each other through their store: each report counts once. */
import { addMeasures, type Measures, NO_MEASURES } from './measures.ts'
import type { RolloutStore } from './store.ts'

interface Report {
  readonly sequence: number
  readonly measures: Measures
}

const TTL_MS = 5_000

export class PeerMeasures {
  readonly #store: Pick<RolloutStore, 'publish'>
  readonly #instance: string
  readonly #heard = new Map<string, number>()
  #unsent = NO_MEASURES
  #sequence = 0

  constructor(store: Pick<RolloutStore, 'publish'>, instance: string) {
    this.#store = store
    this.#instance = instance
  }

  /** Tells what was seen here, and gives it with what the others have told since the last time. Rejects with the store's error; then it is told later. */
  async exchange(own: Measures): Promise<Measures> {
    this.#unsent = addMeasures(this.#unsent, own)
    const report: Report = { sequence: this.#sequence + 1, measures: this.#unsent }
    const all = await this.#store.publish(this.#instance, JSON.stringify(report), TTL_MS)
    this.#sequence++
    let sum = this.#unsent
    this.#unsent = NO_MEASURES
    const living = new Set(all.map(({ member }) => member))
    for (const member of this.#heard.keys()) if (!living.has(member)) this.#heard.delete(member)
    for (const { member, value } of all) {
      if (member === this.#instance) continue
      const { sequence, measures } = JSON.parse(value) as Report
      if (this.#heard.get(member) === sequence) continue
      this.#heard.set(member, sequence)
      sum = addMeasures(sum, measures)
    }
    return sum
  }
}
