/** Reads the model version that an answer of the Open Inference Protocol states. */
import { Cursor } from '../json/scan.ts'
import { canonicalString } from '../json/string.ts'

/**
 * The `model_version` in the JSON part of an answer; undefined if there is none, or if it is empty.
 */
export function statedVersion(json: Uint8Array): string | undefined {
  const cursor = new Cursor(json)
  let stated: string | undefined
  const isRead = cursor.members((key) => {
    const value = cursor.value()
    if (key !== 'model_version' || !value) return value !== undefined
    const text = json.subarray(value.start, value.end)
    // Some servers write it as a number.
    stated =
      text[0] === 0x22
        ? canonicalString(text.subarray(1, -1)).toString()
        : Buffer.from(text).toString('latin1')
    return true
  })
  return isRead && stated !== 'null' ? stated || undefined : undefined
}
