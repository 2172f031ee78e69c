/** The tokens that an answer says it took. */
import type { TokenCounts } from '../../../core/reply.ts'
import { COLON } from '../../json/bytes.ts'
import { Cursor } from '../../json/scan.ts'
import { parseExact } from './exact-json.ts'

const USAGE = Buffer.from('"usage"')

/**
 * Of a whole answer in either form: its last `usage` that says something is found, and read. What is within a string does not look
 * like one, since its quotes are escaped.
 */
export function tokensIn(body: Uint8Array): TokenCounts | undefined {
  return usageIn(body)?.tokens
}

/** The same, and the index at which it begins. */
export function usageIn(body: Uint8Array): { readonly tokens: TokenCounts; readonly at: number } | undefined {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  let at = bytes.lastIndexOf(USAGE)
  for (let tried = 0; at >= 0 && tried < MAX_TRIED; tried++) {
    const tokens = tokensAt(bytes.subarray(at + USAGE.length, at + USAGE_BYTES))
    if (tokens) return { tokens, at }
    at = at === 0 ? -1 : bytes.lastIndexOf(USAGE, at - 1)
  }
  return undefined
}

/** Callers may have members of this name repeated to them, one within the other: each of them would be read up to its end. */
const MAX_TRIED = 64

/** The longest usage that is read. */
export const USAGE_BYTES = 4096

/** Of the value behind the name. */
function tokensAt(bytes: Buffer): TokenCounts | undefined {
  const cursor = new Cursor(bytes)
  if (cursor.peek() !== COLON) return undefined
  cursor.pos++
  const value = cursor.value()
  return value && tokensOf({ usage: parseExact(bytes.toString('utf8', value.start, value.end)) })
}

/** Of an object with a `usage`, in the words of a chat or of a response; undefined: it does not say. */
export function tokensOf(answer: unknown): TokenCounts | undefined {
  const usage = (answer as { usage?: Readonly<Record<string, unknown>> } | null | undefined)?.usage
  const output = usage?.['completion_tokens'] ?? usage?.['output_tokens'] ?? 0
  const input =
    usage?.['prompt_tokens'] ?? usage?.['input_tokens'] ?? besides(output, usage?.['total_tokens'])
  return isCount(input) && isCount(output) ? { input, output } : undefined
}

/** Of servers that only say the sum, as rankers do. */
function besides(output: unknown, total: unknown): unknown {
  return isCount(total) && isCount(output) && total >= output ? total - output : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
