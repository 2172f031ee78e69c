/**
 * The real pipeline, several times over, in one process and on a clock of the test's: N gateways over one shared
 * tier whose faults the test chooses, before a scripted backend that is a function of version, caller and row. What
 * `DataPlane` puts together is put together here alike, only that dispatch ends at the script.
 */
import { type Call, header, type RawPairs } from '../../src/core/call.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Outcome, Reply } from '../../src/core/reply.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createCacheDecisions } from '../../src/data/decision/cache-decision.ts'
import { RefreshBudget } from '../../src/data/decision/refresh-budget.ts'
import { Flights } from '../../src/data/flight/flights.ts'
import { HitForMiss } from '../../src/data/flight/hit-for-miss.ts'
import { Leases } from '../../src/data/flight/leases.ts'
import { Aliases } from '../../src/data/hits/aliases.ts'
import { ReadyAnswers } from '../../src/data/hits/ready.ts'
import { age, cacheStatus } from '../../src/data/http/status.ts'
import { createHttpCache } from '../../src/data/http-cache/http-cache.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { EVERYTHING } from '../../src/data/key/epoch-names.ts'
import { Epochs } from '../../src/data/key/epochs.ts'
import { Forms } from '../../src/data/key/forms.ts'
import { createKeyer } from '../../src/data/key/keyer.ts'
import { principalOf } from '../../src/data/key/meaning.ts'
import { createModelNames } from '../../src/data/key/model-names.ts'
import { PurgedKeys } from '../../src/data/key/purged-keys.ts'
import { refusalKey } from '../../src/data/key/refusal.ts'
import { createVersionRules } from '../../src/data/key/statements.ts'
import { createRouter, type Matched, type RouteCache } from '../../src/data/route/routes.ts'
import { createAsk } from '../../src/data/rows/ask.ts'
import type { LoadResult, RefusalOf } from '../../src/data/rows/lookup-context.ts'
import { createShadow } from '../../src/data/rows/shadow.ts'
import { Splitter } from '../../src/data/rows/splitter.ts'
import { createSplitting } from '../../src/data/rows/splitting.ts'
import { createCompose } from '../../src/data/serve/compose.ts'
import { type Explanation, explain } from '../../src/data/serve/explain.ts'
import { createFetch } from '../../src/data/serve/fetch.ts'
import { createFill } from '../../src/data/serve/fill.ts'
import { createPipeline } from '../../src/data/serve/pipeline.ts'
import { createForward } from '../../src/data/upstream/forward.ts'
import type { Dispatch, UpstreamRequest, UpstreamResponse } from '../../src/data/upstream/upstream-call.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeTier } from './fake-tier.ts'

export const CACHE: RouteCache = {
  ttl: 60_000,
  jitter: 0,
  rows: 'always',
  scope: 'caller',
  vary: [],
  leases: 'never',
  tags: ['t'],
  maxEntryBytes: 64 * 1024,
  staleWhileRevalidate: 0,
  staleIfError: 0,
  negativeTtl: 0,
  heedBackend: true,
}

/** One upstream request, as the script is asked. */
export interface Upstream {
  readonly gateway: number
  /** Counts all upstream requests from 1, in the order in which they began. */
  readonly serial: number
  readonly began: number
  readonly caller: string
  readonly instances: readonly unknown[]
  readonly headers: RawPairs
}

/** A reply, and who gave it. */
export interface Versioned {
  readonly reply: Reply
  readonly version: string
}

export type Script = (asked: Upstream) => Scripted | Promise<Scripted>
export type Scripted = Reply | Versioned | GatewayError

export interface Told {
  readonly status: number
  readonly text: string
  /** The members of `predictions`; undefined where there are none. */
  readonly predictions: readonly unknown[] | undefined
  readonly cacheStatus: string | undefined
  readonly age: number | undefined
  readonly outcome: Outcome | undefined
  readonly fault: string | undefined
  /** Virtual milliseconds from the call to its answer. */
  readonly ms: number
}

