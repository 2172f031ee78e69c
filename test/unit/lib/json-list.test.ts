/** A document around a long list is read as JSON.parse reads it, however it is cut up, and never nests deeply. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { JsonList, parseJson } from '../../../src/lib/json-list.ts'

interface Read {
  readonly document: unknown
  readonly elements: unknown[]
}

function read(pieces: readonly Buffer[], depth: number, maxBytes = Infinity): Read {
  const elements: unknown[] = []
  const list = new JsonList({ depth, maxBytes, element: (value) => elements.push(value) })
  for (const piece of pieces) list.push(piece)
  return { document: list.end(), elements }
}

function cut(text: string, at: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text)
  const places = [0, ...at.map((part) => Math.floor(part * bytes.length)), bytes.length].sort((a, b) => a - b)
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 })
const spaces = fc.constantFrom(0, 1, '\t')

it('a document that is a list', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), cuts, spaces, (value, at, space) => {
      const text = JSON.stringify(value, null, space)
      expect(read(cut(text, at), 1)).toEqual({ document: [], elements: JSON.parse(text) })
    }),
  )
})

it('a document with a list', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.string(), cuts, spaces, (items, name, at, space) => {
      const text = JSON.stringify({ metadata: { name, of: [[]] }, items, kind: name }, null, space)
      expect(read(cut(text, at), 2)).toEqual({
        document: { metadata: { name, of: [[]] }, items: [], kind: name },
        elements: JSON.parse(text).items,
      })
    }),
  )
})

it('what is no JSON is refused, and nothing else', () => {
  const token = fc.constantFrom(
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '"',
    '\\',
    '1',
    '"a"',
    ' ',
    'null',
    '[1]',
    '"a":',
  )
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 12 }),
      cuts,
      fc.integer({ min: 0, max: 3 }),
      (tokens, at, depth) => {
        const text = tokens.join('')
        const refuses = (parse: () => unknown) => {
          try {
            parse()
            return false
          } catch {
            return true
          }
        }
        expect(refuses(() => read(cut(text, at), depth))).toBe(refuses(() => JSON.parse(text)))
      },
    ),
    { numRuns: 2000 },
  )
})

it('megabytes of brackets end at the 65th', () => {
  expect(() => parseJson(Buffer.alloc(5e6, '['))).toThrow('nested deeper than 64')
  expect(parseJson(Buffer.from('['.repeat(64) + ']'.repeat(64)))).toBeInstanceOf(Array)
})

it('a part that is too long is refused while it comes', () => {
  expect(() => read([Buffer.from(`["${'x'.repeat(100)}`)], 1, 50)).toThrow('larger than 50 bytes')
  expect(() => read([Buffer.from(`{"x":"${'x'.repeat(100)}`)], 2, 50)).toThrow('larger than 50 bytes')
  expect(read([Buffer.from(JSON.stringify(Array(100).fill('x')))], 1, 50).elements).toHaveLength(100)
})

it('bytes that are no UTF-8 are refused', () => {
  expect(() => parseJson(Buffer.from([0x22, 0xff, 0x22]))).toThrow(TypeError)
})
