/**
 * JSON whose numbers stay as they are written: an answer that is put into another form must not lose a digit of a log
 * probability, or the point of `1.0`.
 */

export type Json = string | number | boolean | null | RawNumber | readonly Json[] | ExactObject
export interface ExactObject {
  readonly [member: string]: Json
}
/** A number whose text is not the one that JSON.stringify would write: an object of `JSON.rawJSON`. */
interface RawNumber {
  readonly rawJSON: string
}

/** What the types of the language do not have yet (ECMAScript, `JSON.parse` source text access). */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): RawNumber
}

const exact = JSON as unknown as ExactJson

/** The object that a text is; undefined: it is something else, or no JSON. */
export function parseExact(text: string): ExactObject | undefined {
  try {
    const value = exact.parse(text, (_key, one, { source }) =>
      typeof one === 'number' && source !== undefined && String(one) !== source ? exact.rawJSON(source) : one,
    )
    return isObject(value as Json) ? (value as ExactObject) : undefined
  } catch {
    return undefined
  }
}

export function isObject(value: Json | undefined): value is ExactObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !('rawJSON' in value)
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

/** Whether a member is there and says something. */
export function says(value: Json | undefined): value is Exclude<Json, null> {
  return value !== undefined && value !== null
}
