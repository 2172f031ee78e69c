/**
 * Which of several answers to one URL a request gets (RFC 9111, section 4.1): the values of the request's fields that Vary
 * names are a second key, beside the first.
 */
import { headerAll, type RawPairs } from '../../core/call.ts'

/** More fields than that are not a choice between answers any more. */
const MAX_NAMES = 16
const NONE: readonly string[] = []

/** Request fields that chose this answer, lower case; undefined: nobody can tell (`*`), and it answers nobody else. */
export function selectingFields(headers: RawPairs): readonly string[] | undefined {
  const values = headerAll(headers, 'vary')
  // A coding is chosen by Accept-Encoding, also by a server that forgets to say so.
  const isCoded = headerAll(headers, 'content-encoding').length > 0
  // What is allowed to the pages of one origin was chosen by Origin.
  const isOfOrigin = headerAll(headers, 'access-control-allow-origin').some((value) => value !== '*')
  if (values.length === 0 && !isCoded && !isOfOrigin) return NONE
  const names = values.flatMap((value) => value.split(',')).map((name) => name.trim().toLowerCase())
  if (isCoded) names.push('accept-encoding')
  if (isOfOrigin) names.push('origin')
  return names.includes('*') ? undefined : united(NONE, names)
}

/** Both lists as one in order; undefined where they are too many. */
export function united(known: readonly string[], more: readonly string[]): readonly string[] | undefined {
  const names = new Set([...known, ...more])
  names.delete('')
  return names.size > MAX_NAMES ? undefined : [...names].sort()
}

/** What a request says in these fields, as far as it matters: lists in one line, without space around their commas. */
export function selection(names: readonly string[], headers: RawPairs): readonly string[] {
  return names.map((name) => {
    const values = headerAll(headers, name)
    // A field that is not there is not an empty one.
    return values.length === 0 ? '-' : `+${normalised(values.join(','))}`
  })
}

function normalised(value: string): string {
  // Within a quoted string space counts.
  if (value.includes('"')) return value
  return value
    .split(',')
    .map((member) => member.trim())
    .join(',')
}
