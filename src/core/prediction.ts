/**
 * One line of the prediction log: a call and its answer, as the data plane hands them to the thread that writes the log. Several
 * records travel in one buffer, each behind the lengths of its three parts.
 */
import type { RawPairs, WholeBody } from './call.ts'
import { Chunks } from './chunks.ts'
import type { RowCounts } from './row-counts.ts'

/** All of a record but the two bodies. */
export interface PredictionHead {
  /** When the answer was complete, in ISO 8601. */
  readonly time: string
  readonly requestId?: string | undefined
  readonly route: string
  readonly protocol: string
  /** `Target.verb`. */
  readonly verb: string
  readonly model?: string | undefined
  readonly version?: string | undefined
  readonly method: string
  readonly path: string
  readonly query: string
  /** The digest of the caller's credentials; the empty string is the anonymous caller. */
  readonly principal: string
  /** The request fields that decide the answer, without credentials. */
  readonly headers: RawPairs
  readonly status: number
  readonly answerHeaders: RawPairs
  /** `Outcome.kind`. */
  readonly cache: string
  /** The tier that a hit came from. */
  readonly tier?: string | undefined
  /** How the rows of a batch were answered. */
  readonly rows?: RowCounts | undefined
}

export interface Prediction {
  readonly head: PredictionHead
  readonly request: Uint8Array
  readonly answer: Uint8Array
}

/** Bytes before each record: the lengths of head, request and answer. */
const PREFIX_BYTES = 12

export function packedBytes(head: Uint8Array, request: WholeBody, answer: WholeBody): number {
  return PREFIX_BYTES + head.length + request.length + answer.length
}

/** Writes a record at `at`, which must have room for it, and returns where it ends. */
export function packPrediction(
  into: Buffer,
  start: number,
  [head, request, answer]: readonly [head: Uint8Array, request: WholeBody, answer: WholeBody],
): number {
  into.writeUInt32LE(head.length, start)
  into.writeUInt32LE(request.length, start + 4)
  into.writeUInt32LE(answer.length, start + 8)
  let at = start + PREFIX_BYTES
  for (const part of [head, request, answer])
    for (const piece of part instanceof Chunks ? part.pieces() : [part]) {
      into.set(piece, at)
      at += piece.length
    }
  return at
}

/** The records of a buffer, as views. */
export function* unpackPredictions(batch: Uint8Array): Generator<Prediction, void> {
  const bytes = Buffer.from(batch.buffer, batch.byteOffset, batch.length)
  for (let at = 0; at < bytes.length; ) {
    const head = at + PREFIX_BYTES
    const request = head + bytes.readUInt32LE(at)
    const answer = request + bytes.readUInt32LE(at + 4)
    const end = answer + bytes.readUInt32LE(at + 8)
    yield {
      head: JSON.parse(bytes.toString('utf8', head, request)) as PredictionHead,
      request: bytes.subarray(request, answer),
      answer: bytes.subarray(answer, end),
    }
    at = end
  }
}
