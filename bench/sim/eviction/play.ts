/** Plays the requests of a workload against one policy. */
import { TypicalCosts } from '../../../src/data/measure/typical-cost.ts'
import type { Policy } from './rivals.ts'
import type { Request, Trace, Workload } from './workloads.ts'

export interface Score {
  /** Of the requests after the first half. */
  readonly hitRatio: number
  /** The part of the backend time of those requests that was saved, by what each takes when the backend is well. */
  readonly savedShare: number
}

/** The time that a run stands for: its twentieth part is a minute. */
const RUN_MS = 1_200_000
/** Each class of keys is asked for on a route of its own. */
const ROUTES = [{}, {}]

export function play({ slow }: Workload, { requests }: Trace, policy: Policy, count: number): Score {
  let at = 0
  const costs = new TypicalCosts({ now: () => (at / count) * RUN_MS })
  let hits = 0
  let saved = 0
  let total = 0
  for (const request of requests()) {
    const done = at++ / count
    const isHit = policy.get(request)
    const times = slow && done >= slow.from && done < slow.to ? slow.times : 1
    if (!isHit) policy.set(request, costs.bounded(ROUTES[request.class] as object, request.costMs * times))
    if (done < 0.5) continue
    total += request.costMs
    if (!isHit) continue
    hits++
    saved += request.costMs
  }
  return { hitRatio: hits / (count / 2), savedShare: saved / total }
}

/** The requests that are scored. */
export function* scored({ requests }: Trace, count: number): Generator<Request> {
  let at = 0
  for (const request of requests()) if (at++ / count >= 0.5) yield request
}
