import { expect, it } from 'vitest'
import { BufferList } from '../../../src/lib/buffer-list.ts'

it('joins pieces of any size in their order', () => {
  const list = new BufferList()
  const sizes = [3, 0, 70_000, ...Array.from({ length: 200_000 }, () => 1), 20_000, 5]
  const wanted = Buffer.concat(sizes.map((size, i) => Buffer.alloc(size, i % 251)))
  let at = 0
  for (const size of sizes) {
    list.push(wanted.subarray(at, at + size))
    at += size
  }
  expect(list.length).toBe(wanted.length)
  expect(list.joined().equals(wanted)).toBe(true)
})

it('keeps few objects of what arrives byte by byte', () => {
  const list = new BufferList()
  for (let i = 0; i < 1_000_000; i++) list.push(Buffer.from([i & 255]))
  expect(list.pieces().length).toBeLessThan(64)
})

it('gives its bytes piece by piece while others come, each once and in order', () => {
  const list = new BufferList()
  const read: Uint8Array[] = []
  let sent = 0
  for (let i = 0; i < 5000; i++) {
    for (let more = 0; more < i % 7; more++) list.push(Buffer.from([sent++ & 255]))
    if (i % 3 === 0) read.push(...[list.shift()].flatMap((piece) => piece ?? []))
  }
  for (let piece = list.shift(); piece; piece = list.shift()) read.push(piece)
  expect(list.length).toBe(0)
  expect(Buffer.concat(read)).toEqual(Buffer.from(Array.from({ length: sent }, (_, i) => i & 255)))
})

it('has nothing at first', () => {
  expect(new BufferList().joined()).toHaveLength(0)
  expect(new BufferList().shift()).toBeUndefined()
})
