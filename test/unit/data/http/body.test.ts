import { expect, it } from 'vitest'
import { Chunks, JOINED_BYTES } from '../../../../src/core/chunks.ts'
import { BodyBuffer } from '../../../../src/data/http/body.ts'

function gathered(pieces: readonly Uint8Array[]) {
  const gather = new BodyBuffer()
  for (const piece of pieces) gather.push(piece)
  return gather.whole()
}

it('a body of one piece is that piece, and a short one is joined', () => {
  const one = Buffer.from('abc')
  expect(gathered([one])).toBe(one)
  expect(gathered([one, Buffer.from('de')])).toEqual(Buffer.from('abcde'))
  expect(gathered([])).toHaveLength(0)
})

it('a long body stays in the pieces it came in', () => {
  const piece = Buffer.alloc(64 << 10, 'x')
  const count = JOINED_BYTES / piece.length
  expect(gathered(Array.from({ length: count }, () => piece))).toBeInstanceOf(Buffer)
  const long = gathered(Array.from({ length: count + 1 }, () => piece)) as Chunks
  expect(long).toBeInstanceOf(Chunks)
  const [first] = long.pieces()
  expect(first?.buffer).toBe(piece.buffer)
  expect(gathered([Buffer.alloc(JOINED_BYTES + 1)])).toBeInstanceOf(Chunks)
})

it('a body that comes byte by byte is no piece a byte', () => {
  const text = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
  const large = Buffer.alloc(JOINED_BYTES, 'y')
  const bytes = [...text].map((_, i) => text.subarray(i, i + 1))
  const whole = gathered([...bytes.slice(0, 200_000), large, ...bytes.slice(200_000)]) as Chunks
  const pieces = [...whole.pieces()]
  expect(Buffer.concat(pieces)).toEqual(
    Buffer.concat([text.subarray(0, 200_000), large, text.subarray(200_000)]),
  )
  expect(pieces.length).toBeLessThan(100)
})
