import { describe, expect, it } from 'vitest'
import { createLookupBatcher } from '../../../../../src/data/cache/tiers/lookup-batcher.ts'

function recorded(max: number, fail: (keys: readonly string[]) => boolean = () => false) {
  const trips: string[][] = []
  const gather = createLookupBatcher<string, string>({
    max,
    async fetch(keys) {
      trips.push([...keys])
      if (fail(keys)) throw new Error(`cannot fetch ${keys.join()}`)
      return keys.map((key) => key.toUpperCase())
    },
  })
  return { trips, gather }
}

describe('gathering by turn', () => {
  it('makes one trip of the look-ups of one turn, with each key once', async () => {
    const { trips, gather } = recorded(512)
    const values = await Promise.all([gather.many(['a', 'b']), gather.many(['b', 'c', 'b']), gather.many([])])
    expect(values).toEqual([['A', 'B'], ['B', 'C', 'B'], []])
    expect(trips).toEqual([['a', 'b', 'c']])
    await gather.many(['a'])
    expect(trips.length).toBe(2)
  })

  it('splits at the maximum, and a failed part fails only those who wanted it', async () => {
    const { trips, gather } = recorded(2, (keys) => keys.includes('c'))
    const [first, second, third] = await Promise.allSettled([
      gather.many(['a', 'b']),
      gather.many(['b', 'c']),
      gather.many(['e']),
    ])
    expect(trips).toEqual([
      ['a', 'b'],
      ['c', 'e'],
    ])
    expect([first?.status, second?.status, third?.status]).toEqual(['fulfilled', 'rejected', 'rejected'])
  })

  it('gives one key back by a callback, never at once, in the trip of the others; undefined where it fails', async () => {
    const { trips, gather } = recorded(2, (keys) => keys.includes('c'))
    const told: string[] = []
    const one = (key: string) =>
      new Promise<void>((resolve) => {
        gather.one(key, (value) => {
          told.push(`${key}=${value}`)
          resolve()
        })
      })
    const all = [one('a'), one('b'), gather.many(['a', 'b']), one('c'), one('a')]
    expect(told).toEqual([])
    await Promise.all(all)
    expect(told).toEqual(['a=A', 'b=B', 'a=A', 'c=undefined'])
    expect(trips).toEqual([['a', 'b'], ['c']])
  })
})
