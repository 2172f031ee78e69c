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
  readonly indexes: Map<K, number>
  /** The listeners of this turn, and for each the index of its key. */
  readonly listeners: LookupListener<V>[]
  readonly wanted: number[]
}

/** Gets the value; or undefined and the error where the round trip failed. */
type LookupListener<V> = (value: V | undefined, error?: Error) => void

export function createLookupBatcher<K, V>({ max, fetch }: LookupBatcherOptions<K, V>): LookupBatcher<K, V> {
  let turn: Turn<K, V> | undefined

  function wait(key: K, listener: LookupListener<V>): void {
    if (!turn) {
      turn = { indexes: new Map(), listeners: [], wanted: [] }
      setImmediate(send)
    }
    const { indexes, listeners, wanted } = turn
    let index = indexes.get(key)
    if (index === undefined) {
      index = indexes.size
      indexes.set(key, index)
    }
    listeners.push(listener)
    wanted.push(index)
  }

  function send(): void {
    const { indexes, listeners, wanted } = turn as Turn<K, V>
    turn = undefined
    const keys = [...indexes.keys()]
    for (let from = 0; from < keys.length; from += max) {
      const to = Math.min(from + max, keys.length)
      const each = (run: (listener: LookupListener<V>, index: number) => void) => {
        listeners.forEach((listener, i) => {
          const index = wanted[i] as number
          if (index >= from && index < to) run(listener, index - from)
        })
      }
      fetch(to - from === keys.length ? keys : keys.slice(from, to)).then(
        (values) => each((listener, index) => listener(values[index])),
        (error: unknown) => {
          const failure = error instanceof Error ? error : new Error(String(error))
          each((listener) => listener(undefined, failure))
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
