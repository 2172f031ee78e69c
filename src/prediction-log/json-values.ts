/** Reads JSON without losing what JavaScript's numbers cannot say: integers beyond 2^53, and `1.0` beside `1`. */
import { Spelled } from './tensor.ts'

/** Whether a text has a number that needs its spelling: long digits, a fraction of zeros, an exponent. */
const NEEDS_SPELLING = /\d{16}|\.0+(?!\d)|\d[eE]/

type WithSource = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/** Throws a SyntaxError where the text is not JSON; `NaN` and `Infinity`, which some servers write, are not. */
export function parseJson(text: string): unknown {
  if (!NEEDS_SPELLING.test(text)) return JSON.parse(text)
  // TypeScript does not know the third argument yet.
  return JSON.parse(text, spelled as (key: string, value: unknown) => unknown)
}

const spelled: WithSource = (_key, value, { source }) => {
  if (typeof value !== 'number' || source === undefined || !Number.isInteger(value)) return value
  if (/[.eE]/.test(source)) return new Spelled(value)
  return Number.isSafeInteger(value) ? value : BigInt(source)
}
