import type { Prediction } from '../core/prediction.ts'

/** A format of the log's files. */
export interface Encoder {
  /** The record as it stands in a file; undefined: the format cannot say it. */
  encode(prediction: Prediction): Uint8Array | undefined
  /** The length of the whole records at the beginning of a file, which a crash may have left with part of one at its end. */
  wholeBytes(file: AsyncIterable<Uint8Array>): Promise<number>
}
