/** Fields of an answer as HTTP/2 has them: names in lower case, and none that frames a message or speaks of a connection. */
import type { RawPairs } from '../../core/call.ts'
import { isFieldName, isFieldValue } from '../../core/field-syntax.ts'
import { HOP_FIELDS } from '../../core/fields.ts'
import type { Fields } from '../../core/reply.ts'
import { lastOf } from '../../lib/memo.ts'

const DROPPED = new Set([...HOP_FIELDS, 'content-length'])

/** The fields of a head from `:status` on; `length`: of the body, where it is known and the status allows one. */
export function loweredFields(status: number, pairs: RawPairs, length: number | undefined): RawPairs {
  const framing = length === undefined || hasNoBody(status) ? [] : ['content-length', String(length)]
  return [':status', String(status), ...lowered(pairs), ...framing]
}

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

/** The same for a list that many answers share. */
export function sharedLowered(fields: Fields): RawPairs {
  fields.lowered ??= lowered(fields.pairs)
  return fields.lowered
}

export function hasNoBody(status: number): boolean {
  return status === 204 || status === 304
}

const nameOf = lastOf((name: string): string => {
  if (!isFieldName(name))
    throw new TypeError(`field ${JSON.stringify(name)} has a character that HTTP does not allow`)
  return name.toLowerCase()
})
