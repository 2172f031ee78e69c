/** What the board shows of calls, the cache and shared tiers. */

import type { Row } from './panels.ts'
import { CACHED, HITS, IN, POOL, quantile, quantiles, ROUTE, rate, total } from './queries.ts'

export const CALLS_ROWS: readonly Row[] = [
  {
    title: 'Overview',
    panels: [
      {
        title: 'Calls',
        description: 'Calls answered a second.',
        unit: 'reqps',
        kind: 'stat',
        width: 4,
        queries: [{ expr: total('infergate_calls_total', ROUTE), legend: '' }],
      },
      {
        title: 'Hit ratio',
        description: 'Of the calls that asked the cache, those that needed no backend.',
        unit: 'percentunit',
        kind: 'stat',
        width: 4,
        queries: [
          {
            expr: `${total('infergate_calls_total', `${ROUTE}, ${HITS}`)} / ${total('infergate_calls_total', `${ROUTE}, ${CACHED}`)}`,
            legend: '',
          },
        ],
      },
      {
        title: 'Errors',
        description: 'Share of the calls answered with 5xx.',
        unit: 'percentunit',
        kind: 'stat',
        width: 4,
        queries: [
          {
            expr: `(${total('infergate_calls_total', `${ROUTE}, status="5xx"`)} or vector(0)) / ${total('infergate_calls_total', ROUTE)}`,
            legend: '',
          },
        ],
      },
      {
        title: 'p99',
        description: '99 % of the calls are answered within this time.',
        unit: 's',
        kind: 'stat',
        width: 4,
        queries: [{ expr: quantile(0.99, '', 'infergate_call_seconds', ROUTE), legend: '' }],
      },
      {
        title: 'Usable backends',
        description: 'Backends that take calls, or will when one has ended.',
        unit: 'short',
        kind: 'stat',
        width: 4,
        queries: [
          {
            expr: `sum(max by (job, pool, state) (infergate_pool_backends{${POOL}, state=~"ready|slow start|slowed|full"}))`,
            legend: '',
          },
        ],
      },
      {
        title: 'Gateways ready',
        description: 'Gateways whose /readyz answers 200.',
        unit: 'short',
        kind: 'stat',
        width: 4,
        queries: [{ expr: `sum(infergate_ready{${IN}})`, legend: '' }],
      },
      {
        title: 'Calls by what the cache did',
        description:
          'hit: from a cache; collapsed: joined somebody else’s miss; partial: some rows; bypass: the cache was not asked; none: an error of the gateway’s own, or the caller left.',
        unit: 'reqps',
        isStacked: true,
        width: 12,
        queries: [{ expr: rate('cache', 'infergate_calls_total', ROUTE), legend: '{{cache}}' }],
      },
      {
        title: 'Calls by route',
        description: 'Calls answered a second.',
        unit: 'reqps',
        isStacked: true,
        width: 12,
        queries: [{ expr: rate('route', 'infergate_calls_total', ROUTE), legend: '{{route}}' }],
      },
      {
        title: 'Time of calls',
        description: 'From the head of the request to the end of its answer, hits and misses together.',
        unit: 's',
        queries: quantiles('', 'infergate_call_seconds', ROUTE, ''),
      },
      {
        title: 'Time by what the cache did, p95',
        description: 'What a hit saves is the distance to a miss.',
        unit: 's',
        queries: [{ expr: quantile(0.95, 'cache', 'infergate_call_seconds', ROUTE), legend: '{{cache}}' }],
      },
      {
        title: 'Answers that are not 2xx, and faults of the gateway',
        description:
          'By status class, and by the code of the gateway’s own error (docs/reference/errors.md).',
        unit: 'reqps',
        queries: [
          { expr: rate('status', 'infergate_calls_total', `${ROUTE}, status!="2xx"`), legend: '{{status}}' },
          { expr: rate('fault', 'infergate_faults_total', ROUTE), legend: '{{fault}}' },
        ],
      },
    ],
  },
  {
    title: 'Cache',
    panels: [
      {
        title: 'Hit ratio by route',
        description: 'Of the calls that asked the cache.',
        unit: 'percentunit',
        queries: [
          {
            expr: `${rate('route', 'infergate_calls_total', `${ROUTE}, ${HITS}`)} / ${rate('route', 'infergate_calls_total', `${ROUTE}, ${CACHED}`)}`,
            legend: '{{route}}',
          },
        ],
      },
      {
        title: 'Rows',
        description:
          'Of calls answered row by row: known, in flight for somebody else, sent to a backend, equal to another row of the call.',
        unit: 'ops',
        isStacked: true,
        queries: [{ expr: rate('result', 'infergate_cache_rows_total', IN), legend: '{{result}}' }],
      },
      {
        title: 'Memory',
        description: 'Bytes of the entries in process memory, and what they may take.',
        unit: 'bytes',
        queries: [
          { expr: `sum by (instance) (infergate_cache_memory_bytes{${IN}})`, legend: '{{instance}}' },
          { expr: `max(infergate_cache_memory_max_bytes{${IN}})`, legend: 'most' },
        ],
      },
      {
        title: 'Entries in memory',
        description: 'Entries in process memory.',
        unit: 'short',
        queries: [
          { expr: `sum by (instance) (infergate_cache_memory_entries{${IN}})`, legend: '{{instance}}' },
        ],
      },
      {
        title: 'Evictions',
        description:
          'Entries dropped from memory to make room: many mean that maxBytes is small for what is asked again.',
        unit: 'ops',
        queries: [
          { expr: rate('instance', 'infergate_cache_memory_evictions_total', IN), legend: '{{instance}}' },
        ],
      },
      {
        title: 'Look-ups in memory',
        description: 'Of rows or whole calls; repeats of the very same bytes are answered before.',
        unit: 'ops',
        queries: [
          { expr: rate('outcome', 'infergate_cache_memory_lookups_total', IN), legend: '{{outcome}}' },
        ],
      },
    ],
  },
  {
    title: 'Shared tiers',
    panels: [
      {
        title: 'Breakers that are not closed',
        description:
          'Each worker has one for reads and one for writes; while one is open its tier is not asked.',
        unit: 'short',
        queries: [
          {
            expr: `sum by (instance, tier, operation) (infergate_cache_tier_breakers{${IN}, state!="closed"})`,
            legend: '{{instance}} {{tier}} {{operation}}',
          },
        ],
      },
      {
        title: 'Operations',
        description: 'By outcome; skipped: no connection, breaker open, or the value is too large.',
        unit: 'ops',
        queries: [
          {
            expr: rate('tier, operation, outcome', 'infergate_cache_operations_total', IN),
            legend: '{{tier}} {{operation}} {{outcome}}',
          },
        ],
      },
      {
        title: 'Time of look-ups, p99',
        description: 'Failed ones too; the tier’s readTimeout is the bound.',
        unit: 's',
        queries: [{ expr: quantile(0.99, 'tier', 'infergate_cache_lookup_seconds', IN), legend: '{{tier}}' }],
      },
      {
        title: 'Writes that wait',
        description: 'Bytes of entries on their way to a tier, behind their answers.',
        unit: 'bytes',
        queries: [{ expr: `sum by (tier) (infergate_cache_tier_queue_bytes{${IN}})`, legend: '{{tier}}' }],
      },
      {
        title: 'Entries written and lost',
        description: 'failed: the tier refused or was away; dropped: the queue was full.',
        unit: 'ops',
        queries: [
          {
            expr: rate('tier, outcome', 'infergate_cache_tier_writes_total', IN),
            legend: '{{tier}} {{outcome}}',
          },
        ],
      },
      {
        title: 'Values that are not taken',
        description: 'Garbled or of another schema, or written by nobody with the tier’s secret.',
        unit: 'ops',
        queries: [
          { expr: rate('tier', 'infergate_cache_garbled_total', IN), legend: '{{tier}} garbled' },
          { expr: rate('tier', 'infergate_cache_unverified_total', IN), legend: '{{tier}} unverified' },
        ],
      },
    ],
  },
]
