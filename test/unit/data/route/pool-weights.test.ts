import { describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../src/core/key.ts'
import { PoolWeights, type Weights } from '../../../../src/data/route/pool-weights.ts'

const POINTS: readonly Digest[] = Array.from({ length: 100_000 }, (_, i) => digestOf(`input ${i}`))

const picks = (weights: PoolWeights) =>
  POINTS.map((point) => weights.pools[weights.choose(point).at] as string)

const shareOf = (picked: readonly string[], pool: string) =>
  picked.filter((one) => one === pool).length / picked.length

describe('a split by weight', () => {
  it('gives each pool its share of 100,000 inputs, within 0.3 percentage points', () => {
    expect(Math.abs(shareOf(picks(new PoolWeights({ v1: 95, v2: 5 }, 'input')), 'v2') - 0.05)).toBeLessThan(
      0.003,
    )
    const three = picks(new PoolWeights({ a: 1, b: 2, c: 7 }, 'input'))
    for (const [pool, share] of [
      ['a', 0.1],
      ['b', 0.2],
      ['c', 0.7],
    ] as const)
      expect(Math.abs(shareOf(three, pool) - share)).toBeLessThan(0.005)
  })

  it('moves from 95:5 to 90:10 only the inputs that must move', () => {
    const weights = new PoolWeights({ v1: 95, v2: 5 }, 'input')
    const before = picks(weights)
    weights.change({ v1: 90, v2: 10 })
    const after = picks(weights)
    const moved = before.filter((pool, i) => pool !== after[i]).length / before.length
    expect(before.filter((pool, i) => pool === 'v2' && after[i] === 'v1')).toEqual([])
    expect(Math.abs(moved - 0.05)).toBeLessThan(0.003)
  })

  it('takes from every other pool alike, and moves nothing between them, when one grows', () => {
    const weights = new PoolWeights({ a: 50, b: 30, c: 20 }, 'input')
    const before = picks(weights)
    weights.change({ c: 40 })
    const after = picks(weights)
    expect(before.filter((pool, i) => pool !== after[i] && after[i] !== 'c')).toEqual([])
  })

  it('picks alike in every process: by point and names, whatever their order and the scale', () => {
    const one = picks(new PoolWeights({ v1: 95, v2: 5 }, 'input'))
    expect(picks(new PoolWeights({ v2: 0.5, v1: 9.5 }, 'input'))).toEqual(one)
    // Written down: another release must not move inputs.
    expect(one.slice(0, 100).flatMap((pool, i) => (pool === 'v2' ? [i] : []))).toEqual(V2_OF_100)
  })

  it.each<[string, Weights, string]>([
    ['the second', { v1: 0, v2: 3 }, 'v2'],
    ['the first', { v1: 0.001, v2: 0 }, 'v1'],
    ['one whose score underflows', { v1: 0, v2: 5e-324 }, 'v2'],
  ])('gives all to %s where the other has no weight', (_, weights, pool) => {
    expect(new Set(picks(new PoolWeights(weights, 'input')))).toEqual(new Set([pool]))
  })

  it('draws by weight where nothing binds a call', () => {
    const weights = new PoolWeights({ v1: 3, v2: 1 }, 'none')
    let seed = 1
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647
    const drawn = Array.from({ length: 20_000 }, () => weights.draw(random))
    expect(Math.abs(drawn.filter((at) => at === 1).length / drawn.length - 0.25)).toBeLessThan(0.015)
  })

  it('holds a choice for as long as the point stays with its pool', () => {
    const weights = new PoolWeights({ v1: 95, v2: 5 }, 'input')
    const choices = POINTS.slice(0, 2000).map((point) => weights.choose(point))
    const before = choices.map(({ at }) => at)
    weights.change({ v1: 50, v2: 50 })
    for (const [i, choice] of choices.entries())
      expect(weights.holds(choice)).toBe(weights.choose(choice.point).at === before[i])
    weights.change({ v1: 95, v2: 5 })
    expect(choices.every((choice) => weights.holds(choice))).toBe(true)
  })
})

const V2_OF_100: readonly number[] = [38, 47, 73, 87]
