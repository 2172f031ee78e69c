/** Records of the prediction log, as the data plane hands them on. */
import { type PredictionHead, packedBytes, packPrediction } from '../../src/core/prediction.ts'

export const HEAD: PredictionHead = {
  time: '2026-11-30T04:45:00.606Z',
  route: 'ranker',
  protocol: 'tfserving',
  verb: 'predict',
  model: 'ranker',
  version: '3',
  method: 'POST',
  path: '/v1/models/ranker:predict',
  query: '',
  principal: '',
  headers: [],
  status: 200,
  answerHeaders: [],
  cache: 'miss',
}

export interface Recorded {
  readonly head?: Partial<PredictionHead>
  readonly request?: string | Uint8Array
  readonly answer?: string | Uint8Array
}

export function prediction({
  head = {},
  request = '{"instances":[1]}',
  answer = '{"predictions":[2]}',
}: Recorded = {}) {
  return { head: { ...HEAD, ...head }, request: Buffer.from(request), answer: Buffer.from(answer) }
}

/** A batch of these records. */
export function batchOf(...recorded: readonly Recorded[]): Uint8Array {
  const parts = recorded.map((each) => {
    const { head, request, answer } = prediction(each)
    return [Buffer.from(JSON.stringify(head)), request, answer] as const
  })
  const batch = Buffer.alloc(parts.reduce((sum, part) => sum + packedBytes(...part), 0))
  let at = 0
  for (const part of parts) at = packPrediction(batch, at, part)
  return batch
}
