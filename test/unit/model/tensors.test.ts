import { describe, expect, it } from 'vitest'
import { readBinary, writeBinary } from '../../../src/model/binary.ts'
import { readJson } from '../../../src/model/json.ts'
import type { Datatype, Tensor, TensorData } from '../../../src/model/runtime.ts'
import { readNested, readShaped, writeFlat, writeNested, writeRows } from '../../../src/model/tensors.ts'

const spec = (datatype: Datatype, shape: readonly number[] = [-1]) => ({ name: 'x', datatype, shape })
const TOKENS = { nonFinite: 'token' } as const

describe('tensors from JSON', () => {
  const wholes: readonly [Datatype, string, TensorData][] = [
    ['BOOL', '[true, false]', Uint8Array.of(1, 0)],
    ['INT8', '[-128, 127]', Int8Array.of(-128, 127)],
    ['INT16', '[-32768, 32767]', Int16Array.of(-32768, 32767)],
    ['INT32', '[-2147483648]', Int32Array.of(-2147483648)],
    [
      'INT64',
      '[9007199254740993, -9223372036854775808]',
      BigInt64Array.of(9007199254740993n, -9223372036854775808n),
    ],
    ['UINT8', '[0, 255]', Uint8Array.of(0, 255)],
    ['UINT64', '[18446744073709551615]', BigUint64Array.of(18446744073709551615n)],
    ['FP32', '[1, 1.0, 0.1, NaN]', Float32Array.of(1, 1, 0.1, Number.NaN)],
    ['FP64', '[-0.0, 9007199254740993]', Float64Array.of(-0, 9007199254740992)],
    ['BYTES', '["a", {"b64": "w6k="}]', ['a', 'é']],
  ]
  it.each(wholes)('%s takes %s', (datatype, text, wanted) => {
    expect(readNested(spec(datatype), readJson(text)).data).toEqual(wanted)
  })

  const refusals: readonly [Datatype, string, string][] = [
    ['INT32', '[1.0]', 'the decimal literal 1.0'],
    ['INT32', '[1.5]', '1.5 given where INT32'],
    ['INT8', '[128]', 'an integer from -128 to 127'],
    ['UINT64', '[-1]', '-1 given'],
    ['INT64', '[9223372036854775808]', '9223372036854775808 given'],
    ['INT64', '[NaN]', 'NaN given'],
    ['BOOL', '[1]', 'true or false'],
    ['FP32', '["1"]', 'the string "1"'],
    ['FP32', '[null]', 'null given'],
    ['FP32', '[true]', 'true given'],
    ['BYTES', '[1]', 'a string'],
    ['BYTES', '[{"b64": "/w=="}]', 'not UTF-8'],
  ]
  it.each(refusals)('%s refuses %s and says what it takes', (datatype, text, said) => {
    expect(() => readNested(spec(datatype), readJson(text))).toThrow(said)
  })

  it('names the element that is wrong', () => {
    expect(() => readNested(spec('FP32', [-1, 2]), readJson('[[1, 2], [3, "x"]]'))).toThrow(
      'input "x", element 3',
    )
  })

  it('refuses lists of different lengths, and lists where elements belong', () => {
    expect(() => readNested(spec('FP32', [-1, 2]), readJson('[[1, 2], [3]]'))).toThrow('a list of 2')
    expect(() => readNested(spec('FP32', [-1, 2]), readJson('[[1, 2], 3]'))).toThrow('a list of 2')
    expect(() => readNested(spec('FP32'), readJson('[1, [2]]'))).toThrow('a list given')
  })

  it('takes no memory on the promise of a ragged list', () => {
    const long = `[${'0,'.repeat(9_999)}0]`
    const ragged = readJson(`[${long}${',[]'.repeat(9_999)}]`)
    expect(() => readNested(spec('FP64', [-1, -1]), ragged)).toThrow('more than')
  })

  it.each([
    [0, 2 ** 27],
    [2 ** 53 - 1, 0],
    [2 ** 40, 0],
  ])('refuses [%d, %d], which is no tensor', (...shape) => {
    expect(() => readShaped(spec('FP32', [-1, -1]), shape, [])).toThrow('no dimension may be longer')
  })

  it('reads flat and nested data of a shape as the same tensor', () => {
    const [flat, nested] = ['[1, 2, 3, 4, 5, 6]', '[[1, 2, 3], [4, 5, 6]]'].map((text) =>
      readShaped(spec('INT64', [-1, 3]), [2, 3], readJson(text)),
    )
    expect(flat).toEqual(nested)
    expect(flat?.data).toEqual(BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n))
  })

  it('refuses data that do not fill the shape, and a shape the model does not take', () => {
    expect(() => readShaped(spec('FP32', [-1, 3]), [2, 3], readJson('[1, 2]'))).toThrow(
      '2 elements for shape [2, 3]',
    )
    expect(() => readShaped(spec('FP32', [-1, 3]), [2, 4], readJson('[1]'))).toThrow(
      'shape [2, 4] given, [-1, 3]',
    )
    expect(() => readShaped(spec('FP32', [-1, 3]), [2, 3], readJson('[[1, 2], [3, 4]]'))).toThrow(
      '[2, 2] given',
    )
  })
})