export interface AskOptions {
  readonly headers?: RawPairs
  readonly method?: string
  readonly model?: string
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
}

export interface TestGateway {
  readonly cache: Tiered
  readonly epochs: Epochs
  readonly deployments: Deployments
  readonly purgedKeys: PurgedKeys
  readonly flights: Flights<LoadResult>
  readonly ready: ReadyAnswers
  readonly splitter: Splitter
  /** Reads what other gateways have said, as each second. */
  poll(): Promise<void>
  ask(body: string, options?: AskOptions): Promise<Told>
  explain(body: string, options?: AskOptions): Promise<Explanation>
}

export interface World {
  readonly clock: FakeClock
  readonly tier: FakeTier | undefined
  readonly gateways: readonly TestGateway[]
  /** Every upstream request so far. */
  readonly asked: readonly Upstream[]
  script: Script
  /** What is deployed, told to every gateway. */
  deploy(evidence: string): void
  /** Lets virtual time pass until `work` has settled; throws where an hour does not suffice. */
  run<T>(work: Promise<T>): Promise<T>
  /** Lets `ms` pass, and whatever falls due in them run. */
  pass(ms: number): Promise<void>
}

export interface WorldOptions {
  readonly gateways?: number
  /** False: process memory alone. */
  readonly shared?: boolean
  /** False: shared tier alone. */
  readonly memory?: boolean
  readonly cache?: Partial<RouteCache>
  readonly script?: Script
  readonly random?: () => number
}

export const json = (text: string, headers: RawPairs = [], status = 200): Reply => ({
  status,
  headers: ['content-type', 'application/json', ...headers],
  body: Buffer.from(text),
})

export const predictions = (rows: readonly unknown[]): Reply => json(JSON.stringify({ predictions: rows }))

const STEP_MS = 5
const HOUR_MS = 3_600_000

