/**
 * What a seal over a shared tier costs: `node bench/micro/seals.ts`. Processor time of sealing and of opening one entry with a
 * body of 200 B and of 4 KiB, beside encoding and decoding its envelope, which every tier has; medians of interleaved rounds.
 */
import { digestOf } from '../../src/core/key.ts'
import { decode, type Entry, encode } from '../../src/data/cache/entry.ts'
import { createSeal } from '../../src/lib/seal.ts'
import { median } from '../lib/stats.ts'

const ROUNDS = 9
const REPEATS = 20_000
const SECRETS = ['a secret of thirty-two characters']

const signed = createSeal({ secrets: SECRETS, purpose: 'bench', isEncrypted: false })
const encrypted = createSeal({ secrets: SECRETS, purpose: 'bench', isEncrypted: true })

console.log(`Node ${process.version}, ${ROUNDS} rounds of ${REPEATS}`)
for (const bodyBytes of [200, 4096]) {
  const digest = digestOf(`an entry of ${bodyBytes}`)
  const entry = entryOf(bodyBytes)
  const envelope = encode(entry)
  const [ofSigned, ofEncrypted] = [signed.seal(digest, envelope), encrypted.seal(digest, envelope)]
  const works = {
    encode: () => encode(entry),
    decode: () => decode(envelope, digest),
    sign: () => signed.seal(digest, envelope),
    verify: () => signed.open(digest, ofSigned),
    encrypt: () => encrypted.seal(digest, envelope),
    decrypt: () => encrypted.open(digest, ofEncrypted),
  }
  const micros = new Map(Object.keys(works).map((name) => [name, [] as number[]]))
  for (let round = -1; round < ROUNDS; round++)
    for (const [name, work] of Object.entries(works)) {
      const took = microsOf(work)
      if (round >= 0) micros.get(name)?.push(took)
    }
  const shown = [...micros].map(([name, all]) => `${name} ${median(all).toFixed(2)} µs`)
  console.log(`${`${bodyBytes}`.padStart(5)} B: ${shown.join(', ')}`)
}

function entryOf(bodyBytes: number): Entry {
  return {
    digest: digestOf(`an entry of ${bodyBytes}`),
    kind: 'reply',
    status: 200,
    headers: ['content-type', 'application/json'],
    body: Buffer.alloc(bodyBytes, 'x'),
    createdAt: Date.now(),
    ttlMs: 60_000,
    swrMs: 0,
    sieMs: 0,
    version: '1',
    negative: false,
  }
}

function microsOf(work: () => unknown): number {
  const before = process.cpuUsage()
  let isWhole = true
  for (let i = 0; i < REPEATS; i++) isWhole = work() !== undefined && isWhole
  if (!isWhole) throw new Error('a value was not opened')
  const { user, system } = process.cpuUsage(before)
  return (user + system) / REPEATS
}
