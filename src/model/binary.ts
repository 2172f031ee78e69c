/**
 * Tensors as bytes, as Triton's binary tensor data extension lays them out: row-major, little-endian, no padding,
 * BOOL one byte, each BYTES element after its length as a uint32.
 */
import { endianness } from 'node:os'
import { ModelError } from './error.ts'
import { makeData, sizeOf, type Tensor, type TensorData, type TensorSpec } from './runtime.ts'
import { checkShape, readUtf8 } from './tensors.ts'

/** Copies, because `bytes` may be unaligned. Throws a 400 unless they are exactly the tensor. */
export function readBinary(spec: TensorSpec, shape: readonly number[], bytes: Buffer): Tensor {
  checkShape(spec, shape)
  const size = sizeOf(shape)
  if (spec.datatype === 'BYTES') return { datatype: 'BYTES', shape, data: readStrings(spec, size, bytes) }
  const width = (makeData(spec.datatype, 0) as Uint8Array).BYTES_PER_ELEMENT
  if (bytes.length !== size * width) {
    const mismatch = `${bytes.length} bytes for ${spec.datatype} [${shape.join(', ')}], which takes ${size * width}`
    throw new ModelError(400, `input "${spec.name}": ${mismatch}`)
  }
  const data = makeData(spec.datatype, size) as Uint8Array
  const view = Buffer.from(data.buffer)
  bytes.copy(view)
  swap(view, width)
  return { datatype: spec.datatype, shape, data }
}

function readStrings(spec: TensorSpec, size: number, bytes: Buffer): TensorData {
  const strings: string[] = []
  let at = 0
  while (at + 4 <= bytes.length && strings.length < size) {
    const end = at + 4 + bytes.readUInt32LE(at)
    if (end > bytes.length) break
    strings.push(readUtf8(bytes.subarray(at + 4, end)))
    at = end
  }
  if (strings.length !== size || at !== bytes.length) {
    throw new ModelError(
      400,
      `input "${spec.name}": the binary data are not ${size} length-prefixed elements`,
    )
  }
  return strings
}

export function writeBinary({ data }: Tensor): Buffer {
  if (!Array.isArray(data)) {
    const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    return endianness() === 'LE' ? view : swap(Buffer.from(view), data.BYTES_PER_ELEMENT)
  }
  const parts: Buffer[] = []
  for (const text of data) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(Buffer.byteLength(text))
    parts.push(length, Buffer.from(text))
  }
  return Buffer.concat(parts)
}

function swap(bytes: Buffer, width: number): Buffer {
  if (endianness() === 'LE' || width === 1) return bytes
  if (width === 2) return bytes.swap16()
  return width === 4 ? bytes.swap32() : bytes.swap64()
}
