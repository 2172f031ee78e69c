/**
 * Patterns for the names and values of header fields (RFC 9110, section 5). A line break or another control character
 * in a name or value would end the line early and could inject fields or a whole message, so all code that reads or
 * writes fields uses these patterns.
 */

/** A name, as part of a pattern. */
export const TOKEN = String.raw`[!#$%&'*+\-.^_${'`'}|~\w]+`
/** A value, as part of a pattern: visible characters, spaces and tabs between them, and bytes beyond ASCII. */
export const TEXT = String.raw`[\t\x20-\x7e\x80-\xff]*`

const NAME = new RegExp(`^${TOKEN}$`)
const VALUE = new RegExp(`^${TEXT}$`)

export function isFieldName(name: string): boolean {
  return NAME.test(name)
}

export function isFieldValue(value: string): boolean {
  return VALUE.test(value)
}

const TARGET = /^\/[!-~]*$/

/** Whether it is a path with query: what a request line or `:path` may hold (RFC 9112, section 3.2.1). */
export function isRequestTarget(target: string): boolean {
  return TARGET.test(target)
}
