/** What the board shows of tenants, generations and the gateway itself. */

import type { Row } from './panels.ts'
import { IN, quantile, ROUTE, rate } from './queries.ts'

export const GATEWAY_ROWS: readonly Row[] = [
  {
    title: 'Tenants',
    panels: [
      {
        title: 'Calls by tenant',
        description: 'Where callers are asked who they are.',
        unit: 'reqps',
        isStacked: true,
        queries: [{ expr: rate('tenant', 'infergate_tenant_calls_total', IN), legend: '{{tenant}}' }],
      },
      {
        title: 'Refused',
        description:
          'By what refused the call: a rate, a quota, too many at a time, no right, too little room.',
        unit: 'reqps',
        queries: [
          {
            expr: rate('tenant, reason', 'infergate_tenant_refused_total', IN),
            legend: '{{tenant}} {{reason}}',
          },
        ],
      },
      {
        title: 'Tokens by tenant',
        description: 'Taken of backends, and given without one.',
        unit: 'ops',
        queries: [
          { expr: rate('tenant', 'infergate_tenant_tokens_total', IN), legend: '{{tenant}}' },
          { expr: rate('tenant', 'infergate_tenant_saved_tokens_total', IN), legend: '{{tenant}} saved' },
        ],
      },
    ],
  },
  {
    title: 'Generations',
    panels: [
      {
        title: 'Tokens',
        description: 'That backends say they took, and those that were saved.',
        unit: 'ops',
        queries: [
          { expr: rate('model, type', 'infergate_gen_ai_tokens_total', IN), legend: '{{model}} {{type}}' },
          {
            expr: rate('model, type', 'infergate_saved_tokens_total', IN),
            legend: '{{model}} {{type}} saved',
          },
        ],
      },
      {
        title: 'Time to the first token, p95',
        description: 'From the request at a backend to the first piece of a stream.',
        unit: 's',
        queries: [
          {
            expr: quantile(0.95, 'model', 'infergate_gen_ai_time_to_first_token_seconds', IN),
            legend: '{{model}}',
          },
        ],
      },
      {
        title: 'Time between tokens, p95',
        description: 'Mean of a stream; 95 % of the streams are no slower.',
        unit: 's',
        queries: [
          {
            expr: quantile(0.95, 'model', 'infergate_gen_ai_time_per_output_token_seconds', IN),
            legend: '{{model}}',
          },
        ],
      },
    ],
  },
  {
    title: 'The gateway itself',
    panels: [
      {
        title: 'Processor',
        description: 'Cores that are busy.',
        unit: 'short',
        queries: [
          { expr: rate('instance', 'infergate_process_cpu_seconds_total', IN), legend: '{{instance}}' },
        ],
      },
      {
        title: 'Event loop lag, p99',
        description: 'Of the slowest worker: above a few milliseconds its core is full.',
        unit: 's',
        queries: [
          {
            expr: `max by (instance) (infergate_nodejs_eventloop_lag_p99_seconds{${IN}})`,
            legend: '{{instance}}',
          },
        ],
      },
      {
        title: 'Resident memory',
        description: 'Of the process, its memory tier included.',
        unit: 'bytes',
        queries: [
          {
            expr: `max by (instance) (infergate_process_resident_memory_bytes{${IN}})`,
            legend: '{{instance}}',
          },
        ],
      },
      {
        title: 'Workers',
        description: 'That take calls, and those that ended by themselves in an hour.',
        unit: 'short',
        queries: [
          { expr: `sum by (instance) (infergate_workers{${IN}})`, legend: '{{instance}}' },
          {
            expr: `sum by (instance, cause) (increase(infergate_worker_exits_total{${IN}}[1h]))`,
            legend: '{{instance}} {{cause}}',
          },
        ],
      },
      {
        title: 'What /readyz names',
        description: 'Problems that do not make the gateway unready, by part.',
        unit: 'short',
        queries: [
          {
            expr: `sum by (instance, part) (infergate_problems{${IN}}) > 0`,
            legend: '{{instance}} {{part}}',
          },
        ],
      },
      {
        title: 'Lost lines of the log, and predictions',
        description: 'The log is read too slowly, or the disk is full.',
        unit: 'ops',
        queries: [
          { expr: rate('instance', 'infergate_log_lines_lost_total', IN), legend: '{{instance}}' },
          {
            expr: rate('instance, at', 'infergate_access_log_lines_lost_total', IN),
            legend: 'access log of {{instance}}: {{at}}',
          },
          {
            expr: rate(
              'route, outcome',
              'infergate_prediction_log_records_total',
              `${ROUTE}, outcome!="written"`,
            ),
            legend: 'predictions of {{route}}: {{outcome}}',
          },
        ],
      },
      {
        title: 'Versions',
        description: 'What runs where.',
        unit: 'none',
        kind: 'table',
        queries: [{ expr: `infergate_build_info{${IN}}`, legend: '' }],
      },
      {
        title: 'Last reload that was taken over',
        description: 'Since when the settings are in force.',
        unit: 'dateTimeFromNow',
        kind: 'stat',
        queries: [
          {
            expr: `infergate_config_last_reload_success_timestamp_seconds{${IN}} * 1000`,
            legend: '{{instance}}',
          },
        ],
      },
      {
        title: 'Certificates expire in',
        description: 'The one that expires first.',
        unit: 's',
        kind: 'stat',
        queries: [
          {
            expr: `min by (file) (infergate_tls_certificate_expiry_timestamp_seconds{${IN}}) - time()`,
            legend: '{{file}}',
          },
        ],
      },
    ],
  },
]
