/**
 * What a header field may be made of (RFC 9110, section 5). A name or value with a line break or another control in it would
 * end its line early and smuggle in fields, or a whole message, of its own: whatever writes or reads fields asks here.
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
