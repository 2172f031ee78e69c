/**
 * Where calls with shared prompts go, in simulation: the policy `prefix` beside `peak-ewma` and beside the policy `cache_aware` of
 * vllm-router.
 *
 *   node bench/sim/prefix.ts [--seed 1] [--json]
 */
import { parseArgs } from 'node:util'
import { help } from '../lib/usage.ts'
import { cacheAware, ours, type PrefixResult, runArm, WORLD } from './prefix/run.ts'

help(import.meta.filename)
const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, json: { type: 'boolean', default: false } },
})
const seed = Number(values.seed)
if (!Number.isInteger(seed)) {
  console.error(`--seed must be a whole number, got ${values.seed}`)
  process.exit(1)
}

const ARMS = [
  ['prefix', ours('prefix', seed)],
  ['prefix, 4 workers', ours('prefix', seed, { workers: 4 })],
  ['prefix, 4 workers, each for itself', ours('prefix', seed, { workers: 4, isShared: false })],
  ['cache_aware', cacheAware],
  ['peak-ewma', ours('peak-ewma', seed)],
] as const

const rounded = ({ arm, hitShare, imbalance, ttftP50Ms, ttftP99Ms }: PrefixResult) => ({
  arm,
  'hits %': Number((100 * hitShare).toFixed(1)),
  'busiest over mean %': Number((100 * imbalance).toFixed(1)),
  'TTFT p50 ms': Math.round(ttftP50Ms),
  'TTFT p99 ms': Math.round(ttftP99Ms),
})

const results = [30, 75, 125].map((perSecond) => {
  const world = { ...WORLD, seed, perSecond }
  return { perSecond, rows: ARMS.map(([name, open]) => rounded(runArm(name, open, world))) }
})
if (values.json) console.log(JSON.stringify({ seed, results }, undefined, 2))
else
  for (const { perSecond, rows } of results) {
    console.log(`\n${perSecond} calls a second, seed ${seed}`)
    console.table(rows)
  }
