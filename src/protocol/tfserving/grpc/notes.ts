/** What is known of a call over gRPC when its rows are joined, or its answer is checked and cut. */
import { PREFIX_BYTES, withPrefix } from '../../grpc/message.ts'
import type { MessageWriter } from '../../protobuf/writer.ts'
import type { Joined } from '../../protocol.ts'

export interface ServingNotes {
  readonly verb: 'predict' | 'classify' | 'regress' | 'multi-inference'
  /** The outputs that a Predict asks for, sorted; empty: all. */
  readonly filter?: readonly string[]
  /** How many results an answer has: examples, or tasks of a MultiInference; undefined: unknown. */
  readonly count?: number
  /** The call says by which coding its message is compressed. */
  readonly isEncoded: boolean
}

const IDENTITY = ['grpc-encoding', 'identity']

/** A request made of rows, which is never compressed. */
export function joined(message: MessageWriter, { isEncoded }: ServingNotes): Joined {
  return { headers: isEncoded ? IDENTITY : [], body: withPrefix(message.join(PREFIX_BYTES)) }
}
