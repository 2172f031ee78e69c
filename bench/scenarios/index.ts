/** What is measured, as data: one entry a claim. */
import type { ContenderName } from '../lib/contenders.ts'
import type { Bodies } from '../lib/load.ts'

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly bodies: Bodies
  readonly connections: number
  /** The first is ours; the second is what it is compared with; the rest are shown beside them. */
  readonly contenders: readonly [ContenderName, ContenderName, ...ContenderName[]]
  /** Milliseconds a row at the backend; undefined: it answers at once. */
  readonly msPerRow?: number
  /** Requests a second, rows a second, or the time that is added at the median. */
  readonly unit: 'requests/s' | 'rows/s' | 'added ms'
  /** What ours must reach: a ratio to the second contender, or milliseconds that are added. */
  readonly atLeast: number
  readonly aim: number
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'hit-200b',
    title: 'hit, 200 B body',
    bodies: { kind: 'cycle', bytes: 200, distinct: 1000 },
    connections: 64,
    contenders: ['infergate', 'nginx-cache', 'nginx-lua', 'varnish'],
    unit: 'requests/s',
    atLeast: 1.05,
    aim: 1.3,
  },
  {
    name: 'hit-4kib',
    title: 'hit, 4 KiB body',
    bodies: { kind: 'cycle', bytes: 4096, distinct: 1000 },
    connections: 64,
    contenders: ['infergate', 'nginx-cache', 'nginx-lua', 'varnish'],
    unit: 'requests/s',
    atLeast: 2,
    aim: 2.5,
  },
  {
    name: 'hit-150kb',
    title: 'hit, 150 KB body',
    bodies: { kind: 'cycle', bytes: 150_000, distinct: 200 },
    connections: 64,
    // nginx's own cache cannot keep a key of this length.
    contenders: ['infergate', 'nginx-lua', 'varnish'],
    unit: 'requests/s',
    atLeast: 5,
    aim: 7,
  },
  {
    name: 'miss-200b',
    title: 'miss, 200 B body',
    bodies: { kind: 'unique', bytes: 200 },
    connections: 64,
    contenders: ['infergate', 'nginx-pass', 'haproxy'],
    unit: 'requests/s',
    atLeast: 0.65,
    aim: 0.8,
  },
  {
    name: 'miss-4kib',
    title: 'miss, 4 KiB body',
    bodies: { kind: 'unique', bytes: 4096 },
    connections: 64,
    contenders: ['infergate', 'nginx-pass', 'haproxy'],
    unit: 'requests/s',
    atLeast: 0.6,
    aim: 0.8,
  },
  {
    name: 'batch-128',
    title: '128-row batch, 120 rows known, backend 1 ms a row',
    bodies: { kind: 'batch', rows: 128, known: 120, values: 8 },
    connections: 8,
    contenders: ['infergate', 'backend'],
    msPerRow: 1,
    unit: 'rows/s',
    atLeast: 8,
    aim: 12,
  },
  {
    name: 'hit-redis',
    title: 'hit in Redis, no memory tier',
    bodies: { kind: 'cycle', bytes: 200, distinct: 1000 },
    connections: 64,
    contenders: ['infergate-redis', 'infergate'],
    unit: 'requests/s',
    atLeast: 0.4,
    aim: 0.6,
  },
  {
    name: 'latency',
    title: 'latency added to a miss, one connection, p50',
    bodies: { kind: 'unique', bytes: 200 },
    connections: 1,
    contenders: ['infergate', 'backend', 'nginx-pass', 'haproxy'],
    unit: 'added ms',
    atLeast: 0.15,
    aim: 0.1,
  },
]
