/** The version an answer of the Open Inference Protocol says it is of. */
import { Cursor } from '../json/scan.ts'
import { canonicalString } from '../json/string.ts'

/**
 * `model_version` of an answer of the Open Inference Protocol, of the bytes that are JSON; undefined where there is
 * none, or it is empty.
 */
export function statedVersion(json: Uint8Array): string | undefined {
  const cursor = new Cursor(json)
  let stated: string | undefined
  const isRead = cursor.members((key) => {
    const value = cursor.value()
    if (key !== 'model_version' || !value) return value !== undefined
    const text = json.subarray(value.start, value.end)
    // Some servers print it as a number.
    stated =
      text[0] === 0x22
        ? canonicalString(text.subarray(1, -1)).toString()
        : Buffer.from(text).toString('latin1')
    return true
  })
  return isRead && stated !== 'null' ? stated || undefined : undefined
}
