/**
 * Gathers the look-ups of one turn of the event loop into one round trip. Many calls arrive in one turn;
 * asked for one by one, a shared tier costs each of them about as much CPU as answering it from memory does.
 * One key is asked for with a callback: a promise a call, and one for each layer around it, would cost as much again.
 */
export interface LookupBatcherOptions<K, V> {
  /** The most keys of one round trip. */
  readonly max: number
  /** Gives the values in the keys' order. */
  readonly fetch: (keys: readonly K[]) => Promise<readonly V[]>
}

export interface LookupBatcher<K, V> {
  /** Rejects where a round trip that one of the keys was in fails. */
  many(keys: readonly K[]): Promise<V[]>
  /** Undefined where the round trip fails. `done` is never called before this has returned, and must not throw. */
  one(key: K, done: (value: V | undefined) => void): void
}

interface Turn<K, V> {
  /** Place of each key; equal keys share one. */
  readonly places: Map<K, number>
  /** Who waits for a round trip of this turn, and at the same index the place of what each waits for. */
  readonly takes: Take<V>[]
  readonly wanted: number[]
}

/** Undefined with the error where the round trip failed. */
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
