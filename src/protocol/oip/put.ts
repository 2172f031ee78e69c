/** Writes elements of a tensor from their JSON lexemes as little-endian values, with one function for each datatype. */
import type { Stretch } from '../json/span.ts'
import { SIMPLE_ESCAPE, unicodeEscape } from '../json/string.ts'
import { bigInteger, parseFloat64, parseFloats, quickFloat, smallInteger } from './number.ts'

/** Writes one element's value at `at`; returns the index behind it, or -1 if the lexeme does not fit the datatype. */
export type Put = (from: number, end: number, at: number) => number

const INTEGERS: ReadonlyMap<string, readonly [size: 1 | 2 | 4, low: number, high: number]> = new Map([
  ['INT8', [1, -(2 ** 7), 2 ** 7 - 1]],
  ['UINT8', [1, 0, 2 ** 8 - 1]],
  ['INT16', [2, -(2 ** 15), 2 ** 15 - 1]],
  ['UINT16', [2, 0, 2 ** 16 - 1]],
  ['INT32', [4, -(2 ** 31), 2 ** 31 - 1]],
  ['UINT32', [4, 0, 2 ** 32 - 1]],
])

export interface Sink {
  readonly out: Buffer
  /** Place and number of all elements, if the whole array is in memory. */
  readonly all?: { readonly span: Stretch; readonly count: number }
}

export function putter(bytes: Uint8Array, datatype: string, sink: Sink): Put | undefined {
  const { out } = sink
  const integer = INTEGERS.get(datatype)
  if (integer) return putInteger(bytes, out, integer)
  switch (datatype) {
    case 'FP32':
    case 'FP64':
      return putFloat(bytes, sink, datatype === 'FP32' ? 4 : 8)
    case 'INT64':
      return putLong(bytes, out, { low: -(2n ** 63n), high: 2n ** 63n - 1n })
    case 'UINT64':
      return putLong(bytes, out, { low: 0n, high: 2n ** 64n - 1n })
    case 'BOOL':
      return (from, end, at) => {
        const isTrue = end - from === 4 && bytes[from] === 0x74
        if (!isTrue && (end - from !== 5 || bytes[from] !== 0x66)) return -1
        out[at] = isTrue ? 1 : 0
        return at + 1
      }
    case 'BYTES':
      return putText(bytes, out)
    default:
      return undefined
  }
}

/**
 * Writes floats in the precision of their tensor. Most clients print an FP32 with the 17 digits of a double. At the first such
 * number the whole array is parsed at once, if it is in memory, at a tenth of the cost of parsing one by one.
 */
function putFloat(bytes: Uint8Array, { out, all }: Sink, size: 4 | 8): Put {
  const view = new DataView(out.buffer, out.byteOffset, out.length)
  let parsed: Float64Array | undefined
  return (from, end, at) => {
    let value = parsed?.[at / size]
    // The sign of a zero is only in its lexeme.
    if (!value) value = quickFloat(bytes, from, end)
    if (value !== undefined && Number.isNaN(value)) {
      if (all) parsed ??= parseFloats(bytes.subarray(all.span.start, all.span.end), all.count)
      value = all ? parsed?.[at / size] : parseFloat64(bytes, from, end)
    }
    if (value === undefined || !Number.isFinite(size === 4 ? Math.fround(value) : value)) return -1
    if (size === 4) view.setFloat32(at, value, true)
    else view.setFloat64(at, value, true)
    return at + size
  }
}

function putInteger(bytes: Uint8Array, out: Buffer, kind: readonly [1 | 2 | 4, number, number]): Put {
  const [size, low, high] = kind
  return (from, end, at) => {
    const value = smallInteger(bytes, from, end)
    if (value === undefined || value < low || value > high) return -1
    for (let i = 0; i < size; i++) out[at + i] = value >> (8 * i)
    return at + size
  }
}

function putLong(
  bytes: Uint8Array,
  out: Buffer,
  range: { readonly low: bigint; readonly high: bigint },
): Put {
  return (from, end, at) => {
    const small = smallInteger(bytes, from, end)
    if (small !== undefined) {
      if (small < 0 && range.low === 0n) return -1
      out.writeUInt32LE(small >>> 0, at)
      return out.writeInt32LE(Math.floor(small / 2 ** 32), at + 4)
    }
    const value = bigInteger(bytes, from, end)
    if (value === undefined || value < range.low || value > range.high) return -1
    return out.writeBigUInt64LE(BigInt.asUintN(64, value), at)
  }
}

/** Writes strings, each as four bytes of length and its UTF-8. */
function putText(bytes: Uint8Array, out: Buffer): Put {
  return (from, end, at) => {
    if (bytes[from] !== 0x22) return -1
    let o = at + 4
    for (let i = from + 1; i < end - 1; ) {
      const c = bytes[i] as number
      const letter = bytes[i + 1] as number
      if (c !== 0x5c) {
        out[o++] = c
        i++
      } else if (SIMPLE_ESCAPE[letter]) {
        out[o++] = SHORT_ESCAPES.get(letter) ?? letter
        i += 2
      } else {
        const code = unicodeEscape(bytes, i, end)
        i += code > 0xffff ? 12 : 6
        o += out.write(String.fromCodePoint(code), o, 'utf8')
      }
    }
    out.writeUInt32LE(o - at - 4, at)
    return o
  }
}

const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map(
  Array.from('bfnrt').map((letter, i) => [letter.charCodeAt(0), [8, 12, 10, 13, 9][i] as number]),
)
