import { describe, expect, it } from 'vitest'
import { Chunks, PIECE_BYTES } from '../../../../src/core/chunks.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { documentDigest } from '../../../../src/protocol/json/document.ts'
import { streamDigest } from '../../../../src/protocol/json/steps.ts'

const prefix = digestOf('prefix')
const MIB = 1 << 20
const WIDE = `"${'x'.repeat(1000)}"`

function inChunks(body: Uint8Array, size: number): { result: unknown; pauses: number } {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < body.length; at += size) chunks.push(body.subarray(at, at + size))
  const reading = streamDigest(new Chunks(chunks).pieces(), prefix)
  let pauses = 0
  let step = reading.next()
  for (; !step.done; step = reading.next()) pauses++
  return { result: step.value.digest, pauses }
}

function repeated(text: string, bytes: number): string {
  return Array.from({ length: Math.ceil(bytes / text.length) }, () => text).join()
}

describe('a long body', () => {
  it.each([
    ['rows of numbers', () => `{"signature_name":"s","instances":[${repeated('[1.5, -2e3, 0]', 4 * MIB)}]}`],
    [
      'rows that are not in canonical spelling',
      () => `{"instances":[${repeated('{"b":[1],"a":"\\u00e9\\/"}', 2 * MIB)}]}`,
    ],
    ['one long string', () => `{"instances":["${'ab\\u0063é'.repeat(MIB / 4)}"]}`],
    [
      'an object in order that outgrows what is held',
      () => `{"inputs":{"a":[${repeated(WIDE, 9 * MIB)}],"b":[1]}}`,
    ],
    ['no object', () => `[${repeated('"x"', 2 * MIB)}]`],
  ])('of %s has the key it has in one piece, whatever its chunks', (_, make) => {
    const body = Buffer.from(make())
    const whole = documentDigest(prefix, body)
    expect(whole).toHaveLength(32)
    for (const size of [65_536, 1_000_003, body.length]) {
      const { result, pauses } = inChunks(body, size)
      expect(result).toBe(whole)
      // The event loop has its turn after each piece, even where the body came as one chunk.
      expect(pauses).toBeGreaterThanOrEqual(Math.floor(body.length / PIECE_BYTES))
    }
  })

  it('is refused, not guessed at, where a huge object is out of order', () => {
    const body = Buffer.from(`{"inputs":{"b":[${repeated(WIDE, 9 * MIB)}],"a":[1]}}`)
    expect(inChunks(body, 65_536).result).toEqual({ problem: 'unsorted-object' })
  })

  it.each([
    ['{"a":1', 'unparsable'],
    ['{"a":1}}', 'trailing-bytes'],
    ['{"a":1,"b":2,"a":3}', 'duplicate-key'],
    ['[{"b":1,"a":2,"b":3}]', 'duplicate-key'],
    ['["\\ud800x"]', 'lone-surrogate'],
    ['["\\ud800', 'unparsable'],
    ['[1', 'unparsable'],
    ['tru', 'unparsable'],
    ['['.repeat(65), 'too-deep'],
  ])('%j is refused byte by byte: %s', (text, problem) => {
    expect(inChunks(Buffer.from(text), 1).result).toEqual({ problem })
  })

  it('is refused where a character is cut off or broken at a seam', () => {
    const quoted = (...bytes: number[]) => Buffer.from([0x22, ...bytes, 0x22])
    for (const body of [
      quoted(0xc3),
      quoted(0xe2, 0x82),
      quoted(0xed, 0xa0, 0x80),
      quoted(0xf0, 0x9f, 0x98),
    ]) {
      for (const size of [1, 2, 3]) expect(inChunks(body, size).result).toEqual({ problem: 'invalid-utf8' })
    }
    expect(inChunks(Buffer.from('"é😀€"'), 1).result).toBe(documentDigest(prefix, Buffer.from('"é😀€"')))
  })
})
