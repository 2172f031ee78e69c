/** Compares answers of OpenAI's API: without what is new in each (ids, times, what it has cost), and vectors by value in either form. */
import { blobDifference, textDifference } from '../agree.ts'
import type { ComparedReply, Difference } from '../difference.ts'
import { compareJson } from '../json/compare.ts'

const IGNORED = new Set([
  'created',
  'created_at',
  'id',
  'model',
  'service_tier',
  'system_fingerprint',
  'timings',
  'usage',
])

export function compareAnswers(a: ComparedReply, b: ComparedReply): Generator<void, Difference | undefined> {
  return compareJson(a.body, b.body, { ignored: IGNORED, rows: itemDifference })
}

/** A vector in base64, in an item. */
const ENCODED = /"embedding"\s*:\s*"([A-Za-z0-9+/]+={0,2})"/

function itemDifference(a: Uint8Array, b: Uint8Array): Difference | undefined {
  const [one, other] = [vectorIn(a), vectorIn(b)]
  if (!one || !other) return textDifference(a, b)
  return textDifference(one.rest, other.rest) ?? blobDifference(one.vector, other.vector, 'FP32')
}

function vectorIn(item: Uint8Array): { readonly vector: Buffer; readonly rest: Buffer } | undefined {
  const text = Buffer.from(item).toString('latin1')
  const found = ENCODED.exec(text)
  if (!found) return undefined
  const vector = Buffer.from(found[1] as string, 'base64')
  return vector.length % 4 === 0
    ? { vector, rest: Buffer.from(text.replace(ENCODED, '"embedding":""'), 'latin1') }
    : undefined
}
