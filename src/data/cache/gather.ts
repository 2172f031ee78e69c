/**
 * Gathers the look-ups of one turn of the event loop into one round trip. Many calls arrive in one turn;
 * asked for one by one, a shared tier costs each of them about as much CPU as answering it from memory does.
 */
export interface GatherOptions<K, V> {
  /** The most keys of one round trip. */
  readonly max: number
  /** Gives the values in the keys' order. */
  readonly fetch: (keys: readonly K[]) => Promise<readonly V[]>
}

interface Turn<K, V> {
  /** Place of each key; equal keys share one. */
  readonly places: Map<K, number>
  readonly chunks: Promise<Promise<readonly V[]>[]>
}

export function createGather<K, V>({
  max,
  fetch,
}: GatherOptions<K, V>): (keys: readonly K[]) => Promise<V[]> {
  let turn: Turn<K, V> | undefined

  function open(): Turn<K, V> {
    const places = new Map<K, number>()
    const chunks = new Promise<Promise<readonly V[]>[]>((resolve) => {
      setImmediate(() => {
        turn = undefined
        resolve(send([...places.keys()]))
      })
    })
    return { places, chunks }
  }

  function send(keys: readonly K[]): Promise<readonly V[]>[] {
    const sent: Promise<readonly V[]>[] = []
    for (let from = 0; from < keys.length; from += max) {
      const values = fetch(keys.slice(from, from + max))
      // Whoever asked awaits it too; a chunk may fail before they come to it.
      values.catch(() => {})
      sent.push(values)
    }
    return sent
  }

  return async function gather(keys) {
    if (keys.length === 0) return []
    turn ??= open()
    const { places, chunks } = turn
    const wanted = keys.map((key) => {
      const known = places.get(key)
      if (known !== undefined) return known
      places.set(key, places.size)
      return places.size - 1
    })
    const sent = await chunks
    const values: V[] = []
    for (const place of wanted) {
      const chunk = (await sent[Math.floor(place / max)]) as readonly V[]
      values.push(chunk[place % max] as V)
    }
    return values
  }
}
