import { expect, it } from 'vitest'
import { RouteWeights, type WeightChange, withWeights } from '../../../src/app/route-weights.ts'
import { parseSettings } from '../../../src/config/load.ts'
import type { Settings } from '../../../src/config/schema.ts'

function settingsOf(weights: readonly [v1: number, v2: number], ttl = '10m'): Settings {
  const yaml = `
pools: { v1: {}, v2: {} }
routes:
  - name: ranker
    split: [ { pool: v1, weight: ${weights[0]} }, { pool: v2, weight: ${weights[1]} } ]
    cache: { ttl: ${ttl} }
  - { name: plain, pool: v1 }
`
  const parsed = parseSettings(yaml, 'gate.yaml', {})
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  return parsed.settings
}

function weightsOf({ routes }: Settings) {
  return routes[0]?.split?.map(({ weight }) => weight)
}

function started(settings: Settings) {
  const told: WeightChange[] = []
  const weights = new RouteWeights({
    settings,
    metrics: { gauge: () => {} },
    data: { weigh: (change) => void told.push(change) },
  })
  return { weights, told }
}

it('keeps the weights of pools that are not named, and tells the workers all of them', () => {
  const { weights, told } = started(settingsOf([95, 5]))
  weights.change('ranker', { v2: 10 })
  expect(told).toEqual([{ route: 'ranker', weights: { v1: 95, v2: 10 } }])
  expect(weights.list()).toEqual([
    {
      route: 'ranker',
      sticky: 'input',
      pools: [
        { pool: 'v1', weight: 95, configured: 95 },
        { pool: 'v2', weight: 10, configured: 5 },
      ],
    },
    { route: 'plain', pools: [{ pool: 'v1' }] },
  ])
})

it('holds over reloads that say the same of the route, and over none that says something else', () => {
  const { weights } = started(settingsOf([95, 5]))
  weights.change('ranker', { v1: 0, v2: 1 })
  expect(weightsOf(weights.follow(settingsOf([95, 5], '20m')))).toEqual([0, 1])
  expect(weightsOf(weights.follow(settingsOf([50, 50])))).toEqual([50, 50])
  // What was changed before does not come back.
  expect(weightsOf(weights.follow(settingsOf([95, 5])))).toEqual([95, 5])
})

it.each([
  ['ranker', { v1: 0, v2: 0 }, 'one weight at least'],
  ['ranker', { v2: 5e-324 }, 'the weight of "v2" must be 0, or at least 0.000001'],
  ['ranker', { v3: 1 }, 'has no pool "v3"; it has v1, v2'],
  ['plain', { v1: 1 }, 'give it a split'],
])('refuses for %s %j', (route, given, why) => {
  const { weights, told } = started(settingsOf([95, 5]))
  expect(() => weights.change(route, given)).toThrow(why)
  expect(told).toEqual([])
})

it('knows no other routes', () => {
  expect(started(settingsOf([95, 5])).weights.change('other', { v1: 1 })).toBe(undefined)
})

it('leaves settings without the route, or without its split, as they are', () => {
  const settings = settingsOf([95, 5])
  expect(withWeights(settings, { route: 'other', weights: { v1: 1 } })).toEqual(settings)
  expect(withWeights(settings, { route: 'plain', weights: { v1: 1 } })).toEqual(settings)
})
