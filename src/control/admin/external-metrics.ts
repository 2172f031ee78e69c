/**
 * The part of Kubernetes' external metrics API (`external.metrics.k8s.io/v1beta1`) that a HorizontalPodAutoscaler uses:
 * the desired replicas of a pool as a metric. With `target: {type: AverageValue, averageValue: "1"}` the autoscaler
 * arrives at the gateway's number, however often it polls.
 */
import type { AdminContext, AdminReply, AdminRequest } from './contract.ts'
import { Problem } from './problem.ts'

const GROUP = 'external.metrics.k8s.io/v1beta1'
/** The only metric there is. */
const METRIC = 'infergate_scale_desired_replicas'

/** The discovery document: which metrics there are. */
export function listMetrics(): AdminReply {
  const resources = [
    { name: METRIC, singularName: '', namespaced: true, kind: 'ExternalMetricValueList', verbs: ['get'] },
  ]
  return { status: 200, json: { kind: 'APIResourceList', apiVersion: 'v1', groupVersion: GROUP, resources } }
}

/** One value for each pool that matches the label selector, `pool=NAME` or nothing. */
export async function readMetric(
  { params, query }: AdminRequest,
  { parts }: AdminContext,
): Promise<AdminReply> {
  if (params['metric'] !== METRIC)
    throw new Problem(404, `there is no metric "${params['metric'] ?? ''}": the one there is is ${METRIC}`)
  if (!parts.scale) throw new Problem(404, 'this gateway computes no scale signals')
  const wanted = poolOf(query.get('labelSelector') ?? '')
  const { pools } = (await parts.scale()) as { pools: readonly Described[] }
  const items = pools
    .filter(({ pool }) => wanted === undefined || pool === wanted)
    .map(({ pool, desired, at }) => ({
      metricName: METRIC,
      metricLabels: { pool },
      timestamp: at.replace(/\.\d+Z$/, 'Z'),
      value: String(desired),
    }))
  return { status: 200, json: { kind: 'ExternalMetricValueList', apiVersion: GROUP, metadata: {}, items } }
}

interface Described {
  readonly pool: string
  readonly desired: number
  readonly at: string
}

/** Undefined: every pool. */
function poolOf(selector: string): string | undefined {
  if (selector === '') return undefined
  const pool = /^pool==?([^,=!\s]+)$/.exec(selector)?.[1]
  if (pool === undefined)
    throw new Problem(400, `the label selector must be pool=NAME; found "${selector.slice(0, 64)}"`)
  return pool
}
