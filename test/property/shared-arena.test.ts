/** The process memory under several threads: what is read is what was written, whole, whoever dies meanwhile. */
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { allocateMemory, createMemory, recoverMemory } from '../../src/data/cache/memory/memory.ts'
import { startThread } from '../support/threads.ts'

const MiB = 1024 * 1024
const KEYS = 400

/**
 * Sets, gets and deletes at random. A value is a number repeated, with the key's own in front: one that is torn, or
 * another key's, is found out. The key is the value's first word, so that it tells whose it is.
 */
const HAMMER = `
const { createMemory } = await load('data/cache/memory/memory.ts')
const { digestOf } = await load('core/key.ts')
const { shared, worker, rounds, keys } = workerData
const memory = createMemory({ shared, worker })
const digests = Array.from({ length: keys }, (_, n) => digestOf('key ' + n))
const counts = { hits: 0, wrong: 0, sets: 0 }
if (rounds === Infinity) parentPort.postMessage('started')
for (let round = 0; round < rounds; round++) {
  const key = Math.floor(Math.random() * keys)
  const what = Math.random()
  if (what < 0.4) {
    const words = new Uint32Array(2 + Math.floor(Math.random() * 2_000)).fill(round)
    words[0] = key
    words[1] = round
    if (memory.set(digests[key], new Uint8Array(words.buffer), Number.MAX_VALUE)) counts.sets++
  } else if (what < 0.45) memory.delete(digests[key])
  else {
    const found = memory.get(digests[key])
    if (!found) continue
    counts.hits++
    const words = new Uint32Array(Uint8Array.from(found).buffer)
    if (words[0] !== key || words.subarray(1).some((word) => word !== words[1])) counts.wrong++
  }
}
parentPort.postMessage(counts)
`

interface Counts {
  readonly hits: number
  readonly wrong: number
  readonly sets: number
}

describe('memory shared by threads', () => {
  it('gives each thread whole values that one of them wrote under that key', async () => {
    const shared = allocateMemory(2 * MiB, 3)
    const hammer = (worker: number) => startThread(HAMMER, { shared, worker, rounds: 15_000, keys: KEYS })
    const counts = (await Promise.all([hammer(0), hammer(1), hammer(2)])).map(({ first }) => first as Counts)
    for (const { hits, wrong, sets } of counts) {
      expect(wrong).toBe(0)
      expect(sets).toBeGreaterThan(4_000)
      expect(hits).toBeGreaterThan(0)
    }
    const memory = createMemory({ shared, worker: 0 })
    expect(memory.bytes).toBeLessThanOrEqual(2 * MiB)
    for (let n = 0; n < KEYS; n++) memory.delete(digestOf(`key ${n}`))
    expect([memory.bytes, memory.entries]).toEqual([0, 0])
  })

  it('is a hit in one thread for what another has stored', async () => {
    const shared = allocateMemory(MiB, 2)
    const source = `
      const { createMemory } = await load('data/cache/memory/memory.ts')
      const memory = createMemory({ shared: workerData.shared, worker: 1 })
      parentPort.postMessage(memory.set(workerData.digest, Buffer.from('theirs'), Number.MAX_VALUE))
    `
    const digest = digestOf('shared')
    expect((await startThread(source, { shared, digest })).first).toBe(true)
    expect(`${createMemory({ shared, worker: 0 }).get(digest)}`).toBe('theirs')
  })

  it('is usable after a thread was killed in the middle of its work', async () => {
    const shared = allocateMemory(2 * MiB, 1)
    const memory = createMemory({ shared, worker: 0 })
    for (let round = 0; round < 6; round++) {
      const { thread } = await startThread(HAMMER, { shared, worker: 1, rounds: Infinity, keys: KEYS })
      await thread.terminate()
      recoverMemory(shared, 1)
      for (let n = 0; n < KEYS; n++) whole(memory.get(digestOf(`key ${n}`)), n)
      expect(memory.set(digestOf('after'), Buffer.alloc(100), Number.MAX_VALUE)).toBe(true)
    }
  })

  it('loses the arena that a thread died in, and frees its lock', async () => {
    const shared = allocateMemory(MiB, 1)
    const memory = createMemory({ shared, worker: 0 })
    const digest = digestOf('kept')
    memory.set(digest, Buffer.from('kept'), Number.MAX_VALUE)
    const source = `
      const { Lock } = await load('lib/lock.ts')
      const { LOCK_WORD } = await load('data/cache/memory/arena-bytes.ts')
      const { buffer } = workerData.shared.arenas[0]
      new Lock(new Int32Array(buffer, 0, LOCK_WORD + 1), LOCK_WORD, 2).acquire(0)
      parentPort.postMessage('inside')
      process.exit(1)
    `
    const { exited } = await startThread(source, { shared })
    await exited
    // What cannot be had in time is as if it were not there; and it is not waited for for long.
    expect(memory.get(digest)).toBeUndefined()
    expect(recoverMemory(shared, 0)).toBe(0)
    expect(recoverMemory(shared, 1)).toBe(1)
    expect(memory.get(digest)).toBeUndefined()
    expect([memory.bytes, memory.entries]).toEqual([0, 0])
    expect(memory.set(digest, Buffer.from('again'), Number.MAX_VALUE)).toBe(true)
    expect(`${memory.get(digest)}`).toBe('again')
  })
})

function whole(found: Uint8Array | undefined, key: number): void {
  if (!found) return
  const words = new Uint32Array(Uint8Array.from(found).buffer)
  expect(words[0]).toBe(key)
  expect(words.subarray(1).every((word) => word === words[1])).toBe(true)
}
