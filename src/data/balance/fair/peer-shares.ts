/**
 * What tenants were served of each pool at other gateways, as what they were served here: their tags grow by it. So a tenant
 * whose calls come to several gateways has no more than its part of them all. It is told ten times a second, with the limits.
 */
import { firstPlace, type ShareTable, WAYS } from './share-table.ts'

/** Most accounts in one report; what is left over is in the next. */
const MAX_ACCOUNTS = 2_000

export class PeerShares {
  readonly #table: ShareTable
  #cursor = 0

  constructor(table: ShareTable) {
    this.#table = table
  }

  /** What was served here since the last call: threes of the two lanes of an account and how much its tag has grown. */
  take(): readonly number[] {
    const { owner, unreported } = this.#table
    const served: number[] = []
    let looked = 0
    for (; looked < unreported.length && served.length < 3 * MAX_ACCOUNTS; looked++) {
      const account = (this.#cursor + looked) % unreported.length
      const much = unreported[account] ?? 0
      if (much === 0) continue
      // What a worker adds in this instant is lost: one call of thousands, as with the tags.
      unreported[account] = 0
      served.push(owner[2 * account] ?? 0, owner[2 * account + 1] ?? 0, much)
    }
    this.#cursor = (this.#cursor + looked) % unreported.length
    return served
  }

  /** Takes over what another gateway has served. Of a tenant that nobody here knows it says nothing. */
  hear(served: readonly number[]): void {
    const { tag, virtual, timeline } = this.#table
    for (let i = 0; i + 2 < served.length; i += 3) {
      const account = this.#find(served[i] ?? 0, served[i + 1] ?? 0)
      if (account < 0) continue
      const from = Math.max(tag[account] ?? 0, virtual[timeline[account] ?? 0] ?? 0)
      tag[account] = from + (served[i + 2] ?? 0)
    }
  }

  /** Forgets what was not told: there was nobody to hear it. */
  forget(): void {
    this.#table.unreported.fill(0)
  }

  #find(low: number, high: number): number {
    const { owner, timeline } = this.#table
    const first = firstPlace(low, timeline.length)
    for (let account = first; account < first + WAYS; account++)
      if (owner[2 * account] === low && owner[2 * account + 1] === high) return account
    return -1
  }
}
