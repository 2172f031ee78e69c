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

interface Turn<K, V> {
  /** Place of each key; equal keys share one. */
  readonly places: Map<K, number>
  /** Who waits for a round trip of this turn. */
  readonly waiting: Waiting<V>[]
}

interface Waiting<V> {
  readonly place: number
  /** Undefined with the error where the round trip failed. */
  readonly take: (value: V | undefined, error?: Error) => void
}

export function createGather<K, V>({ max, fetch }: GatherOptions<K, V>): Gather<K, V> {
  let turn: Turn<K, V> | undefined

  function wait(key: K, take: Waiting<V>['take']): void {
    if (!turn) {
      turn = { places: new Map(), waiting: [] }
      setImmediate(send)
    }
    const { places, waiting } = turn
    let place = places.get(key)
    if (place === undefined) {
      place = places.size
      places.set(key, place)
    }
    waiting.push({ place, take })
  }

  function send(): void {
    const { places, waiting } = turn as Turn<K, V>
    turn = undefined
    const keys = [...places.keys()]
    for (let from = 0; from < keys.length; from += max) {
      const to = Math.min(from + max, keys.length)
      const isAll = to - from === keys.length
      const own = isAll ? waiting : waiting.filter(({ place }) => place >= from && place < to)
      fetch(isAll ? keys : keys.slice(from, to)).then(
        (values) => {
          for (const { place, take } of own) take(values[place - from])
        },
        (error: unknown) => {
          const failure = error instanceof Error ? error : new Error(String(error))
          for (const { take } of own) take(undefined, failure)
        },
      )
    }
  }

  return {
    one: wait,
    many(keys) {
      return new Promise((resolve, reject) => {
        const values = new Array<V>(keys.length)
        let left = keys.length
        if (left === 0) return resolve(values)
        keys.forEach((key, i) =>
          wait(key, (value, error) => {
            if (error) return reject(error)
            values[i] = value as V
            if (--left === 0) resolve(values)
          }),
        )
      })
    },
  }
}
