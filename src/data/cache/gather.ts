/**
 * Gathers the look-ups of one turn of the event loop into one round trip. Many calls arrive in one turn;
 * asked for one by one, a shared tier costs each of them about as much CPU as answering it from memory does.
 * One key is asked for with a callback: a promise a call, and one for each layer around it, would cost as much again.
 */
export interface GatherOptions<K, V> {
  /** The most keys of one round trip. */
  readonly max: number
  /** Gives the values in the keys' order. */
  readonly fetch: (keys: readonly K[]) => Promise<readonly V[]>
}

export interface Gather<K, V> {
  /** Rejects where a round trip that one of the keys was in fails. */
  many(keys: readonly K[]): Promise<V[]>
  /** Undefined where the round trip fails. `done` is never called before this has returned, and must not throw. */
  one(key: K, done: (value: V | undefined) => void): void
}

interface Turn<K> {
  /** Place of each key; equal keys share one. */
  readonly places: Map<K, number>
  /** Who waits for a round trip of this turn. */
  readonly waiting: Waiting[]
}

interface Waiting {
  readonly place: number
  /** With all values of the trip that its place is in. */
  readonly settle: (trip: Trip, at: number) => void
}

type Trip = { readonly values: readonly unknown[] } | { readonly error: unknown }

export function createGather<K, V>({ max, fetch }: GatherOptions<K, V>): Gather<K, V> {
  let turn: Turn<K> | undefined

  function wait(key: K, settle: Waiting['settle']): void {
    turn ??= open()
    let place = turn.places.get(key)
    if (place === undefined) {
      place = turn.places.size
      turn.places.set(key, place)
    }
    turn.waiting.push({ place, settle })
  }

  function open(): Turn<K> {
    setImmediate(send)
    return { places: new Map(), waiting: [] }
  }

  function send(): void {
    const { places, waiting } = turn as Turn<K>
    turn = undefined
    const keys = [...places.keys()]
    for (let from = 0; from < keys.length; from += max) {
      const own = keys.length <= max ? waiting : waiting.filter(({ place }) => Math.floor(place / max) * max === from)
      const settle = (trip: Trip) => {
        for (const each of own) each.settle(trip, each.place - from)
      }
      fetch(keys.slice(from, from + max)).then(
        (values) => settle({ values }),
        (error: unknown) => settle({ error }),
      )
    }
  }

  return {
    one: (key, done) => wait(key, (trip, at) => done('values' in trip ? (trip.values[at] as V) : undefined)),
    many(keys) {
      return new Promise((resolve, reject) => {
        const values = new Array<V>(keys.length)
        let left = keys.length
        if (left === 0) return resolve(values)
        keys.forEach((key, i) =>
          wait(key, (trip, at) => {
            if ('error' in trip) return reject(trip.error instanceof Error ? trip.error : new Error(String(trip.error)))
            values[i] = trip.values[at] as V
            if (--left === 0) resolve(values)
          }),
        )
      })
    },
  }
}
