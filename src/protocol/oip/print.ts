/**
 * Prints binary tensors as JSON `data`, exactly: floats in the shortest form that reads back as the same value, FP32
 * widened to a double first, as Triton prints it. The result is undefined if JSON cannot write a value.
 */
import { isUtf8 } from 'node:buffer'
import { ELEMENT_BYTES, textOffsets } from './tensor.ts'

type Print = (view: DataView, at: number) => string | undefined

const PRINTERS: ReadonlyMap<string, Print> = new Map<string, Print>([
  ['BOOL', (view, at) => [`false`, `true`][view.getUint8(at)]],
  ['INT8', (view, at) => String(view.getInt8(at))],
  ['UINT8', (view, at) => String(view.getUint8(at))],
  ['INT16', (view, at) => String(view.getInt16(at, true))],
  ['UINT16', (view, at) => String(view.getUint16(at, true))],
  ['INT32', (view, at) => String(view.getInt32(at, true))],
  ['UINT32', (view, at) => String(view.getUint32(at, true))],
  ['INT64', (view, at) => String(view.getBigInt64(at, true))],
  ['UINT64', (view, at) => String(view.getBigUint64(at, true))],
  ['FP32', (view, at) => printFloat(view.getFloat32(at, true))],
  ['FP64', (view, at) => printFloat(view.getFloat64(at, true))],
])

/** Prints a point even in a whole number, since clients would read `1` as an integer. */
function printFloat(value: number): string | undefined {
  if (!Number.isFinite(value)) return undefined
  if (Object.is(value, -0)) return '-0.0'
  const text = String(value)
  return Number.isInteger(value) && !text.includes('e') ? `${text}.0` : text
}

/** The elements of a blob as JSON, separated by commas, without brackets; undefined if JSON cannot write one. */
export function printElements(blob: Uint8Array, datatype: string): string | undefined {
  if (datatype === 'BYTES') return printTexts(blob)
  const print = PRINTERS.get(datatype)
  const size = ELEMENT_BYTES.get(datatype)
  if (!print || !size || blob.length % size !== 0) return undefined
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  const texts: string[] = []
  for (let at = 0; at < blob.length; at += size) {
    const text = print(view, at)
    if (text === undefined) return undefined
    texts.push(text)
  }
  return texts.join(',')
}

function printTexts(blob: Uint8Array): string | undefined {
  const offsets = textOffsets(blob, countTexts(blob))
  if (!offsets) return undefined
  const texts: string[] = []
  for (let i = 0; i + 1 < offsets.length; i++) {
    const inside = blob.subarray((offsets[i] as number) + 4, offsets[i + 1])
    if (!isUtf8(inside)) return undefined
    texts.push(JSON.stringify(Buffer.from(inside).toString()))
  }
  return texts.join(',')
}

function countTexts(blob: Uint8Array): number {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.length)
  let count = 0
  for (let at = 0; at + 4 <= blob.length; count++) at += 4 + view.getUint32(at, true)
  return count
}