export function createWorld(options: WorldOptions = {}): World {
  const clock = new FakeClock()
  const tier = options.shared === false ? undefined : new FakeTier({ name: 'shared', clock })
  const asked: Upstream[] = []
  const world: World = {
    clock,
    tier,
    asked,
    gateways: Array.from({ length: options.gateways ?? 1 }, (_, place) =>
      createGateway({ place, options, clock, tier, asked, script: (upstream) => world.script(upstream) }),
    ),
    script: options.script ?? (({ instances }) => predictions(instances)),
    deploy(evidence) {
      for (const { deployments } of world.gateways)
        deployments.learn({ pool: 'main', model: 'm', evidence, versions: [evidence] })
    },
    async run(work) {
      const state = { settled: false }
      const end = () => {
        state.settled = true
      }
      work.then(end, end)
      const until = clock.now() + HOUR_MS
      for (let turns = 0; !state.settled; turns++) {
        await turn()
        if (state.settled) break
        // Work that needs no time is done first.
        if (turns % 3 === 2) clock.advance(STEP_MS)
        if (clock.now() > until) throw new Error('still not settled after a virtual hour')
      }
      return work
    },
    async pass(ms) {
      for (let left = ms; left > 0; left -= STEP_MS * 20) {
        clock.advance(Math.min(left, STEP_MS * 20))
        await turn()
        await turn()
      }
    },
  }
  world.deploy('v1')
  return world
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

interface GatewayParts {
  readonly place: number
  readonly options: WorldOptions
  readonly clock: FakeClock
  readonly tier: FakeTier | undefined
  readonly asked: Upstream[]
  readonly script: Script
}

function createGateway({ place, options, clock, tier, asked, script }: GatewayParts): TestGateway {
  const random = options.random ?? (() => 0.5)
  const log = silentLog
  const cache = createTiered({
    ...(options.memory === false ? {} : { memory: createMemory({ maxBytes: 1024 * 1024, clock }) }),
    tiers: tier ? [guardTier(tier, { readTimeout: 25, writeTimeout: 250, clock, random })] : [],
    clock,
  })
  const shared = tier ? cache : undefined
  const ready = new ReadyAnswers({ maxBytes: options.memory === false ? 0 : 256 * 1024, clock })
  const changed = () => ready.clear()
  const epochs = new Epochs({ shared, clock, log, changed })
  const deployments = new Deployments({ shared, clock, log, changed })
  const flights = new Flights<LoadResult>({ maxWaiters: 1000, clock })
  const purgedKeys = new PurgedKeys({
    shared,
    clock,
    log,
    forget: (digest) => {
      flights.retire(digest)
      ready.clear()
      return cache.remove(digest)
    },
    overflow: () => epochs.purge([EVERYTHING]),
  })
  const keyer = createKeyer({ epochs, deployments, clock })
  const outgoing = ({ headers }: Call) => headers
  const refusalOf: RefusalOf = ({ call, raw }) => refusalKey(call, raw, outgoing(call))
  const dispatch = scripted({ place, clock, asked, script })
  const redeployed = (pool: string, model: string) => deployments.redeployed(pool, model)
  const forward = createForward({ dispatch, outgoing, redeployed })
  const versions = createVersionRules(deployments, () => {})
  const splitter = new Splitter({ clock, random, changed: () => {} })
  const ask = createAsk(dispatch, outgoing)
  const shadow = createShadow({ splitter, random, clock, ask, queueing: () => false })
  const token = ({ route, target }: Matched) => deployments.peek(route.pool, target)?.value ?? ''
  const names = createModelNames(token)
  const forms = new Forms({ names })
  const splitting = createSplitting({ splitter, shadow, names })
  const observer = {
    answered() {},
    attempted() {},
    failed() {},
    retried() {},
    hedged() {},
    tier() {},
    rows() {},
    splitting() {},
  }
  const leases = cache.leases && new Leases({ leases: cache.leases, clock })
  const decisions = createCacheDecisions(keyer)
  const mayKeep = ({ route, target }: Matched, version: string | undefined) =>
    deployments.mayKeep(route.pool, target, version)
  const http = createHttpCache({
    cache,
    memory: 'memory',
    claims: undefined,
    leases: () => undefined,
    dispatch,
    outgoing,
    forward,
    mayKeep,
    keyer,
    route: () => undefined,
    log,
    clock,
    random,
  })
  const pipeline = createPipeline({
    decisions,
    http,
    cache,
    memory: 'memory',
    ready,
    aliases: tier && new Aliases(clock),
    flights,
    hitForMiss: new HitForMiss(clock),
    refreshes: new RefreshBudget(),
    splitting,
    forms,
    fill: createFill({
      cache,
      forms,
      fetch: createFetch({
        dispatch,
        outgoing,
        splitting,
        busy: () => false,
        maxBatch: () => undefined,
        serviceMs: () => 0,
        clock,
      }),
      leases: ({ route }) => (route.cache?.leases === 'always' ? leases : undefined),
      ...versions,
      refusalOf,
      clock,
      random,
    }),
    mayGive: versions.mayGive,
    compose: createCompose({ forward, splitting, forms, observer, clock, memory: 'memory' }),
    forward,
    refusalOf,
    clock,
  })
  const route = createRouter([
    {
      name: 'main',
      match: {},
      protocols: [tfserving, oip],
      pool: 'main',
      timeout: 60_000,
      pure: true,
      cache: { ...CACHE, ...options.cache },
    },
  ])

  function request(body: string, { headers = [], method = 'POST', ...more }: AskOptions): [Call, Matched] {
    const path = `/v1/models/${more.model ?? 'm'}:predict`
    const pairs = header(headers, 'content-type') ? headers : ['content-type', 'application/json', ...headers]
    const matched = route({ method, path, host: '', headers: pairs })
    if (!matched) throw new Error(`no route for ${method} ${path}`)
    const call: Call = {
      id: 'test',
      method,
      path,
      query: '',
      headers: pairs,
      host: '',
      peer: '127.0.0.1',
      principal: principalOf(pairs),
      target: matched.target,
      body: Buffer.from(body),
      deadline: clock.now() + (more.timeoutMs ?? 60_000),
      signal: more.signal ?? new AbortController().signal,
    }
    return [call, matched]
  }

  return {
    cache,
    epochs,
    deployments,
    purgedKeys,
    flights,
    ready,
    splitter,
    poll: async () => void (await Promise.all([epochs.poll(), deployments.poll(), purgedKeys.poll()])),
    async ask(body, more = {}) {
      const began = clock.now()
      const leaving = new AbortController()
      const stop = clock.after(more.timeoutMs ?? 60_000, () =>
        leaving.abort(new GatewayError('deadline', 'no answer in time')),
      )
      const signal = more.signal ? AbortSignal.any([more.signal, leaving.signal]) : leaving.signal
      const [call, matched] = request(body, { ...more, signal })
      try {
        const { reply, outcome } = await pipeline(call, matched)
        const text = await textOf(reply)
        return {
          status: reply.status,
          text,
          predictions: predictionsOf(text),
          cacheStatus: cacheStatus(outcome),
          age: age(outcome),
          outcome,
          fault: undefined,
          ms: clock.now() - began,
        }
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error
        return {
          status: error.fault.status,
          text: error.message,
          predictions: undefined,
          cacheStatus: undefined,
          age: undefined,
          outcome: undefined,
          fault: error.code,
          ms: clock.now() - began,
        }
      } finally {
        stop()
      }
    },
    explain: (body, more = {}) =>
      explain(
        { keyer, decisions, http, cache, memory: 'memory', splitting, wall: () => clock.wall() },
        ...request(body, more),
      ),
  }
}

type DispatchParts = Pick<GatewayParts, 'place' | 'clock' | 'asked' | 'script'>

/** Dispatch that ends at the script; the answer of a call that was cut meanwhile is lost, as on a socket. */
function scripted({ place, clock, asked, script }: DispatchParts): Dispatch {
  return (call: Call, _: Matched, shipment: UpstreamRequest): Promise<UpstreamResponse> =>
    new Promise((resolve, reject) => {
      const { signal, headers, body } = shipment
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      const began = clock.now()
      const { instances } = JSON.parse(Buffer.from(body as Uint8Array).toString()) as { instances: unknown[] }
      const caller = header(call.headers, 'authorization') ?? ''
      const upstream = { gateway: place, serial: asked.length + 1, began, caller, instances, headers }
      asked.push(upstream)
      void Promise.resolve(script(upstream)).then((reply) => {
        if (reply instanceof GatewayError) return reject(reply)
        const { reply: said, version } = 'reply' in reply ? reply : { reply, version: undefined }
        const models = version === undefined ? [] : [{ name: 'm', version }]
        const backend = { ...BACKEND, models }
        resolve({ reply: collected(said, shipment), backend, ms: clock.now() - began })
      }, reject)
    })
}

/** What is longer than was to be collected arrives as a stream. */
function collected(reply: Reply, { collectBytes }: UpstreamRequest): Reply {
  const { body } = reply
  if (!(body instanceof Uint8Array) || (collectBytes > 0 && body.length <= collectBytes)) return reply
  return {
    ...reply,
    body: (async function* () {
      yield body
    })(),
  }
}

const BACKEND: UpstreamResponse['backend'] = {
  id: 'b',
  slot: 0,
  generation: 1,
  url: 'http://127.0.0.1:1',
  models: [],
  weight: 1,
  state: 'ready',
  reason: '',
  readySince: 0,
}

async function textOf({ body }: Reply): Promise<string> {
  if (body instanceof Uint8Array) return Buffer.from(body).toString()
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function predictionsOf(text: string): readonly unknown[] | undefined {
  try {
    return (JSON.parse(text) as { predictions?: unknown[] }).predictions
  } catch {
    return undefined
  }
}

/** The request body for these rows. */
export const bodyOf = (rows: readonly unknown[]): string => JSON.stringify({ instances: rows })

/** A reply that comes `ms` of virtual time later. */
export function later(clock: FakeClock, ms: number, reply: Scripted): Promise<Scripted> {
  return new Promise((resolve) => void clock.after(ms, () => resolve(reply)))
}
