/**
 * Snapshots of process memory: how long a million rows take to be written and loaded, of which how much is time of the calls'
 * thread, and what a look-up in the same thread waits meanwhile, beside the same look-ups with nothing else going on.
 *
 *   node bench/micro/snapshot.ts [ENTRIES] [BODY_BYTES] [--encrypt]
 */
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSnapshot } from '../../src/app/snapshot/read-snapshot.ts'
import { Restoring } from '../../src/app/snapshot/restoring.ts'
import { writeSnapshot } from '../../src/app/snapshot/write-snapshot.ts'
import type { Digest } from '../../src/core/key.ts'
import { encode } from '../../src/data/cache/entry.ts'
import { createMemory, type Memory } from '../../src/data/cache/memory/memory.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { createSeal } from '../../src/lib/seal.ts'
import { Slices } from '../../src/lib/slices.ts'

const [entries = 1_000_000, bodyBytes = 100] = process.argv
  .slice(2)
  .filter((arg) => !arg.startsWith('-'))
  .map(Number)
const isEncrypted = process.argv.includes('--encrypt')
const secrets = ['a secret of a benchmark, which is long enough']
const seal = isEncrypted ? createSeal({ secrets, purpose: 'bench', isEncrypted }) : undefined
const maxBytes = entries * (bodyBytes + 330)
const folder = mkdtempSync(join(tmpdir(), 'infergate-bench-'))
const file = join(folder, 'memory.snapshot')
const clock = systemClock
const key = (n: number): Digest => hash('sha256', `key ${n}`, 'latin1') as Digest

const memory = filled()
console.log(`${memory.entries} entries, ${(memory.bytes / 2 ** 20).toFixed(0)} MiB of memory`)
await report('nothing else', idle)
await report('written with 10 % of the thread', () => write(0.1))
await report('nothing else', idle)
await report('written at once, as on drain', () => write(1), false)
await report('loaded with 25 % of the thread', () => load(0.25))
await report('loaded at once', () => load(1), false)
rmSync(folder, { recursive: true })

function filled(): Memory {
  const made = createMemory({ maxBytes })
  const body = Buffer.alloc(bodyBytes, 'x')
  const now = clock.now()
  for (let n = 0; n < entries; n++) {
    const times = { createdAt: Date.now(), ttlMs: 3_600_000, swrMs: 0, sieMs: 0, costMs: 1 + (n % 50) }
    const digest = key(n)
    const entry = {
      digest,
      kind: 'row' as const,
      status: 200,
      headers: [],
      body,
      version: '1',
      negative: false,
      ...times,
    }
    made.set(digest, encode(entry, true), now + 3_600_000, entry)
  }
  return made
}

function idle(): Promise<string> {
  return new Promise((resolve) => setTimeout(resolve, 3_000, ''))
}

async function write(share: number): Promise<string> {
  const head = {
    id: 'bench',
    owner: 'bench',
    startedAt: 0,
    writtenAt: Date.now(),
    settings: '',
    epochs: [],
    deployments: [],
  }
  const slices = new Slices(clock, () => share)
  const commit = async (rename: () => Promise<void>) => rename().then(() => true)
  const options = {
    memory,
    file,
    head,
    seal,
    maxBytes: Number.MAX_SAFE_INTEGER,
    slices,
    clock,
    isLate: () => false,
    commit,
  }
  const written = await writeSnapshot(options)
  return `${written?.records} records, ${((written?.bytes ?? 0) / 2 ** 20).toFixed(0)} MiB`
}

async function load(share: number): Promise<string> {
  const found = await openSnapshot(file, { seal, maxValueBytes: 1 << 20 })
  if (!found || 'unfit' in found) throw new Error(found?.unfit ?? 'no file')
  const next = createMemory({ maxBytes })
  const cache = { mark: () => 0, passes: () => true }
  const restoring = new Restoring({ memory: next, cache, clock, writtenAt: found.head.writtenAt })
  await found.read(
    new Slices(clock, () => share),
    (record) => restoring.take(record),
    () => false,
  )
  await found.close()
  return JSON.stringify(restoring.counts)
}

/** What a look-up waits that is due each millisecond. */
async function report(what: string, work: () => Promise<string>, isProbed = true): Promise<void> {
  const waits: number[] = []
  let due = performance.now() + 1
  let timer: NodeJS.Timeout | undefined
  const probe = () => {
    memory.get(key(waits.length))
    waits.push(Math.max(0, performance.now() - due))
    due = performance.now() + 1
    timer = setTimeout(probe, 1)
  }
  if (isProbed) timer = setTimeout(probe, 1)
  const cpu = process.cpuUsage()
  const began = performance.now()
  const done = await work()
  const seconds = (performance.now() - began) / 1000
  const used = process.cpuUsage(cpu)
  clearTimeout(timer)
  waits.sort((a, b) => a - b)
  const at = (q: number) => (waits[Math.floor(waits.length * q)] ?? 0).toFixed(2)
  const probed = isProbed
    ? `, a look-up waits ${at(0.5)} ms at the median, ${at(0.99)} ms at p99, ${at(0.999)} at p99.9`
    : ''
  const cpuSeconds = ((used.user + used.system) / 1e6).toFixed(1)
  console.log(
    `${what}: ${seconds.toFixed(1)} s, ${cpuSeconds} s of processor${probed}${done === '' ? '' : `; ${done}`}`,
  )
}
