/** Fields of an answer as HTTP/2 has them: names in lower case, and none that frames a message or speaks of a connection. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import { HOP_FIELDS } from '../../core/fields.ts'
import { lastOf } from '../../lib/memo.ts'
import { httpDate } from './reply-head.ts'

const DROPPED = new Set([...HOP_FIELDS, 'content-length'])

/** Throws TypeError if a field cannot be sent. */
export function lowered(pairs: RawPairs): RawPairs {
  const out: string[] = []
  for (let i = 0; i < pairs.length; i += 2) {
    const name = nameOf(pairs[i] as string)
    const value = pairs[i + 1] as string
    if (!isFieldValue(value))
      throw new TypeError(`field ${JSON.stringify(name)} has a character that HTTP does not allow`)
    if (!DROPPED.has(name)) out.push(name, value)
  }
  return out
}

/**
 * The fields of a head from `:status` on, Date among them. `length`: of the body; left out where it is not known, or where the
 * status has none. `pairs`: lowered already.
 */
export function headFields(
  status: number,
  pairs: RawPairs,
  { length, now }: { length?: number | undefined; now: number },
): string[] {
  const fields = [':status', String(status), ...pairs]
  if (!hasField(pairs, 'date')) fields.push('date', httpDate(now))
  if (length !== undefined && !hasNoBody(status)) fields.push('content-length', String(length))
  return fields
}

/** `pairs`: lowered. */
export function hasField(pairs: RawPairs, name: string): boolean {
  for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) return true
  return false
}

/** These answers have no body, and so no length (RFC 9110, sections 15.3.5 and 15.4.5). */
export function hasNoBody(status: number): boolean {
  return status === 204 || status === 304
}

const nameOf = lastOf((name: string): string => {
  if (!isFieldName(name))
    throw new TypeError(`field ${JSON.stringify(name)} has a character that HTTP does not allow`)
  return name.toLowerCase()
})