describe('tensors as JSON', () => {
  const fp32 = (...values: number[]): Tensor => ({
    datatype: 'FP32',
    shape: [values.length],
    data: Float32Array.from(values),
  })

  it('writes a float32 as the shortest text that reads back as it', () => {
    const text = writeFlat(
      fp32(0.1, 1, -0, 1 / 3, 16777216, 3.4028234663852886e38, 1.401298464324817e-45),
      TOKENS,
    )
    expect(text).toBe('0.1, 1.0, -0.0, 0.33333334, 16777216.0, 3.4028235e+38, 1e-45')
  })

  it('reads back every float32 it writes', () => {
    const bits = new Uint32Array(20_000)
    let state = 1
    for (let i = 0; i < bits.length; i += 1) {
      state = Math.imul(state, 1664525) + 1013904223
      bits[i] = state
    }
    const values = new Float32Array(bits.buffer).filter(Number.isFinite)
    const text = writeNested({ datatype: 'FP32', shape: [values.length], data: values }, TOKENS)
    expect(readNested(spec('FP32'), readJson(text)).data).toEqual(values)
  })

  it('writes what JSON has no number for as tokens, or as null', () => {
    const odd = fp32(Number.NaN, Infinity, -Infinity)
    expect(writeNested(odd, TOKENS)).toBe('[NaN, Infinity, -Infinity]')
    expect(writeNested(odd, { nonFinite: 'null' })).toBe('[null, null, null]')
  })

  it('writes integers, booleans and strings whole', () => {
    const big: Tensor = { datatype: 'INT64', shape: [1], data: BigInt64Array.of(-9007199254740993n) }
    expect(writeNested(big, TOKENS)).toBe('[-9007199254740993]')
    expect(writeNested({ datatype: 'BOOL', shape: [2], data: Uint8Array.of(1, 0) }, TOKENS)).toBe(
      '[true, false]',
    )
    expect(writeNested({ datatype: 'BYTES', shape: [1], data: ['"é'] }, TOKENS)).toBe('["\\"é"]')
  })

  it('nests by shape, down to scalars and empty lists', () => {
    const cube: Tensor = { datatype: 'INT8', shape: [2, 1, 2], data: Int8Array.of(1, 2, 3, 4) }
    expect(writeNested(cube, TOKENS)).toBe('[[[1, 2]], [[3, 4]]]')
    expect(writeRows(cube, TOKENS)).toEqual(['[[1, 2]]', '[[3, 4]]'])
    expect(writeNested({ datatype: 'INT8', shape: [], data: Int8Array.of(7) }, TOKENS)).toBe('7')
    expect(writeNested({ datatype: 'INT8', shape: [2, 0], data: new Int8Array(0) }, TOKENS)).toBe('[[], []]')
  })
})

describe('tensors as bytes', () => {
  const tensors: readonly Tensor[] = [
    { datatype: 'INT64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) },
    { datatype: 'FP32', shape: [2], data: Float32Array.of(0.5, Number.NaN) },
    { datatype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) },
    { datatype: 'BYTES', shape: [2], data: ['', 'é'] },
  ]
  it.each(tensors)('carries $datatype there and back, from an odd address too', (tensor) => {
    const bytes = Buffer.concat([Buffer.from('x'), writeBinary(tensor)]).subarray(1)
    expect(readBinary(spec(tensor.datatype), tensor.shape, bytes)).toEqual(tensor)
  })

  it('is little-endian, with a length before each string', () => {
    expect(writeBinary({ datatype: 'INT32', shape: [1], data: Int32Array.of(1) })).toEqual(
      Buffer.of(1, 0, 0, 0),
    )
    expect(writeBinary({ datatype: 'BYTES', shape: [1], data: ['ab'] })).toEqual(
      Buffer.of(2, 0, 0, 0, 97, 98),
    )
  })

  it('refuses bytes that are more or fewer than the shape takes', () => {
    expect(() => readBinary(spec('FP32'), [2], Buffer.alloc(9))).toThrow(
      '9 bytes for FP32 [2], which takes 8',
    )
    expect(() => readBinary(spec('BYTES'), [1], Buffer.of(9, 0, 0, 0, 97))).toThrow('length-prefixed')
    expect(() => readBinary(spec('BYTES'), [1], Buffer.of(0, 0, 0, 0, 97))).toThrow('length-prefixed')
  })
})
