/**
 * The process memory, of one thread and of several, against an LRU of Buffers: what a million entries cost, how long
 * get and set take, and what is left of a hot thousand after a scan. Each subject runs in a process of its own. At the
 * end two threads read the shared one at the same time, as fast as they can, which no gateway does.
 *
 *   node --expose-gc bench/micro/arena.ts [ENTRIES] [VALUE_BYTES]
 */
import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import type { Digest } from '../../src/core/key.ts'
import {
  allocateMemory,
  createMemory,
  type Memory,
  type SharedMemory,
} from '../../src/data/cache/memory/memory.ts'

interface Subject {
  get(digest: Digest): Uint8Array | undefined
  set(digest: Digest, value: Uint8Array): void
  readonly entries: number
}

const entries = Number(process.argv[2] ?? 1_000_000)
const valueBytes = Number(process.argv[3] ?? 300)
const subject = process.argv[4]
// Enough for all entries with 80 bytes of bookkeeping each.
const maxBytes = entries * (valueBytes + 80)

const subjects: Record<string, (bytes: number) => Subject> = {
  arena: (bytes) => over(createMemory({ maxBytes: bytes })),
  'shared arena': (bytes) => over(createMemory({ shared: allocateMemory(bytes, 2), worker: 0 })),
  'lru-cache'(bytes) {
    const lru = new LRUCache<Digest, Buffer>({
      maxSize: bytes,
      sizeCalculation: (value) => value.length + 80,
    })
    return {
      get: (digest) => lru.get(digest),
      set: (digest, value) => void lru.set(digest, Buffer.from(value)),
      get entries() {
        return lru.size
      },
    }
  },
}

function over(memory: Memory): Subject {
  return {
    get: (digest) => memory.get(digest),
    set: (digest, value) => void memory.set(digest, value, Number.MAX_VALUE),
    get entries() {
      return memory.entries
    },
  }
}

const key = (name: string, n: number): Digest => hash('sha256', `${name} ${n}`, 'latin1') as Digest

function collect(): void {
  for (let i = 0; i < 4; i++) globalThis.gc?.()
}

function nsEach(count: number, run: (n: number) => void): number {
  const start = process.hrtime.bigint()
  for (let n = 0; n < count; n++) run(n)
  return Number(process.hrtime.bigint() - start) / count
}

/** The keys are made before the clock starts, a hundred thousand at a time, so that hashing is not measured. */
function chunked(name: string, measure: (digests: Digest[]) => number): number {
  const step = Math.min(entries, 100_000)
  const times: number[] = []
  for (let from = 0; from < entries; from += step) {
    times.push(measure(Array.from({ length: step }, (_, n) => key(name, from + n))))
  }
  return times.sort((a, b) => a - b)[times.length >> 1] as number
}

function measure(name: string): Record<string, number | string> {
  const value = Buffer.alloc(valueBytes, 0x61)
  const make = subjects[name] as (bytes: number) => Subject
  const warm = make(8 * 1024 * 1024)
  for (let n = 0; n < 50_000; n++) warm.set(key('warm', n), value)
  // As many keys as later, looked up and not kept, so that their garbage is in the heap before its growth is measured.
  chunked('warm', (digests) => nsEach(digests.length, (n) => warm.get(digests[n] as Digest)))
  collect()
  const before = process.memoryUsage().rss

  const cache = make(maxBytes)
  const setNs = chunked('k', (digests) =>
    nsEach(digests.length, (n) => cache.set(digests[n] as Digest, value)),
  )
  collect()
  const grown = process.memoryUsage().rss - before
  const held = cache.entries
  const getNs = chunked('k', (digests) => nsEach(digests.length, (n) => cache.get(digests[n] as Digest)))
  const missNs = chunked('absent', (digests) =>
    nsEach(digests.length, (n) => cache.get(digests[n] as Digest)),
  )

  const hot = Array.from({ length: 1_000 }, (_, n) => key('hot', n))
  for (const digest of hot) cache.set(digest, value)
  for (const digest of hot) cache.get(digest)
  const evictNs = chunked('scan', (digests) =>
    nsEach(digests.length, (n) => cache.set(digests[n] as Digest, value)),
  )
  const left = hot.filter((digest) => cache.get(digest)).length
  return {
    subject: name,
    held,
    'RSS MiB': Math.round(grown / 2 ** 20),
    'RSS / maxBytes': Number((grown / maxBytes).toFixed(2)),
    'overhead B/entry': Math.round(grown / held - valueBytes),
    'set ns': Math.round(setNs),
    'set+evict ns': Math.round(evictNs),
    'get ns': Math.round(getNs),
    'miss ns': Math.round(missNs),
    'hot left of 1000': left,
  }
}

/** Nanoseconds a `get` takes one of `threads` threads that do nothing else. */
async function contended(threads: number): Promise<number> {
  const shared = allocateMemory(64 * 2 ** 20, 2)
  const memory = createMemory({ shared, worker: 0 })
  for (let n = 0; n < 10_000; n++) memory.set(key('k', n), Buffer.alloc(valueBytes), Number.MAX_VALUE)
  const times = await Promise.all(
    Array.from({ length: threads }, (_, worker) => {
      const thread = new Worker(new URL(import.meta.url), { workerData: { shared, worker } })
      return new Promise<number>((resolve, reject) => thread.once('message', resolve).once('error', reject))
    }),
  )
  return Math.round(times.reduce((a, b) => a + b) / threads)
}

function reader({ shared, worker }: { shared: SharedMemory; worker: number }): void {
  const memory = createMemory({ shared, worker })
  const digests = Array.from({ length: 10_000 }, (_, n) => key('k', n))
  const rounds = () => nsEach(2_000_000, (n) => memory.get(digests[n % 10_000] as Digest))
  rounds()
  parentPort?.postMessage(rounds())
}

if (!isMainThread) reader(workerData)
else if (subject) {
  process.stdout.write(JSON.stringify(measure(subject)))
} else {
  const rows = Object.keys(subjects).map((name) => {
    const args = ['--expose-gc', import.meta.filename, `${entries}`, `${valueBytes}`, name]
    const child = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 2 ** 20 })
    if (child.status !== 0) throw new Error(child.stderr)
    return JSON.parse(child.stdout)
  })
  console.log(`${entries} entries of ${valueBytes} B, maxBytes ${maxBytes}, Node ${process.version}`)
  console.table(rows)
  console.log(
    `get ns of the shared arena: ${await contended(1)} alone, ${await contended(2)} beside another thread`,
  )
}
