/** What the board shows of pools, their queues and scaling. */

import type { Row } from './panels.ts'
import { POOL, quantile, quantiles, ROUTE, rate } from './queries.ts'

export const POOLS_ROWS: readonly Row[] = [
  {
    title: 'Pools and backends',
    panels: [
      {
        title: 'Backends by state',
        description: 'The state in force: what probes, leases and balancing make of a backend.',
        unit: 'short',
        isStacked: true,
        queries: [
          {
            expr: `max by (pool, state) (infergate_pool_backends{${POOL}}) > 0`,
            legend: '{{pool}} {{state}}',
          },
        ],
      },
      {
        title: 'Attempts by ending',
        description: 'overloaded: 429 or 503; cancelled: the caller left, or another attempt was faster.',
        unit: 'reqps',
        isStacked: true,
        queries: [
          {
            expr: rate('pool, ending', 'infergate_backend_attempts_total', POOL),
            legend: '{{pool}} {{ending}}',
          },
        ],
      },
      {
        title: 'Time of attempts, p95, and what is promised',
        description: 'To the end of the answer, beside slo.p95 of the pool.',
        unit: 's',
        queries: [
          { expr: quantile(0.95, 'pool', 'infergate_backend_seconds', POOL), legend: '{{pool}}' },
          {
            expr: `max by (pool) (infergate_pool_slo_seconds{${POOL}, objective="p95"})`,
            legend: '{{pool}} promised',
          },
        ],
      },
      {
        title: 'Calls in flight by backend',
        description: 'From all gateways chosen.',
        unit: 'short',
        queries: [
          {
            expr: `sum by (pool, backend) (infergate_backend_inflight_calls{${POOL}})`,
            legend: '{{pool}} {{backend}}',
          },
        ],
      },
      {
        title: 'Latency by backend',
        description: 'Mean time to the first byte of the last answers.',
        unit: 's',
        queries: [
          {
            expr: `avg by (pool, backend) (infergate_backend_latency_seconds{${POOL}})`,
            legend: '{{pool}} {{backend}}',
          },
        ],
      },
      {
        title: 'Ejections, retries, hedges',
        description: 'Ejections by cause, second attempts by reason, hedges by whether they were faster.',
        unit: 'ops',
        queries: [
          {
            expr: rate('pool, cause', 'infergate_backend_ejections_total', POOL),
            legend: '{{pool}} ejected: {{cause}}',
          },
          {
            expr: rate('pool, reason', 'infergate_retries_total', POOL),
            legend: '{{pool}} retried: {{reason}}',
          },
          {
            expr: rate('pool, outcome', 'infergate_hedges_total', POOL),
            legend: '{{pool}} hedge {{outcome}}',
          },
        ],
      },
      {
        title: 'Backends that come and go',
        description: 'In an hour, whoever named them; expired: a lease was not renewed.',
        unit: 'short',
        queries: [
          {
            expr: `sum by (pool, change) (increase(infergate_pool_changes_total{${POOL}}[1h]))`,
            legend: '{{pool}} {{change}}',
          },
        ],
      },
      {
        title: 'Panic and failing pools',
        description:
          '1: most backends are ejected, so calls go to all of them; or most fail, so none is ejected.',
        unit: 'short',
        queries: [
          { expr: `max by (pool) (infergate_pool_panic{${POOL}})`, legend: '{{pool}} panic' },
          { expr: `max by (pool) (infergate_pool_failing{${POOL}})`, legend: '{{pool}} failing' },
        ],
      },
      {
        title: 'Weights of splits',
        description: 'In force, of routes whose calls are spread over several pools.',
        unit: 'short',
        queries: [
          {
            expr: `max by (route, pool) (infergate_route_weight{${ROUTE}})`,
            legend: '{{route}} {{pool}}',
          },
        ],
      },
      {
        title: 'Load as backends tell it',
        description: 'Use of the KV cache, or of the backend itself.',
        unit: 'percentunit',
        queries: [
          {
            expr: `max by (pool, backend) (infergate_backend_reported_utilization{${POOL}})`,
            legend: '{{pool}} {{backend}}',
          },
        ],
      },
    ],
  },
  {
    title: 'Queue and scaling',
    panels: [
      {
        title: 'Calls that wait',
        description: 'For a backend with room, now.',
        unit: 'short',
        queries: [{ expr: `sum by (pool) (infergate_pool_queue_calls{${POOL}})`, legend: '{{pool}}' }],
      },
      {
        title: 'Waits',
        description: 'Of the calls that had to wait.',
        unit: 's',
        queries: quantiles('pool', 'infergate_pool_queue_wait_seconds', POOL, ' {{pool}}'),
      },
      {
        title: 'How waits end',
        description: 'full and wait: refused at once; late and shed: dropped while they waited.',
        unit: 'ops',
        isStacked: true,
        queries: [
          {
            expr: rate('pool, ending', 'infergate_pool_queue_endings_total', POOL),
            legend: '{{pool}} {{ending}}',
          },
        ],
      },
      {
        title: 'Replicas',
        description: 'There should be, there are, and the most there may be.',
        unit: 'short',
        queries: [
          { expr: `max by (pool) (infergate_scale_desired_replicas{${POOL}})`, legend: '{{pool}} desired' },
          { expr: `max by (pool) (infergate_scale_ready_replicas{${POOL}})`, legend: '{{pool}} ready' },
          { expr: `max by (pool) (infergate_scale_starting_replicas{${POOL}})`, legend: '{{pool}} starting' },
          { expr: `max by (pool) (infergate_scale_max_replicas{${POOL}})`, legend: '{{pool}} most' },
        ],
      },
      {
        title: 'Slots',
        description: 'Kept busy by the misses, and needed to keep the promise.',
        unit: 'short',
        queries: [
          { expr: `max by (pool) (infergate_scale_busy_slots{${POOL}})`, legend: '{{pool}} busy' },
          { expr: `max by (pool) (infergate_scale_needed_slots{${POOL}})`, legend: '{{pool}} needed' },
        ],
      },
      {
        title: 'What scaling cannot do',
        description:
          '1: more replicas are needed than allowed; the last ones did not help; service alone takes longer than the promise.',
        unit: 'short',
        queries: [
          { expr: `max by (pool) (infergate_scale_capped{${POOL}})`, legend: '{{pool}} capped' },
          { expr: `max by (pool) (infergate_scale_ineffective{${POOL}})`, legend: '{{pool}} ineffective' },
          {
            expr: `1 - min by (pool) (infergate_scale_slo_feasible{${POOL}})`,
            legend: '{{pool}} infeasible',
          },
        ],
      },
    ],
  },
]
