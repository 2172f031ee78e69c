/** What a kind of call has of its own: how its body is read, and how its answers are kept, cut and given. */
import type { Call } from '../../core/call.ts'
import type { Chunks } from '../../core/chunks.ts'
import type { Reply } from '../../core/reply.ts'
import type {
  AnswerOrigin,
  AnswerPreferences,
  Plan,
  Protocol,
  Reading,
  ReadOptions,
  Rows,
} from '../protocol.ts'

/** The methods are those of `Protocol`, for one operation. */
export interface ApiOperation extends Pick<Protocol, 'storable' | 'shows'> {
  read(call: Call, body: Uint8Array, options: ReadOptions): Reading
  readChunks(call: Call, body: Chunks, options: ReadOptions): Generator<void, Reading>
  /** Left out: an answer has nothing of its caller in it. */
  address?(reply: Reply, call: AnswerPreferences, plan?: Plan, origin?: AnswerOrigin): Reply | undefined
  /** Left out: its calls are answered as wholes. */
  readonly rows?: OperationRows
}

export type OperationRows = Omit<Rows, 'agree'>

/** `Plan.common` of this dialect, to which an operation adds notes of its own. */
export interface OpenaiNotes {
  readonly operation: ApiOperation
}

export function operationOf({ common }: Pick<Plan, 'common'>): ApiOperation {
  return (common as OpenaiNotes).operation
}

/** Calls that are passed on, for this reason. */
export function passedOn(bypass: string): ApiOperation {
  return {
    read: () => ({ bypass }),
    *readChunks() {
      yield
      return { bypass }
    },
  }
}
