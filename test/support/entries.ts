/** Entries for tests: plain ones, and arbitrary ones for properties. */
import fc from 'fast-check'
import { type Digest, digestOf } from '../../src/core/key.ts'
import type { Entry } from '../../src/data/cache/entry.ts'

export function anEntry(name: string, changes: Partial<Entry> = {}): Entry {
  return {
    digest: digestOf(name),
    kind: 'reply',
    status: 200,
    headers: ['Content-Type', 'application/json'],
    body: Buffer.from(`{"predictions": ["${name}"]}`),
    createdAt: 1_700_000_000_000,
    ttlMs: 60_000,
    swrMs: 0,
    sieMs: 0,
    version: '7',
    negative: false,
    ...changes,
  }
}

const ms = fc.double({ min: 0, max: 1e13, noNaN: true }).map((value) => (value === 0 ? 0 : value))
const text = fc.string({ unit: 'grapheme', maxLength: 40 })

export const digests: fc.Arbitrary<Digest> = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('latin1') as Digest)

const fieldName = fc.stringMatching(/^x-[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}$/)
const fieldValue = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,40}$/)

const fields = (minLength: number) =>
  fc.array(fc.tuple(fieldName, fieldValue), { minLength, maxLength: 6 }).map((pairs) => pairs.flat())

export const entries: fc.Arbitrary<Entry> = fc
  .record({
    digest: digests,
    kind: fc.constantFrom('reply' as const, 'row' as const),
    status: fc.integer({ min: 200, max: 599 }),
    headers: fields(0),
    body: fc.uint8Array({ maxLength: 400 }),
    frame: fc.option(fc.uint8Array({ maxLength: 60 }), { nil: undefined }),
    createdAt: ms,
    ttlMs: ms,
    swrMs: ms,
    sieMs: ms,
    version: text,
    negative: fc.boolean(),
    costMs: ms,
    trailers: fc.option(fields(1), { nil: undefined }),
  })
  .map(({ frame, trailers, ...entry }) => ({
    ...entry,
    ...(frame === undefined ? {} : { frame }),
    ...(trailers === undefined ? {} : { trailers }),
  }))
