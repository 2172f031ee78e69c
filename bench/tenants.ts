/**
 * What tenants get of a full pool, on real processes: a gateway with API keys, a backend with known places and service time.
 *
 *   node bench/tenants.ts [shares] [silence] [leftovers] [critical]     all of them, if none is named
 *
 *   --workers 1,2    workers of the gateway (default 1,2)
 *   --rounds N       of each (default 1)
 */
import { parseArgs } from 'node:util'
import { help } from './lib/usage.ts'
import { critical, leftovers, silence, twoTenants } from './tenants/scenarios.ts'

help(import.meta.filename)
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { workers: { type: 'string', default: '1,2' }, rounds: { type: 'string', default: '1' } },
})
const workers = values.workers.split(',').map(Number)
const rounds = Number(values.rounds)

type Told = Readonly<Record<string, string | number>>

const stories: Readonly<Record<string, (workers: number) => Promise<readonly Told[]>>> = {
  async shares(count) {
    return [
      { calls: '64 rows against 1', ...(await twoTenants(count, 64)) },
      { calls: '1 row against 1', ...(await twoTenants(count, 1)) },
    ]
  },
  silence: async (count) => [await silence(count)],
  leftovers: async (count) => [await leftovers(count)],
  async critical(count) {
    const told: Told[] = []
    for (const { places, floor } of [
      { places: 32, floor: 0 },
      { places: 4, floor: 0 },
      { places: 4, floor: 2 },
    ])
      told.push({ places, floor, ...(await critical({ workers: count, places, floor })) })
    return told
  },
}

const chosen = positionals.length === 0 ? Object.keys(stories) : positionals
const isKnown = chosen.every((name) => Object.hasOwn(stories, name))
if (!isKnown || !(rounds >= 1) || !workers.every((count) => count >= 1)) {
  console.error(`usage: node bench/tenants.ts [${Object.keys(stories).join('] [')}]; --help says more`)
  process.exit(1)
}
for (const name of chosen) {
  const rows: Told[] = []
  for (let round = 0; round < rounds; round++)
    for (const count of workers)
      rows.push(...((await stories[name]?.(count)) ?? []).map((row) => ({ workers: count, ...row })))
  console.log(`\n${name}; others: processors that other programs kept busy`)
  console.table(rows)
}
