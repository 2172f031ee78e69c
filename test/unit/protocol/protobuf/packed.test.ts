import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import { hasOneMessage, PREFIX_BYTES, withPrefix } from '../../../../src/protocol/grpc/message.ts'
import {
  decodeVarints,
  encodeVarints,
  lastVarintEnd,
  varintCount,
} from '../../../../src/protocol/protobuf/packed.ts'
import { MalformedProtobuf } from '../../../../src/protocol/protobuf/reader.ts'
import { ChunkSource, TooManyFields, WholeSource } from '../../../../src/protocol/protobuf/source.ts'
import { MessageWriter, varintOf } from '../../../../src/protocol/protobuf/writer.ts'

it.each([1, 2, 4, 8])('values of %i bytes are the same after they were written', (size) => {
  const values = fc
    .uint8Array({ minLength: 0, maxLength: 5 * size })
    .map((bytes) => bytes.subarray(0, bytes.length - (bytes.length % size)))
  fc.assert(
    fc.property(values, fc.boolean(), (bytes, isSigned) => {
      const packed = encodeVarints(bytes, size, isSigned)
      expect(varintCount(packed)).toBe(bytes.length / size)
      expect(lastVarintEnd(packed)).toBe(packed.length)
      expect(Buffer.from(decodeVarints(packed, size))).toEqual(Buffer.from(bytes))
    }),
  )
})

it('writes negative numbers as others do', () => {
  expect([...encodeVarints(Buffer.from([0xfe]), 1, true)]).toEqual(varintOf(-2))
  expect([...encodeVarints(Buffer.from([0xfe]), 1, false)]).toEqual(varintOf(254))
})

it('narrows numbers to the lower bytes, and takes any number but 0 for true', () => {
  const packed = Buffer.from([
    ...varintOf(0x1_0203),
    ...varintOf(2n ** 63n),
    ...varintOf(0),
    0x81,
    0x80,
    0x00,
  ])
  expect([...decodeVarints(packed, 1)]).toEqual([3, 0, 0, 1])
  expect([...decodeVarints(packed, 1, true)]).toEqual([1, 1, 0, 1])
  expect([...decodeVarints(Buffer.from([2, 0]), 1, true)]).toEqual([1, 0])
})

it('refuses a number that does not end, or is longer than ten bytes', () => {
  expect(() => decodeVarints(Buffer.from([0x80]), 4)).toThrow(MalformedProtobuf)
  expect(() => decodeVarints(Buffer.from([...Array<number>(10).fill(0x80), 1]), 4)).toThrow(MalformedProtobuf)
  expect(lastVarintEnd(Buffer.from([1, 0x80, 0x80]))).toBe(1)
})

it('reads a message in pieces as in one', () => {
  const message = new MessageWriter()
    .varint(1, 2n ** 64n - 1n)
    .float(2, 1.5)
    .double(3, -1)
    .text(4, 'a long text, which lies in several pieces')
    .message(5, new MessageWriter().varint(1, 7).text(2, ''))
    .join()
  const fieldsOf = (source: WholeSource | ChunkSource, before = 0) => {
    const found: unknown[] = []
    const fields = source.fields()
    while (fields.next()) {
      const { field, wire, low, high, int64, int32, isTrue, safeInt64 } = fields
      const value = Buffer.from(source.slice(fields.start, fields.end)).toString('hex')
      const isNumber = wire !== 2
      found.push([
        field,
        wire,
        value,
        fields.at - before,
        isNumber && [low, high, int64, int32, isTrue, safeInt64],
      ])
      if (field !== 5) continue
      const inner = fields.message()
      while (inner.next()) found.push([inner.field, inner.low, inner.at - before])
    }
    return found
  }
  const framed = withPrefix(Buffer.concat([Buffer.alloc(PREFIX_BYTES), message]))
  for (const size of [1, 2, 7, 200]) {
    const pieces: Uint8Array[] = []
    for (let at = 0; at < framed.length; at += size) pieces.push(framed.subarray(at, at + size))
    const body = new Chunks(pieces)
    expect(hasOneMessage(body)).toBe(true)
    expect(fieldsOf(new ChunkSource(body, PREFIX_BYTES), PREFIX_BYTES)).toEqual(
      fieldsOf(new WholeSource(message)),
    )
  }
})

it('a body in pieces is one message if its length says so, and it is not compressed', () => {
  const framed = withPrefix(Buffer.from([0, 0, 0, 0, 0, 1, 2]))
  expect(hasOneMessage(new Chunks([framed]))).toBe(true)
  expect(hasOneMessage(new Chunks([framed, Buffer.of(1)]))).toBe(false)
  expect(hasOneMessage(new Chunks([framed.subarray(0, 4)]))).toBe(false)
  framed[0] = 1
  expect(hasOneMessage(new Chunks([framed]))).toBe(false)
})

it('of a message in pieces so many fields are read in a row, and more after a pause', () => {
  const many = Buffer.concat(Array.from({ length: 20_000 }, () => Buffer.from([8, 1])))
  const source = new ChunkSource(new Chunks([many]), 0)
  const fields = source.fields()
  let read = 0
  const readOn = () => {
    while (fields.next()) read++
  }
  expect(readOn).toThrow(TooManyFields)
  const before = read
  source.resume()
  expect(readOn).not.toThrow()
  expect(before).toBeLessThan(20_000)
  expect(read).toBe(20_000)
})

it('refuses a value that is longer than the message, in pieces too', () => {
  const fields = new ChunkSource(new Chunks([Buffer.from([0x0a, 5, 1])]), 0).fields()
  expect(() => fields.next()).toThrow(MalformedProtobuf)
})
