/**
 * Tenants at one pool in simulation: the production pool on virtual time.
 *
 *   node bench/sim/fair.ts [--seeds 8]
 */
import { parseArgs } from 'node:util'
import { help } from '../lib/usage.ts'
import { atGateways, critical, partsOf, quantileOf, silence, twoTenants, useOf } from './fair/scenarios.ts'

help(import.meta.filename)
const { values } = parseArgs({ options: { seeds: { type: 'string', default: '8' } } })
const count = Number(values.seeds)
if (!Number.isInteger(count) || count < 1) {
  console.error(`--seeds must be a whole number above 0, got ${values.seeds}`)
  process.exit(1)
}
const seeds = Array.from({ length: count }, (_, at) => at + 1)
const percent = (part = 0) => Math.round(1000 * part) / 10
const range = (all: readonly number[]) => `${Math.min(...all)} to ${Math.max(...all)}`

const shares = []
for (const { workers, apart } of [
  { workers: 1, apart: false },
  { workers: 2, apart: false },
  { workers: 2, apart: true },
  { workers: 4, apart: false },
]) {
  const worlds = []
  for (const seed of seeds) worlds.push(await twoTenants({ seed, workers, places: 16 }, apart))
  shares.push({
    workers,
    'each at a worker of its own': apart,
    'heavy, of the second second %': range(
      worlds.map((world) => percent(partsOf(world, 1_000, 2_000)['heavy'])),
    ),
    'places in use %': range(worlds.map((world) => percent(useOf(world, 16, [500, 3_500])))),
  })
}
console.log('\nweights 3 and 1, batches of 64 rows against single rows, 16 places')
console.table(shares)

const apart = []
for (const { heavy, places } of [
  { heavy: 1, places: 1 },
  { heavy: 3, places: 1 },
  { heavy: 1, places: 2 },
  { heavy: 3, places: 2 },
  { heavy: 3, places: 4 },
  { heavy: 3, places: 16 },
  { heavy: 'critical', places: 16 },
] as const) {
  const worlds = []
  for (const seed of seeds) worlds.push(await atGateways({ seed, places }, heavy))
  apart.push({
    heavy,
    places,
    'light, 8 s from the fifth on %': range(
      worlds.map((world) => percent(partsOf(world, 5_000, 13_000)['light'])),
    ),
    'places in use %': range(worlds.map((world) => percent(useOf(world, places, [5_000, 13_000])))),
  })
}
console.log('\neach tenant at a gateway of its own')
console.table(apart)

const silent = []
for (const seed of seeds) {
  const world = await silence({ seed, places: 16 })
  silent.push({
    seed,
    'places in use while one is silent %': percent(useOf(world, 16, [1_300, 2_000])),
    'heavy, once it is back %': percent(partsOf(world, 2_010, 3_000)['heavy']),
  })
}
console.log('\nweights 3 and 1, one silent for a second')
console.table(silent)

const latencies = []
for (const { workers, places, floor } of [
  { workers: 1, places: 32, floor: 0 },
  { workers: 2, places: 32, floor: 0 },
  { workers: 1, places: 4, floor: 0 },
  { workers: 1, places: 4, floor: 2 },
  { workers: 2, places: 4, floor: 2 },
]) {
  const [alone, flooded] = [[], []] as [
    Awaited<ReturnType<typeof critical>>[],
    Awaited<ReturnType<typeof critical>>[],
  ]
  for (const seed of seeds) {
    alone.push(await critical({ seed, workers, places }, false, floor))
    flooded.push(await critical({ seed, workers, places }, true, floor))
  }
  const [before, after] = [quantileOf(alone, 'critical', 0.99), quantileOf(flooded, 'critical', 0.99)]
  latencies.push({
    workers,
    places,
    floor,
    'p99 alone': before,
    'p99 in the flood': after,
    ratio: after / before,
  })
}
console.log(
  '\na critical tenant that needs a fifth of the pool, alone and in a flood of others; milliseconds',
)
console.table(latencies)
