/** The tokens that an answer says it took. */
import type { TokenCounts } from '../../protocol.ts'

/** Of an object with a `usage`, in the words of a chat or of a response; undefined: it does not say. */
export function tokensOf(answer: unknown): TokenCounts | undefined {
  const usage = (answer as { usage?: Readonly<Record<string, unknown>> } | null | undefined)?.usage
  const input = usage?.['prompt_tokens'] ?? usage?.['input_tokens']
  const output = usage?.['completion_tokens'] ?? usage?.['output_tokens'] ?? 0
  return isCount(input) && isCount(output) ? { input, output } : undefined
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
