/** What is measured, as data: one entry a claim. */
import type { Goal, Scenario, Side } from './lib/scenario.ts'
import type { ServerName } from './lib/servers.ts'

const on = (...servers: readonly ServerName[]): Side[] => servers.map((server) => ({ server }))

const times = (against: string, demanded: number, aimed: number): Goal => ({
  side: 'infergate',
  figure: 'perSecond',
  how: 'times',
  against,
  demanded,
  aimed,
})

const HIT = [0, 0.01] as const
const MISS = [0.97, 1.03] as const

export const scenarios: readonly Scenario[] = [
  {
    name: 'hit-200b',
    title: 'hit, 200 B body',
    measure: {
      kind: 'load',
      bodies: { kind: 'cycle', bytes: 200, distinct: 1000 },
      connections: 64,
      upstream: HIT,
    },
    sides: on('infergate', 'nginx proxy_cache', 'nginx lua', 'varnish'),
    figure: 'perSecond',
    goals: [times('nginx proxy_cache', 1.05, 1.3), { ...times('nginx proxy_cache', 1, 1), figure: 'p99Ms' }],
  },
  {
    name: 'hit-4kib',
    title: 'hit, 4 KiB body',
    measure: {
      kind: 'load',
      bodies: { kind: 'cycle', bytes: 4096, distinct: 1000 },
      connections: 64,
      upstream: HIT,
    },
    sides: on('infergate', 'nginx proxy_cache', 'nginx lua', 'varnish'),
    figure: 'perSecond',
    goals: [times('nginx proxy_cache', 2, 2.5)],
  },
  {
    name: 'hit-150kb',
    title: 'hit, 150 KB body',
    note: "nginx's own cache is left out: it cannot keep a key of this length and sends every request on.",
    measure: {
      kind: 'load',
      bodies: { kind: 'cycle', bytes: 150_000, distinct: 1000 },
      connections: 64,
      upstream: HIT,
    },
    sides: on('infergate', 'nginx lua', 'varnish'),
    figure: 'perSecond',
    goals: [times('nginx lua', 5, 7)],
  },
  {
    name: 'hit-spelling',
    title: 'hit in other words, 4 KiB body',
    note: 'Each request has white space as it was never sent before, so it is read and keyed anew; the other caches would miss.',
    measure: {
      kind: 'load',
      bodies: { kind: 'cycle', bytes: 4096, distinct: 1000 },
      connections: 64,
      upstream: HIT,
    },
    sides: [
      {
        server: 'infergate',
        name: 'infergate, other white space',
        bodies: { kind: 'respelled', bytes: 4096, distinct: 1000 },
      },
      { server: 'infergate', name: 'infergate, the same bytes' },
    ],
    figure: 'perSecond',
    unhurried: true,
    seconds: 2,
    goals: [],
  },
  {
    name: 'miss-200b',
    title: 'miss, 200 B body',
    note: '`no cache`: the route has no cache block, as `proxy_pass`; `infergate`: it has, so each call is keyed, looked for, and its answer stored, as with `proxy_cache`.',
    measure: { kind: 'load', bodies: { kind: 'unique', bytes: 200 }, connections: 64, upstream: MISS },
    sides: on('infergate', 'infergate, no cache', 'nginx proxy_pass', 'nginx proxy_cache', 'haproxy'),
    figure: 'perSecond',
    goals: [
      { ...times('nginx proxy_pass', 0.65, 0.8), side: 'infergate, no cache' },
      times('nginx proxy_pass', 0.65, 0.8),
    ],
  },
  {
    name: 'miss-4kib',
    title: 'miss, 4 KiB body',
    note: 'As with 200 B.',
    measure: { kind: 'load', bodies: { kind: 'unique', bytes: 4096 }, connections: 64, upstream: MISS },
    sides: on('infergate', 'infergate, no cache', 'nginx proxy_pass', 'nginx proxy_cache', 'haproxy'),
    unhurried: true,
    figure: 'perSecond',
    goals: [
      { ...times('nginx proxy_pass', 0.6, 0.8), side: 'infergate, no cache' },
      times('nginx proxy_pass', 0.6, 0.8),
    ],
  },
  {
    name: 'batch-128',
    title: '128-row batch, 120 rows known, backend 1 ms a row',
    note: 'The backend works on one batch at a time. 16 times is all there is to gain.',
    measure: {
      kind: 'load',
      bodies: { kind: 'batch', rows: 128, known: 120, values: 8 },
      connections: 8,
      msPerRow: 1,
      upstream: [0.9, 1.1],
    },
    sides: on('infergate', 'direct'),
    seconds: 4,
    figure: 'rowsPerSecond',
    goals: [{ ...times('direct', 8, 12), figure: 'rowsPerSecond' }],
  },
  {
    name: 'hit-redis',
    title: 'hit in Redis, no memory tier, 200 B body',
    note: 'Redis runs on the core of the load. Byte-identical repeats, so an alias is looked up first.',
    measure: {
      kind: 'load',
      bodies: { kind: 'cycle', bytes: 200, distinct: 1000 },
      connections: 64,
      upstream: HIT,
    },
    sides: on('infergate, Redis only', 'infergate'),
    figure: 'perSecond',
    goals: [{ ...times('infergate', 0.4, 0.6), side: 'infergate, Redis only' }],
  },
  {
    name: 'latency',
    title: 'latency added to a miss, one connection, 200 B body',
    measure: { kind: 'load', bodies: { kind: 'unique', bytes: 200 }, connections: 1, upstream: MISS },
    sides: on('infergate', 'infergate, no cache', 'nginx proxy_pass', 'haproxy', 'direct'),
    figure: 'p50Ms',
    seconds: 2,
    goals: [{ ...times('direct', 0.15, 0.1), figure: 'p50Ms', how: 'more' }],
  },
  {
    name: 'workers',
    title: 'two workers, hits that must be read, 4 KiB body',
    note: 'On a machine of two cores the load runs on the cores of the server, so twice is out of reach; processor time a request should not grow.',
    measure: {
      kind: 'load',
      bodies: { kind: 'respelled', bytes: 4096, distinct: 1000 },
      connections: 64,
      upstream: HIT,
      shared: true,
    },
    sides: on('infergate, 2 workers', 'infergate'),
    figure: 'perSecond',
    unhurried: true,
    seconds: 2,
    goals: [],
  },
  {
    name: 'herd',
    title: '200 equal calls at once, backend 20 ms',
    measure: { kind: 'herd', callers: 200, msPerRow: 20 },
    sides: on('infergate', 'nginx proxy_cache', 'varnish'),
    figure: 'upstreamPerHerd',
    goals: [{ side: 'infergate', figure: 'upstreamPerHerd', how: 'is', demanded: 1, aimed: 1 }],
  },
  {
    name: 'scan',
    title: 'a scan over a hot thousand, 4 MiB of cache',
    note: 'Hot bodies are asked for three times, then twice as many bodies as there is room for flow through; then the hot ones are asked for once more.',
    measure: { kind: 'scan', cacheMiB: 4 },
    sides: on('infergate', 'nginx lua', 'varnish'),
    figure: 'hotLeft',
    rounds: 3,
    goals: [{ side: 'infergate', figure: 'hotLeft', how: 'is', demanded: 950, aimed: 1000 }],
  },
  {
    name: 'memory',
    title: 'one million entries of 300 B',
    note: 'In a process of its own, without a gateway around it.',
    measure: { kind: 'memory', entries: 1_000_000, bytes: 300 },
    sides: [
      { server: 'infergate', name: 'arena' },
      { server: 'infergate', name: 'lru-cache' },
    ],
    figure: 'overheadBytes',
    rounds: 1,
    goals: [{ side: 'arena', figure: 'overheadBytes', how: 'is', demanded: 250, aimed: 100 }],
  },
  {
    name: 'start-up',
    title: 'start-up without a model, to /readyz',
    measure: { kind: 'startup' },
    sides: on('infergate'),
    figure: 'readyMs',
    goals: [{ side: 'infergate', figure: 'readyMs', how: 'is', demanded: 500, aimed: 300 }],
  },
]
