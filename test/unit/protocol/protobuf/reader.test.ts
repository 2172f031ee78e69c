import { expect, it } from 'vitest'
import {
  BYTES,
  FIXED32,
  FIXED64,
  GROUP,
  MalformedProtobuf,
  MessageReader,
  VARINT,
} from '../../../../src/protocol/protobuf/reader.ts'
import { MessageWriter, putVarint } from '../../../../src/protocol/protobuf/writer.ts'

function fieldsOf(bytes: Uint8Array) {
  const reader = new MessageReader(bytes)
  const fields: unknown[] = []
  while (reader.next()) {
    const { field, wire } = reader
    fields.push([
      field,
      wire,
      wire === BYTES || wire === GROUP ? Buffer.from(reader.bytes()).toString('hex') : reader.uint64,
    ])
  }
  return fields
}

it('reads what the guide of the encoding shows', () => {
  // protobuf.dev, "Encoding": a = 150; "testing"; packed [3, 270, 86942]
  expect(fieldsOf(Buffer.from('089601', 'hex'))).toEqual([[1, VARINT, 150n]])
  expect(fieldsOf(Buffer.from('120774657374696e67', 'hex'))).toEqual([[2, BYTES, '74657374696e67']])
  expect(fieldsOf(Buffer.from('3206038e029ea705', 'hex'))).toEqual([[6, BYTES, '038e029ea705']])
})

it('reads what is written, by value', () => {
  const message = new MessageWriter()
    .varint(1, -2n)
    .varint(2, 2n ** 64n - 1n)
    .varint(536870911, 2 ** 40)
    .float(3, 1.5)
    .double(4, -0.1)
    .message(5, new MessageWriter().text(1, 'é').varint(2, 1))
    .join()
  const reader = new MessageReader(message)
  expect([reader.next(), reader.int64, reader.int32, reader.safeInt64]).toEqual([true, -2n, -2, -2])
  expect([reader.next(), reader.uint64, reader.int64]).toEqual([true, 2n ** 64n - 1n, -1n])
  expect([reader.next(), reader.field, reader.safeInt64]).toEqual([true, 536870911, 2 ** 40])
  expect([reader.next(), reader.wire, reader.low]).toEqual([true, FIXED32, 0x3fc00000])
  expect([reader.next(), reader.wire]).toEqual([true, FIXED64])
  expect(Buffer.from(reader.bytes()).readDoubleLE()).toBe(-0.1)
  expect(reader.next()).toBe(true)
  const inner = reader.message()
  expect([inner.next(), Buffer.from(inner.bytes()).toString()]).toEqual([true, 'é'])
  expect([inner.next(), inner.isTrue, inner.next(), reader.next()]).toEqual([true, true, false, false])
})

it('reads a group as one value, groups in it included', () => {
  // group 1 { 2: 5, group 3 { 1: 1 } } 4: 7
  expect(fieldsOf(Buffer.from('0b10051b08011c0c2007', 'hex'))).toEqual([
    [1, GROUP, '10051b08011c'],
    [4, VARINT, 7n],
  ])
})

it.each([
  ['a number that does not end', '0880'],
  ['a number of eleven bytes', '0880808080808080808080' + '01'],
  ['a value longer than its message', '1205aa'],
  ['a length of 64 bits', '12ffffffffffffffffff01'],
  ['a fixed field that is cut', '0d0000'],
  ['the field number 0', '0001'],
  ['a field number of more than 29 bits', '8880808080' + '0101'],
  ['wire type 6', '0e'],
  ['a group that does not end', '0b1005'],
  ['a group that ends as another', '0b14'],
  ['the end of no group', '0c'],
])('refuses %s', (_, hex) => {
  expect(() => fieldsOf(Buffer.from(hex, 'hex'))).toThrow(MalformedProtobuf)
})

it('bounds the depth of groups', () => {
  const nested = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x0b), Buffer.alloc(depth, 0x0c)])
  expect(fieldsOf(nested(100))).toHaveLength(1)
  expect(() => fieldsOf(nested(101))).toThrow('nested too deeply')
})

it('gives whole fields, strings, and the numbers of a packed list', () => {
  const reader = new MessageReader(Buffer.from('0a02c3a93206038e029ea705', 'hex'))
  reader.next()
  expect([Buffer.from(reader.whole()).toString('hex'), reader.at]).toEqual(['0a02c3a9', 4])
  expect(Buffer.from(reader.utf8()).toString()).toBe('é')
  reader.next()
  const list = reader.message()
  const numbers: number[] = []
  while (list.number()) numbers.push(list.low)
  expect(numbers).toEqual([3, 270, 86942])
  const broken = new MessageReader(Buffer.from('0a01c3', 'hex'))
  broken.next()
  expect(() => broken.utf8()).toThrow(MalformedProtobuf)
})

it('writes varints of 64 bits from two halves', () => {
  for (const [low, high] of [
    [0, 0],
    [127, 0],
    [128, 0],
    [-1, 0],
    [5, 1],
    [0, 0x80000000],
    [-1, -1],
  ] as const) {
    const out = Buffer.alloc(10)
    const list = new MessageReader(out.subarray(0, putVarint(out, 0, low, high)))
    expect(list.number()).toBe(true)
    expect([list.low, list.high, list.number()]).toEqual([low >>> 0, high >>> 0, false])
  }
})
