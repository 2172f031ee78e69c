/**
 * What process memory keeps, in simulation: backend time saved beside other policies in the same memory, where misses cost the
 * same and where they do not. The process memory is the gateway's own; the others are models.
 *
 *   node bench/sim/eviction.ts [--seed 1] [--keys 100000] [--requests 2000000] [--part 0.1] [--before FOLDER] [--markdown | --json]
 *
 * `--part`: the memory, as a part of what all keys would take. `--before`: another checkout, whose process memory it is compared with
 * in place of the models.
 */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { createMemory } from '../../src/data/cache/memory/memory.ts'
import { help } from '../lib/usage.ts'
import { play, scored } from './eviction/play.ts'
import { arena, greedyDual, lru, memoryFor, perfect, s3Fifo } from './eviction/rivals.ts'
import { EQUAL, SLOW, traceOf, UNEQUAL, type Workload } from './eviction/workloads.ts'

help(import.meta.filename)
const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    keys: { type: 'string', default: '100000' },
    requests: { type: 'string', default: '2000000' },
    part: { type: 'string', default: '0.1' },
    before: { type: 'string' },
    markdown: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [seed, keys, count, part] = (['seed', 'keys', 'requests', 'part'] as const).map((name) => {
  const value = Number(values[name])
  if (value > 0) return value
  console.error(`--${name} must be a number above 0, got ${values[name]}`)
  return process.exit(1)
}) as [number, number, number, number]

const rounded = (value: number) => Number(value.toFixed(3))

const earlier = values.before === undefined ? undefined : await memoryOf(values.before)

async function memoryOf(folder: string): Promise<typeof createMemory> {
  const file = resolve(folder, 'src/data/cache/memory/memory.ts')
  return ((await import(file)) as { createMemory: typeof createMemory }).createMemory
}

/** Beside the memory of the other checkout, which knows no costs. */
function beside(create: typeof createMemory, workload: Workload) {
  const trace = traceOf(workload, { keys, count, seed })
  const maxBytes = memoryFor(trace.bytes * part, keys * part)
  const before = play(workload, trace, arena(maxBytes, { create, isBlind: true }), count)
  const own = play(workload, trace, arena(maxBytes), count)
  return {
    workload: workload.name,
    'saved before %': rounded(100 * before.savedShare),
    'after, times that': rounded(own.savedShare / before.savedShare),
  }
}

function compared(workload: Workload) {
  const trace = traceOf(workload, { keys, count, seed })
  const maxBytes = memoryFor(trace.bytes * part, keys * part)
  const score = (policy: Parameters<typeof play>[2]) => play(workload, trace, policy, count)
  const before = score(s3Fifo(maxBytes))
  const own = score(arena(maxBytes))
  const times = (share: number) => rounded(share / before.savedShare)
  return {
    workload: workload.name,
    'hit ratio': rounded(own.hitRatio),
    'of S3-FIFO': rounded(before.hitRatio),
    'saved %': rounded(100 * own.savedShare),
    'of S3-FIFO %': rounded(100 * before.savedShare),
    'times S3-FIFO': times(own.savedShare),
    'told no costs': times(score(arena(maxBytes, { isBlind: true })).savedShare),
    LRU: times(score(lru(maxBytes)).savedShare),
    GDSF: times(score(greedyDual(maxBytes)).savedShare),
    'perfect, fixed': times(score(perfect(maxBytes, scored(trace, count))).savedShare),
  }
}

const rows = [...EQUAL, SLOW, ...UNEQUAL].map((workload) =>
  earlier ? beside(earlier, workload) : compared(workload),
)
if (values.json) console.log(JSON.stringify({ seed, keys, count, part, rows }, undefined, 2))
else if (values.markdown) console.log(markdown(rows))
else console.table(rows)

function markdown(rows: readonly object[]): string {
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`
  const names = Object.keys(rows[0] as object)
  return [line(names), line(names.map(() => '---')), ...rows.map((row) => line(Object.values(row)))].join(
    '\n',
  )
}
