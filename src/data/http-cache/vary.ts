/**
 * Selects between the answers to one URL (RFC 9111, section 4.1): the values of the request fields that Vary names are a
 * secondary key.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'

/** With more fields than this Vary no longer selects between answers. */
const MAX_NAMES = 16
const NONE: readonly string[] = []

/** The request fields that selected this answer, lower case; undefined: unknown (`*`), and it answers no other request. */
export function selectingFields(headers: RawPairs): readonly string[] | undefined {
  const values = headerAll(headers, 'vary')
  // Accept-Encoding selects a coding, even if the server forgets to say so.
  const isCoded = headerAll(headers, 'content-encoding').length > 0
  // Origin selected what is allowed to the pages of one origin.
  const isOfOrigin = headerAll(headers, 'access-control-allow-origin').some((value) => value !== '*')
  if (values.length === 0 && !isCoded && !isOfOrigin) return NONE
  const names = values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase())
  if (isCoded) names.push('accept-encoding')
  if (isOfOrigin) names.push('origin')
  return names.includes('*') ? undefined : united(NONE, names)
}

/** The union of both lists, in order; undefined where it is too long. */
export function united(known: readonly string[], more: readonly string[]): readonly string[] | undefined {
  const names = new Set([...known, ...more])
  names.delete('')
  return names.size > MAX_NAMES ? undefined : [...names].sort()
}

/** The values of these fields in a request, normalised: lists in one line, without space around their commas. */
export function selection(names: readonly string[], headers: RawPairs): readonly string[] {
  return names.map((name) => {
    const values = headerAll(headers, name)
    // A missing field is not an empty one.
    return values.length === 0 ? '-' : `+${normalised(values.join(','))}`
  })
}

function normalised(value: string): string {
  // Space counts within a quoted string.
  if (value.includes('"')) return value
  return value
    .split(',')
    .map((member) => member.trim())
    .join(',')
}
