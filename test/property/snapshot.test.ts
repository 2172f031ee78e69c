/** Snapshots of process memory: whatever becomes of the file, a record is what it was or is none. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { type OpenSnapshot, openSnapshot } from '../../src/app/snapshot/read-snapshot.ts'
import { Restoring } from '../../src/app/snapshot/restoring.ts'
import type { SnapshotHead } from '../../src/app/snapshot/snapshot-head.ts'
import { writeSnapshot } from '../../src/app/snapshot/write-snapshot.ts'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { decode, type Entry, encode } from '../../src/data/cache/entry.ts'
import { allocateMemory, createMemory, type Memory } from '../../src/data/cache/memory/memory.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { createSeal, type Seal } from '../../src/lib/seal.ts'
import { Slices } from '../../src/lib/slices.ts'
import { anEntry, entries } from '../support/entries.ts'
import { FakeClock } from '../support/fake-clock.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-snapshot-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const file = join(folder, 'memory.snapshot')

const secrets = ['hunter2-hunter2-hunter2-hunter2-']
const seals: readonly (readonly [string, Seal | undefined])[] = [
  ['plain', undefined],
  ['signed', createSeal({ secrets, purpose: 'test', isEncrypted: false })],
  ['encrypted', createSeal({ secrets, purpose: 'test', isEncrypted: true })],
]

const head = (writtenAt: number): SnapshotHead => ({
  id: 'a-file',
  owner: 'a-process',
  startedAt: 0,
  writtenAt,
  settings: 'none',
  epochs: [],
  deployments: [],
})

const MAX_VALUE = 64 * 1024
const slices = () => new Slices(systemClock, () => 1)

async function write(memory: Memory, { clock, seal, maxBytes = 1 << 30 }: Writing) {
  const written = await writeSnapshot({
    memory,
    file,
    head: head(clock.wall()),
    seal,
    maxBytes,
    clock,
    slices: slices(),
    isLate: () => false,
    commit: async (rename) => {
      await rename()
      return true
    },
  })
  if (!written) throw new Error('not written')
  return written
}

interface Writing {
  readonly clock: FakeClock
  readonly seal: Seal | undefined
  readonly maxBytes?: number
}

/** What a gateway would take of the file; undefined: it takes nothing, and says why. */
async function read(seal: Seal | undefined): Promise<Map<Digest, Buffer> | undefined> {
  const found = await openSnapshot(file, { seal, maxValueBytes: MAX_VALUE })
  if (!found || 'unfit' in found) {
    expect(found?.unfit).toMatch(/./)
    return undefined
  }
  const records = new Map<Digest, Buffer>()
  await found.read(
    slices(),
    ({ digest, value }) => records.set(digest, Buffer.from(value)),
    () => false,
  )
  await found.close()
  return records
}

function fill(memory: Memory, all: readonly Entry[], clock: FakeClock): Map<Digest, Buffer> {
  const stored = new Map<Digest, Buffer>()
  for (const entry of all) {
    const bytes = Buffer.from(encode(entry))
    if (memory.set(entry.digest, bytes, clock.now() + 60_000)) stored.set(entry.digest, bytes)
  }
  return stored
}

describe.each(seals)('a snapshot that is %s', (_, seal) => {
  it('gives every entry back as it was, of one arena or several', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entries, { maxLength: 60 }), fc.boolean(), async (all, isShared) => {
        const clock = new FakeClock()
        const memory = isShared
          ? createMemory({ shared: allocateMemory(32 << 20, 2), worker: 0, clock })
          : createMemory({ maxBytes: 4 << 20, clock })
        const wanted = fill(
          memory,
          all.filter(({ status }) => status !== 204),
          clock,
        )
        const { records, bytes } = await write(memory, { clock, seal })
        expect(statSync(file).size).toBe(bytes)
        expect(records).toBe(wanted.size)
        expect(await read(seal)).toEqual(wanted)
      }),
      { numRuns: 30 },
    )
  })

  it('cut off anywhere gives nothing, and one with any byte changed nothing that is wrong', async () => {
    const clock = new FakeClock()
    const memory = createMemory({ maxBytes: 1 << 20, clock })
    const wanted = fill(
      memory,
      ['a', 'b', 'c'].map((name) => anEntry(name)),
      clock,
    )
    await write(memory, { clock, seal })
    const whole = readFileSync(file)
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole.subarray(0, length))
      expect(await read(seal)).toBeUndefined()
    }
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] as number) ^ (1 << (at % 8))
      writeFileSync(file, changed)
      for (const [digest, value] of (await read(seal)) ?? []) expect(value).toEqual(wanted.get(digest))
    }
    writeFileSync(file, Buffer.concat([whole, Buffer.of(0)]))
    expect(await read(seal)).toBeUndefined()
  })
})

