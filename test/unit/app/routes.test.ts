// The routes that the settings give.
import { expect, it } from 'vitest'
import { withWeights } from '../../../src/app/route-weights.ts'
import { routesOf } from '../../../src/app/routes.ts'
import { parseSettings } from '../../../src/config/load.ts'
import { digestOf } from '../../../src/core/key.ts'

const YAML = `
pools: { zz: {}, "1": {} }
routes:
  - name: main
    split: [ { pool: zz, weight: 100 }, { pool: "1", weight: 0 } ]
`

it('a split goes to the pool that the weights choose, be its name a whole number', () => {
  const parsed = parseSettings(YAML, 'gate.yaml', {})
  if ('problems' in parsed) throw new Error(JSON.stringify(parsed.problems))
  const { settings } = parsed
  const poolOf = (split: ReturnType<typeof splitOf>) =>
    split.routes[split.weights.choose(digestOf('x')).at]?.pool
  const live = splitOf(settings)
  expect(poolOf(live)).toBe('zz')
  const change = { route: 'main', weights: { zz: 0, '1': 5 } }
  live.weights.change(change.weights)
  expect(poolOf(live)).toBe('1')
  // As a worker starts that comes later.
  expect(poolOf(splitOf(withWeights(settings, change)))).toBe('1')
})

function splitOf(settings: Parameters<typeof routesOf>[0]) {
  const split = routesOf(settings)[0]?.split
  if (!split) throw new Error('no split')
  return split
}
