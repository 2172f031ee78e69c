/** What is measured with the dialect of OpenAI's API, as data: one entry a claim. */
import type { Script } from './backend.ts'
import * as requests from './requests.ts'
import type { PeerName } from './servers.ts'

/** Which program a side asks; `before`: the gateway of another checkout, `direct`: the backend itself. */
export type ServerName = 'infergate' | 'before' | 'direct' | 'nginx' | PeerName

/** What a turn of a side gives. */
export type Figures = Readonly<Record<string, number>>

export interface Side {
  readonly name: string
  readonly server: ServerName
  /** Requests of the wrk sides; left out: those of the scenario. */
  readonly sent?: readonly requests.Sent[]
  /** Of streams; default 0, so that the gateway keeps them. */
  readonly temperature?: number
}

export interface Goal {
  readonly side: string
  readonly against: string
  readonly figure: string
  /** `times`: what the figure is of the other's; `more`: what it is beyond it. */
  readonly how: 'times' | 'more'
  readonly least: number
  readonly aim: number
}

export interface Scenario {
  readonly name: string
  readonly title: string
  readonly kind: 'load' | 'streams' | 'prefix'
  /** The server behind: of this script, or nginx with one chat. */
  readonly backend: Partial<Script> | 'instant'
  readonly sent?: readonly requests.Sent[]
  readonly connections?: number
  /** A round is so many times as long as others, since a peer takes its time. */
  readonly times?: number
  /** Backend requests a request at the gateway, lowest and highest. */
  readonly upstream?: readonly [number, number]
  readonly sides: readonly Side[]
  readonly goals: readonly Goal[]
}

const INFERGATE: Side = { name: 'infergate', server: 'infergate' }
const DIRECT: Side = { name: 'direct', server: 'direct' }
const HIT = [0, 0.01] as const

const times = (side: string, against: string, least: number, aim: number, figure = 'perSecond'): Goal => ({
  ...{ side, against, figure, how: 'times', least, aim },
})

const embedding = (dimensions: number): Scenario => ({
  name: `embedding-${dimensions}`,
  title: `cached embedding of ${dimensions} dimensions, half of the calls written in other words`,
  kind: 'load',
  backend: { dimensions },
  sent: requests.embeddingHits,
  connections: 64,
  upstream: HIT,
  sides: [
    INFERGATE,
    { ...INFERGATE, name: 'V1 hit of 200 B', sent: requests.v1Hits },
    { ...INFERGATE, name: 'another user each', sent: requests.embeddingOthers },
  ],
  goals: [times('infergate', 'V1 hit of 200 B', 0.8, 1)],
})

export const scenarios: readonly Scenario[] = [
  embedding(8),
  embedding(384),
  embedding(1536),
  {
    name: 'chat-hit',
    title: 'cached chat as JSON',
    kind: 'load',
    backend: {},
    sent: requests.chatHits,
    connections: 16,
    upstream: HIT,
    sides: [INFERGATE, { name: 'litellm', server: 'litellm' }],
    goals: [times('infergate', 'litellm', 300, 600)],
  },
  {
    name: 'replay',
    title: 'replayed stream of 200 events',
    kind: 'load',
    backend: { events: 200 },
    sent: requests.streamHits,
    connections: 4,
    times: 4,
    upstream: HIT,
    sides: [INFERGATE, { name: 'litellm', server: 'litellm' }],
    goals: [times('infergate', 'litellm', 100, 300)],
  },
  {
    name: 'pass-on',
    title: 'sampled chat, passed on (vllm-router has a backend render each prompt first)',
    kind: 'load',
    backend: 'instant',
    sent: requests.chatsPassedOn,
    connections: 64,
    upstream: [0.97, 1.03],
    sides: [INFERGATE, { name: 'vllm-router', server: 'vllm-router' }],
    goals: [times('infergate', 'vllm-router', 2.5, 3)],
  },
  {
    name: 'first-token',
    title: 'microseconds that events of streams are on their way, four streams at a time',
    kind: 'streams',
    backend: { events: 100, firstMs: 20, everyMs: 5 },
    // Eight streams a second: a tail needs some hundred of them.
    times: 4,
    sides: [
      INFERGATE,
      { ...INFERGATE, name: 'infergate, sampled', temperature: 1 },
      { name: 'nginx', server: 'nginx' },
      DIRECT,
    ],
    goals: [
      { side: 'infergate', against: 'direct', figure: 'firstP50', how: 'more', least: 200, aim: 100 },
      { side: 'infergate', against: 'direct', figure: 'firstP99', how: 'more', least: 2000, aim: 1000 },
      { side: 'infergate', against: 'direct', figure: 'betweenP50', how: 'more', least: 50, aim: 20 },
    ],
  },
  {
    name: 'batch-64',
    title: '64 texts, 60 of them known, backend 1 ms a text',
    kind: 'load',
    backend: { dimensions: 384, textMs: 1 },
    sent: requests.batches(60),
    connections: 8,
    upstream: [0.9, 1.1],
    sides: [INFERGATE, DIRECT],
    goals: [times('infergate', 'direct', 8, 12)],
  },
  {
    name: 'prefix',
    title: 'shared system prompts of 1k tokens, four backends with prefix caches',
    kind: 'prefix',
    // A call takes a second.
    times: 5,
    backend: {},
    sides: [INFERGATE, { name: 'vllm-router', server: 'vllm-router' }],
    goals: [
      times('infergate', 'vllm-router', 1, 1.1, 'hitShare'),
      times('infergate', 'vllm-router', 1, 1, 'imbalance'),
    ],
  },
]
