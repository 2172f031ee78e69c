/**
 * Batches the lookups of one turn of the event loop into one round trip. Many calls arrive in one turn; if each asked a
 * shared tier alone, that would cost it about as much CPU as answering from memory. A single key takes a callback: a
 * promise a call, and one for each layer around it, would cost as much again.
 */
export interface LookupBatcherOptions<K, V> {
  /** The most keys of one round trip. */
  readonly max: number
  /** Returns the values in the keys' order. */
  readonly fetch: (keys: readonly K[]) => Promise<readonly V[]>
}

export interface LookupBatcher<K, V> {
  /** Rejects where a round trip with one of the keys fails. */
  many(keys: readonly K[]): Promise<V[]>
  /** Undefined where the round trip fails. `done` is never called before `one` has returned, and must not throw. */
  one(key: K, done: (value: V | undefined) => void): void
}

interface Turn<K, V> {
  /** The index of each key; equal keys share one. */
  readonly places: Map<K, number>
  /** The callbacks of this turn, and for each the index of its key. */
  readonly takes: Take<V>[]
  readonly wanted: number[]
}

/** Gets the value; or undefined and the error where the round trip failed. */
type Take<V> = (value: V | undefined, error?: Error) => void

export function createGather<K, V>({ max, fetch }: LookupBatcherOptions<K, V>): LookupBatcher<K, V> {
  let turn: Turn<K, V> | undefined

  function wait(key: K, take: Take<V>): void {
    if (!turn) {
      turn = { places: new Map(), takes: [], wanted: [] }
      setImmediate(send)
    }
    const { places, takes, wanted } = turn
    let place = places.get(key)
    if (place === undefined) {
      place = places.size
      places.set(key, place)
    }
    takes.push(take)
    wanted.push(place)
  }

  function send(): void {
    const { places, takes, wanted } = turn as Turn<K, V>
    turn = undefined
    const keys = [...places.keys()]
    for (let from = 0; from < keys.length; from += max) {
      const to = Math.min(from + max, keys.length)
      const each = (run: (take: Take<V>, place: number) => void) => {
        takes.forEach((take, i) => {
          const place = wanted[i] as number
          if (place >= from && place < to) run(take, place - from)
        })
      }
      fetch(to - from === keys.length ? keys : keys.slice(from, to)).then(
        (values) => each((take, place) => take(values[place])),
        (error: unknown) => {
          const failure = error instanceof Error ? error : new Error(String(error))
          each((take) => take(undefined, failure))
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
