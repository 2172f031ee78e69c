/** The recorder of one data worker. */
import { Recorder, type RecorderParts } from '../../data/record/recorder.ts'
import type { Metrics } from '../../obs/metrics.ts'

interface WorkerRecorderParts extends Pick<RecorderParts, 'send' | 'clock'> {
  readonly queued: Int32Array
  readonly metrics: Pick<Metrics, 'count'>
}

export function createRecorder({ queued, metrics, ...parts }: WorkerRecorderParts): Recorder {
  return new Recorder({
    ...parts,
    queuedBytes: () => Atomics.load(queued, 0),
    dropped: (route, outcome) => metrics.count('infergate_prediction_log_records_total', { route, outcome }),
  })
}
