/**
 * Where in shared memory an account is: a set-associative table, which is bounded. An account that is not there yet gets the
 * place of the one that is owed least, so that what is forgotten matters least.
 */
import { digestOf } from '../../core/key.ts'
import { lane32, lift32 } from '../../lib/hash64.ts'

/** What is counted of whom, as two lanes of a hash that all gateways agree on. */
export interface Account {
  readonly high: number
  readonly low: number
}

/** The account of a name that callers may have chosen: none can be found that has the account of another. */
export function accountOf(name: string): Account {
  const digest = digestOf(name)
  // Zero stands for nobody.
  return { high: lift32(digest, 0) | 1, low: lift32(digest, 4) }
}

/** The same for names that nobody chooses, such as addresses: faster, since it is asked at every call. */
export function quickAccountOf(name: string): Account {
  return { high: lane32(name, SEED_HIGH) | 1, low: lane32(name, SEED_LOW) }
}

const SEED_HIGH = 0x6a09e667
const SEED_LOW = 0x3c6ef372

/** The places that an account may have; one lookup reads them all. */
const WAYS = 8

export const PLACES = 32_768

export interface PlaceContent {
  /** How much would be forgotten with the account in this place. */
  debt(place: number): number
  /** The place belongs to another account from now on. */
  clear(place: number): void
}

export class AccountPlaces {
  /** Two words a place; 0, 0: nobody's. */
  readonly #owners: Int32Array
  readonly #content: PlaceContent

  constructor(owners: Int32Array, content: PlaceContent) {
    this.#owners = owners
    this.#content = content
  }

  /** The place of the account, which is made for it if there is none. The caller has the lock. */
  of({ high, low }: Account): number {
    const owners = this.#owners
    const first = ((low >>> 0) % (owners.length / 2 / WAYS)) * WAYS
    for (let place = first; place < first + WAYS; place++)
      if (owners[place * 2] === high && owners[place * 2 + 1] === low) return place
    const place = this.#cheapest(first)
    owners[place * 2] = high
    owners[place * 2 + 1] = low
    this.#content.clear(place)
    return place
  }

  /** Whose place it is; undefined: nobody's. */
  owner(place: number): Account | undefined {
    const high = this.#owners[place * 2] ?? 0
    return high === 0 ? undefined : { high, low: this.#owners[place * 2 + 1] ?? 0 }
  }

  #cheapest(first: number): number {
    let [best, least] = [first, Infinity]
    for (let place = first; place < first + WAYS; place++) {
      if (this.#owners[place * 2] === 0) return place
      const debt = this.#content.debt(place)
      if (debt < least) [best, least] = [place, debt]
    }
    return best
  }
}
