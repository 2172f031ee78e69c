import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { distance, nearest } from '../../../src/lib/nearest.ts'

const KEYS = ['listen', 'workers', 'limits', 'drainTimeout', 'trustedProxies', 'ttl', 'p2c', 'pool']

describe('nearest', () => {
  it.each([
    ['worker', 'workers'],
    ['lsiten', 'listen'],
    ['LISTEN', 'listen'],
    ['drain_timeout', 'drainTimeout'],
    ['trustedProxy', 'trustedProxies'],
    ['tll', 'ttl'],
    ['p2d', 'p2c'],
    ['pol', 'pool'],
  ])('%s means %s', (word, meant) => {
    expect(nearest(word, KEYS)).toBe(meant)
  })

  it.each(['', 'x', 'backends', 'timeout', 'a'.repeat(1000)])('nothing is near %j', (word) => {
    expect(nearest(word, KEYS)).toBeUndefined()
  })

  it('prefers the one with fewer edits, then the earlier', () => {
    expect(nearest('maxx', ['maxxes', 'max'])).toBe('max')
    expect(nearest('mas', ['max', 'mass'])).toBe('max')
  })
})

describe('distance', () => {
  it.each([
    ['', '', 0],
    ['abc', '', 3],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['ab', 'ba', 1],
    ['ca', 'abc', 3],
  ])('of %j and %j is %d', (a, b, edits) => {
    expect(distance(a, b)).toBe(edits)
  })

  it('is symmetric, and zero only between equals', () => {
    const word = fc.string({ maxLength: 12 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(distance(a, b)).toBe(distance(b, a))
        expect(distance(a, b) === 0).toBe(a === b)
      }),
    )
  })
})