it('of more than the bound allows, keeps what saves most', async () => {
  const clock = new FakeClock()
  const memory = createMemory({ maxBytes: 4 << 20, clock })
  const put = (name: string, costMs: number) => {
    const entry = anEntry(name, { costMs })
    memory.set(entry.digest, encode(entry), clock.now() + 60_000, { costMs })
    return entry.digest
  }
  const dear = Array.from({ length: 100 }, (_, i) => put(`dear ${i}`, 4_000))
  for (let i = 0; i < 5_000; i++) put(`cheap ${i}`, 1)
  const { bytes } = await write(memory, { clock, seal: undefined, maxBytes: 100_000 })
  expect(bytes).toBeLessThanOrEqual(100_000)
  const found = await read(undefined)
  expect(found?.size).toBeGreaterThan(200)
  for (const digest of dear) expect(found?.has(digest)).toBe(true)
})

it('a sealed file is nothing to who has no secret, or another', async () => {
  const clock = new FakeClock()
  const memory = createMemory({ maxBytes: 1 << 20, clock })
  fill(memory, [anEntry('a')], clock)
  for (const [, seal] of seals) {
    await write(memory, { clock, seal })
    for (const [, other] of seals) if (other !== seal) expect(await read(other)).toBeUndefined()
  }
})

it('I9: no entry lives longer over a restart, whatever the clock was set to meanwhile', async () => {
  const times = fc.record({
    age: fc.nat(50_000),
    ttlMs: fc.integer({ min: 1, max: 100_000 }),
    downMs: fc.integer({ min: -500, max: 100_000 }),
    left: fc.integer({ min: 1, max: 100_000 }),
  })
  await fc.assert(
    fc.asyncProperty(times, async ({ age, ttlMs, downMs, left }) => {
      const clock = new FakeClock()
      const memory = createMemory({ maxBytes: 1 << 20, clock })
      const entry = anEntry('a', { createdAt: clock.wall() - age, ttlMs })
      memory.set(entry.digest, encode(entry), clock.now() + left)
      await write(memory, { clock, seal: undefined })
      const found = (await openSnapshot(file, { seal: undefined, maxValueBytes: MAX_VALUE })) as OpenSnapshot
      const later = new FakeClock()
      const wall = () => clock.wall() + downMs
      const next = createMemory({ maxBytes: 1 << 20, clock: later })
      const restoring = new Restoring({
        memory: next,
        cache: { mark: () => 0, passes: () => true },
        clock: { now: () => later.now(), wall },
        writtenAt: found.head.writtenAt,
      })
      await found.read(
        slices(),
        (record) => restoring.take(record),
        () => false,
      )
      await found.close()
      const lives = Math.min(left - Math.max(0, downMs), ttlMs - Math.max(0, age + downMs))
      expect(restoring.counts.loaded).toBe(lives > 0 ? 1 : 0)
      if (lives <= 0) return
      expect(decode(next.get(entry.digest) as Uint8Array, entry.digest)).toMatchObject({ ttlMs })
      later.advance(lives)
      expect(next.get(entry.digest)).toBeUndefined()
    }),
    { numRuns: 100 },
  )
})

it('what was removed since the start, and what is newer, stays', async () => {
  const clock = new FakeClock()
  const memory = createMemory({ maxBytes: 1 << 20, clock })
  const at = clock.wall()
  fill(
    memory,
    ['removed', 'newer', 'plain'].map((name) => anEntry(name, { createdAt: at })),
    clock,
  )
  await write(memory, { clock, seal: undefined })
  const found = (await openSnapshot(file, { seal: undefined, maxValueBytes: MAX_VALUE })) as OpenSnapshot
  const next = createMemory({ maxBytes: 1 << 20, clock })
  const newer = anEntry('newer', { createdAt: at + 1, body: Buffer.from('new') })
  fill(next, [newer], clock)
  const passes = (digest: Digest) => digest !== digestOf('removed')
  const restoring = new Restoring({ memory: next, cache: { mark: () => 0, passes }, clock, writtenAt: at })
  await found.read(
    slices(),
    (record) => restoring.take(record),
    () => false,
  )
  await found.close()
  expect(restoring.counts).toEqual({ loaded: 1, purged: 1, refused: 1, expired: 0 })
  expect(next.get(digestOf('removed'))).toBeUndefined()
  expect(decode(next.get(newer.digest) as Uint8Array, newer.digest)?.body.toString()).toBe('new')
})

it('a full memory takes nothing that it would have to make room for', () => {
  const clock = new FakeClock()
  const memory = createMemory({ maxBytes: 64 * 1024, clock })
  let stored = 0
  for (let i = 0; i < 2_000; i++) {
    const entry = anEntry(`old ${i}`)
    if (memory.restore(entry.digest, encode(entry), { expiresAt: clock.now() + 1_000, meta: 0 })) stored++
  }
  expect(memory.entries).toBe(stored)
  expect(memory.stats().evictions).toBe(0)
  expect(memory.bytes).toBeLessThanOrEqual(64 * 1024)
  // Nothing of it is in the way of what is new.
  const fresh = anEntry('fresh')
  expect(memory.set(fresh.digest, encode(fresh), clock.now() + 1_000)).toBe(true)
})
