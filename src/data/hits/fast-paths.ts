/** The fast paths of a request whose body has arrived, in the order in which they are asked. */
import type { AnswerWriter, Repeated } from './fast-answer.ts'
import type { FastRefusal } from './fast-refusal.ts'
import type { HitSource, MemoryHit } from './memory-hit.ts'

export interface FastPaths {
  readonly memoryHit: MemoryHit
  readonly fastRefusal: FastRefusal
}

/** The source of the hit that answers the request; true: it is refused; false: nothing was done. `body`: in pieces. */
export function answerFast(
  { memoryHit, fastRefusal }: FastPaths,
  head: Repeated,
  body: readonly Uint8Array[],
  writer: AnswerWriter,
): HitSource | boolean {
  return memoryHit.answer(head, body, writer) ?? fastRefusal.answer(head, writer)
}
