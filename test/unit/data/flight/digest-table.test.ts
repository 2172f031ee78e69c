import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Digest, digestOf } from '../../../../src/core/key.ts'
import { type Chained, DigestTable } from '../../../../src/data/flight/digest-table.ts'

class Value implements Chained<Value> {
  next: Value | undefined
  readonly digest: Digest
  constructor(digest: Digest) {
    this.digest = digest
  }
}

/** Some share a bucket, whatever the number of buckets. */
const DIGESTS = Array.from({ length: 300 }, (_, i) => {
  const digest = digestOf(`${i}`)
  return (i % 3 === 0 ? `same${digest.slice(4)}` : digest) as Digest
})

it('holds what a Map would', () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom('set', 'set', 'delete', 'get'), fc.nat(DIGESTS.length - 1)),
    { maxLength: 800 },
  )
  fc.assert(
    fc.property(steps, (all) => {
      const table = new DigestTable<Value>()
      const map = new Map<Digest, Value>()
      for (const [step, i] of all) {
        const digest = DIGESTS[i] as Digest
        const value = new Value(digest)
        if (step === 'set') {
          table.set(value)
          map.set(digest, value)
        } else if (step === 'delete') {
          table.delete(digest)
          map.delete(digest)
        }
        expect(table.get(digest)).toBe(map.get(digest))
        expect(table.size).toBe(map.size)
      }
      for (const digest of DIGESTS) expect(table.get(digest)).toBe(map.get(digest))
    }),
  )
})

it('what is taken out leads to nothing', () => {
  const table = new DigestTable<Value>()
  const values = DIGESTS.map((digest) => new Value(digest))
  for (const value of values) table.set(value)
  for (const { digest } of values) table.delete(digest)
  expect(table.size).toBe(0)
  expect(values.every(({ next }) => next === undefined)).toBe(true)
})
