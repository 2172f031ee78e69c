/**
 * What a look-up in Redis costs beside the client's own MGET: `node bench/micro/lookups.ts`. The same keys, as many a turn, one
 * turn after the other; processor time of this process a key, medians of interleaved rounds. The gateway's side has the
 * gathering, deadline and breaker of a tier in it, and each envelope checked and read; the other side has the bytes.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { encode } from '../../src/data/cache/entry.ts'
import { createTiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { freePort, LOAD_CORE, listening, start } from '../lib/process.ts'
import { median } from '../lib/stats.ts'

const ROUNDS = 9
const ROUND_MS = 700
const KEYS = 1000
const BODY_BYTES = 300

const folder = mkdtempSync(join(tmpdir(), 'infergate-lookups-'))
const port = await freePort()
const server = start({
  core: LOAD_CORE,
  command: 'redis-server',
  args: ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'],
})
await listening(port, server)
const url = `redis://127.0.0.1:${port}`
const client = new Redis(url)
const tier = createRedisTier({ name: 'redis', url, readTimeout: 1000 })
const cache = createTiered({ tiers: [guardTier(tier, { readTimeout: 1000 })] })

const digests = Array.from({ length: KEYS }, (_, i) => digestOf(`key ${i}`))
const names = digests.map((digest) => `ig1:{${Buffer.from(digest, 'latin1').toString('base64url')}}`)
for (const [i, digest] of digests.entries()) await client.set(names[i] as string, entryOf(digest))
while (!tier.connected) await new Promise(setImmediate)

console.log(`Node ${process.version}, ${ROUNDS} rounds of ${ROUND_MS} ms a side, bodies of ${BODY_BYTES} B`)
for (const perTurn of [1, 16, 64]) {
  const sides = { raw: [] as number[], ours: [] as number[] }
  for (let round = -1; round < ROUNDS; round++) {
    const raw = await microsOf((from) => client.mgetBuffer(keysOf(names, from, perTurn)), perTurn)
    const ours = await microsOf((from) => sought(keysOf(digests, from, perTurn)), perTurn)
    if (round < 0) continue
    sides.raw.push(raw)
    sides.ours.push(ours)
  }
  const [raw, ours] = [median(sides.raw), median(sides.ours)]
  const times = (ours / raw).toFixed(2)
  console.log(
    `${`${perTurn}`.padStart(3)} keys a turn: MGET ${raw.toFixed(2)} µs a key, look-up ${ours.toFixed(2)} µs: ${times} times`,
  )
}
client.disconnect()
await cache.close()
await server.stop()
rmSync(folder, { recursive: true })

function keysOf<T>(all: readonly T[], from: number, count: number): T[] {
  return Array.from({ length: count }, (_, i) => all[(from + i) % KEYS] as T)
}

function sought(wanted: readonly Digest[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = wanted.length
    for (const digest of wanted)
      cache.lookupOne(digest, (found) => {
        if (!found) reject(new Error('a key that was stored is not found'))
        if (--left === 0) resolve()
      })
  })
}

async function microsOf(turn: (from: number) => Promise<unknown>, perTurn: number): Promise<number> {
  const until = performance.now() + ROUND_MS
  const before = process.cpuUsage()
  let keys = 0
  while (performance.now() < until) {
    await turn(keys % KEYS)
    keys += perTurn
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / keys
}

function entryOf(digest: Digest): Buffer {
  const times = { createdAt: Date.now(), ttlMs: 3_600_000, swrMs: 0, sieMs: 0 }
  return encode({
    digest,
    kind: 'reply',
    status: 200,
    headers: ['content-type', 'application/json'],
    body: Buffer.alloc(BODY_BYTES, 'x'),
    version: '',
    negative: false,
    ...times,
  })
}
