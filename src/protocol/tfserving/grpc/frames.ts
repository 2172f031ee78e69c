/** The frames of rows over gRPC: packed lists that begin with a tag of three bytes, which no frame of the REST form does. */
import { unpack } from '../../packed.ts'
import type { RowAnswer } from '../../protocol.ts'

export const PREDICT_FRAME = Buffer.from('tfp')
export const CLASSIFY_FRAME = Buffer.from('tfc')
export const REGRESS_FRAME = Buffer.from('tfr')

export function isGrpcFrame(frame: Uint8Array): boolean {
  return frame[0] === PREDICT_FRAME.length
}

/** What follows the tag, if it is this one; a frame may come from a shared cache. */
export function partsOf(frame: Uint8Array, tag: Uint8Array): Uint8Array[] | undefined {
  const [first, ...parts] = unpack(frame) ?? []
  return first && Buffer.compare(first, tag) === 0 ? parts : undefined
}

/** The frame of all answers, if it is one. */
export function commonFrameOf(
  answers: readonly RowAnswer[],
  isSame: (a: Uint8Array, b: Uint8Array) => boolean,
): Uint8Array | undefined {
  const frame = answers[0]?.frame
  return frame && answers.every((answer) => answer.frame === frame || isSame(answer.frame, frame))
    ? frame
    : undefined
}
