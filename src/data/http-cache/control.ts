/**
 * Parses Cache-Control and fields of its form (RFC 9111, section 5.2): a list of directives, some with a value that may be
 * quoted. The content of a quoted string is no directive, even if it looks like one.
 */

/** Names in lower case; undefined: no value. The first of a repeated directive counts (RFC 9111, section 4.2.1). */
export type Control = ReadonlyMap<string, string | undefined>

export function parseControl(values: readonly string[]): Control {
  const found = new Map<string, string | undefined>()
  for (const part of partsOf(values.join(','))) {
    const equals = part.indexOf('=')
    const name = (equals < 0 ? part : part.slice(0, equals)).trim().toLowerCase()
    if (name === '' || found.has(name)) continue
    found.set(name, equals < 0 ? undefined : unquoted(part.slice(equals + 1).trim()))
  }
  return found
}

/** Splits at commas that are not quoted. Some servers write a semicolon for a comma. */
function partsOf(text: string): readonly string[] {
  if (!text.includes('"')) return text.split(/[,;]/)
  const parts: string[] = []
  let start = 0
  let hasQuotes = true
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '"' && hasQuotes) {
      const end = endOfString(text, at)
      // A quote that is never closed opens no string, so that it hides no directive.
      if (end < 0) hasQuotes = false
      else at = end
    } else if (char === ',' || char === ';') {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  return [...parts, text.slice(start)]
}

/** Where the quoted string that begins here ends, or -1. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '"') return at
    if (text[at] === '\\') at++
  }
  return -1
}

function unquoted(value: string): string {
  const isQuoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"')
  return isQuoted ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value
}

/** A cap on seconds (RFC 9111, section 1.2.2). */
const MAX_SECONDS = 2 ** 31

/** A delta-seconds directive in milliseconds; undefined where it is absent; 0, the strictest, where it has no number. */
export function deltaMs(control: Control, name: string): number | undefined {
  if (!control.has(name)) return undefined
  return secondsMs(control.get(name) ?? '') ?? 0
}

/** Delta-seconds in milliseconds; undefined: the text is no number. */
export function secondsMs(text: string): number | undefined {
  return /^\d+$/.test(text) ? Math.min(Number(text), MAX_SECONDS) * 1000 : undefined
}
