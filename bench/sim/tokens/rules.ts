/** What scales the replicas: the gateway's scaler, by tokens or without them, and the known rules by requests and by calls in flight. */
import { decide, type ScaleMemory } from '../../../src/control/scale/decide.ts'
import type { Decision } from '../../../src/control/scale/decision.ts'
import { type Demand, SCALE_DEFAULTS, type ScaleOptions } from '../../../src/control/scale/demand.ts'
import type { WorldSettings } from './world.ts'

export interface TokenRule {
  readonly name: string
  desired(demand: Demand): number
  /** The newest decision, where there is one. */
  readonly decision?: Decision | undefined
}

function ours(name: string, options: Partial<ScaleOptions> & { max: number }): TokenRule {
  let memory: ScaleMemory | undefined
  let decision: Decision | undefined
  return {
    name,
    get decision() {
      return decision
    },
    desired(demand) {
      const decided = decide(memory, demand, { ...SCALE_DEFAULTS, min: 1, ...options }, demand.at)
      memory = decided.memory
      decision = decided.decision
      return decision.desired
    },
  }
}

/** With `windows: { down: 100s }`: a level is kept for 300 s at most while nobody knows whether it comes back, as the other rules keep it always. */
const WINDOWS = { downMs: 100_000, unknownMs: 300_000 }

/** As a pool with `slo: { ttft, itl }` is scaled. */
export function byTokens({ ttftMs, itlMs, startMs }: WorldSettings, max: number): TokenRule {
  return ours('ours, by tokens', { max, sloMs: ttftMs, itlMs, startMs, drainMs: 60_000, ...WINDOWS })
}

/** As a pool without `slo`: by the share of its places that are busy. */
export function byPlaces({ startMs }: WorldSettings, max: number): TokenRule {
  return ours('ours, without slo', { max, startMs, ...WINDOWS })
}

/** A HorizontalPodAutoscaler by what is measured over half a minute: up at once, down after five minutes in which less was enough. */
function horizontal(name: string, max: number, need: (demand: Demand) => number): TokenRule {
  const needs: { readonly at: number; readonly value: number }[] = []
  const wants: { readonly at: number; readonly replicas: number }[] = []
  return {
    name,
    desired(demand) {
      const { at } = demand
      needs.push({ at, value: need(demand) })
      while ((needs[0]?.at ?? at) < at - 30_000) needs.shift()
      const mean = needs.reduce((sum, { value }) => sum + value, 0) / needs.length
      wants.push({ at, replicas: Math.max(1, Math.ceil(mean - 1e-9)) })
      while ((wants[0]?.at ?? at) < at - 300_000) wants.shift()
      return Math.min(max, Math.max(...wants.map(({ replicas }) => replicas)))
    },
  }
}

/** KEDA's and HPA's usual one: so many requests a second a replica. */
export function byRequests(perReplica: number, max: number): TokenRule {
  const offered = ({ buckets }: Demand) => buckets.reduce((sum, bucket) => sum + bucket.offered, 0)
  const seconds = ({ buckets }: Demand) => Math.max(1, buckets.length) / 10
  return horizontal(
    `${perReplica} requests/s`,
    max,
    (demand) => offered(demand) / seconds(demand) / perReplica,
  )
}

/** As Knative and vLLM's production stack: so many calls in flight a replica. */
export function byInflight(perReplica: number, max: number): TokenRule {
  return horizontal(`${perReplica} in flight`, max, ({ inflight, queue }) => (inflight + queue) / perReplica)
}
