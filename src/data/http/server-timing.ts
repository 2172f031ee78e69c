/** The field that tells a client how long its call was in which stage: Server-Timing (W3C). */
import type { RawPairs } from '../../core/call.ts'
import { type CallRecord, STAGES } from '../../core/call-record.ts'

/** `now`: monotonic milliseconds. What comes after the head of the answer is not in it. */
export function serverTiming(record: CallRecord, now: number): RawPairs {
  const stages = record.stages()
  const metrics = STAGES.flatMap((stage) =>
    stages[stage] === undefined ? [] : [metric(stage, stages[stage])],
  )
  return ['Server-Timing', [...metrics, metric('total', now - record.began)].join(', ')]
}

function metric(name: string, ms: number): string {
  return `${name};dur=${Math.round(ms * 1000) / 1000}`
}
