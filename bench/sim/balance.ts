/**
 * The balancer in simulation: the production modules on virtual time, minutes of load in seconds, and the same numbers
 * from the same seed.
 *
 *   node bench/sim/balance.ts [--seed 1] [--json]
 */
import { parseArgs } from 'node:util'
import { help } from '../lib/usage.ts'
import {
  allButOneBack,
  everythingSick,
  hedging,
  heterogeneous,
  type Row,
  replay,
  retryStorm,
  sinkhole,
  slowBackend,
} from './balance/experiments.ts'

help(import.meta.filename)
const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, json: { type: 'boolean', default: false } },
})
const seed = Number(values.seed)
if (!Number.isInteger(seed)) {
  console.error(`--seed must be a whole number, got ${values.seed}`)
  process.exit(1)
}

const experiments: readonly (() => readonly Row[])[] = [
  () => replay(seed),
  () => replay(seed, { servers: 3 }),
  () => heterogeneous(seed),
  () => slowBackend(seed),
  () => sinkhole(seed),
  () => everythingSick(seed, 0.6, 400),
  () => everythingSick(seed, 1, 200),
  () => everythingSick(seed, 1, 1_000),
  () => retryStorm(seed),
  () => hedging(seed),
  () => allButOneBack(seed, 1),
  () => allButOneBack(seed, 200),
]

const started = performance.now()
const results = experiments.map((experiment) => experiment())
if (values.json)
  console.log(JSON.stringify({ seed, arrivals: 'poisson', rows: results.flat() }, undefined, 2))
else {
  for (const rows of results) {
    console.log(`\n${rows[0]?.['experiment'] ?? ''}`)
    console.table(
      rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => name !== 'experiment'))),
    )
  }
  console.log(`seed ${seed}, Poisson arrivals, ${((performance.now() - started) / 1000).toFixed(1)} s`)
}
