/** Lists of varints, as `repeated` numbers are written, to and from little-endian values of one, two, four or eight bytes. */
import { MalformedProtobuf } from './reader.ts'
import { putVarint } from './writer.ts'

/** A varint has 64 bits, seven in each byte. */
const LAST_SHIFT = 63
const MOST_BYTES = 10

/** The values, of the lower bytes of each number, as C++ narrows them; `isBool`: 1 for any number but 0. */
export function decodeVarints(packed: Uint8Array, size: number, isBool = false): Buffer {
  const count = varintCount(packed)
  const values = valueArray(count, size)
  if (count === packed.length && size < 8 && !isBool) {
    // Each number is a byte of its own.
    values.set(packed)
    return Buffer.from(values.buffer)
  }
  const step = size === 8 ? 2 : 1
  let at = 0
  let low = 0
  let high = 0
  let shift = 0
  for (let i = 0; i < packed.length; i++) {
    const byte = packed[i] as number
    // Most numbers are small.
    if (byte < 0x80 && shift === 0) {
      values[at] = isBool && byte > 1 ? 1 : byte
      at += step
      continue
    }
    const bits = byte & 0x7f
    if (shift < 28) low |= bits << shift
    else if (shift === 28) {
      low |= bits << 28
      high = bits >>> 4
    } else high |= bits << (shift - 32)
    if (byte > 0x7f) {
      shift += 7
      if (shift > LAST_SHIFT) throw new MalformedProtobuf('a number is longer than ten bytes')
      continue
    }
    // An array keeps as many of the lower bits as fit its elements.
    values[at] = isBool ? Number((low | high) !== 0) : low
    if (step > 1) values[at + 1] = high
    at += step
    low = high = shift = 0
  }
  if (shift > 0) throw new MalformedProtobuf('a number does not end')
  return Buffer.from(values.buffer)
}

/** Every platform that Node runs on is little-endian. */
function valueArray(
  count: number,
  size: number,
): Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Uint32Array<ArrayBuffer> {
  if (size === 1) return new Uint8Array(count)
  if (size === 2) return new Uint16Array(count)
  return new Uint32Array((count * size) / 4)
}

/** How many numbers there are: each ends with a byte without the highest bit. */
export function varintCount(packed: Uint8Array): number {
  let count = 0
  for (let i = 0; i < packed.length; i++) if ((packed[i] as number) < 0x80) count++
  return count
}

/** The end of the last number that is complete. */
export function lastVarintEnd(packed: Uint8Array): number {
  let end = packed.length
  while (end > 0 && (packed[end - 1] as number) > 0x7f) end--
  return end
}

/** The opposite of `decodeVarints`; negative numbers have ten bytes, as in C++. */
export function encodeVarints(values: Uint8Array, size: number, isSigned: boolean): Buffer {
  const view = new DataView(values.buffer, values.byteOffset, values.length)
  const packed = Buffer.allocUnsafe((values.length / size) * (isSigned || size === 8 ? MOST_BYTES : 5))
  let end = 0
  for (let at = 0; at < values.length; at += size) {
    const low = lowOf(view, at, size, isSigned)
    const high = size === 8 ? view.getInt32(at + 4, true) : isSigned && low < 0 ? -1 : 0
    end = putVarint(packed, end, low, high)
  }
  return packed.subarray(0, end)
}

function lowOf(view: DataView, at: number, size: number, isSigned: boolean): number {
  if (size === 1) return isSigned ? view.getInt8(at) : view.getUint8(at)
  if (size === 2) return isSigned ? view.getInt16(at, true) : view.getUint16(at, true)
  return view.getInt32(at, true)
}
