/**
 * The data plane as the gateway has it (`assemble`), several times over, in one process and on a clock of the test's: N gateways
 * over one shared tier whose faults the test chooses, before a scripted backend that is a function of version, caller and
 * row. Calls come by the door, and so by the shortest way that has their answer, or straight into the pipeline.
 */
import { BlockList } from 'node:net'
import { type Call, header, type RawPairs } from '../../src/core/call.ts'
import { GatewayError } from '../../src/core/errors.ts'
import type { TenantSettings } from '../../src/core/identity.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Outcome, Reply } from '../../src/core/reply.ts'
import { assemble } from '../../src/data/assemble.ts'
import type { ApiKey } from '../../src/data/auth/api-keys.ts'
import { Authenticator, NO_CREDENTIALS } from '../../src/data/auth/authenticator.ts'
import { TenantPolicies } from '../../src/data/auth/policies.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import type { ReadyAnswers } from '../../src/data/hits/ready-answers.ts'
import { endToEnd } from '../../src/data/http/headers.ts'
import { age, cacheStatus } from '../../src/data/http/status.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { EVERYTHING, PURGED_KEYS } from '../../src/data/key/epoch-names.ts'
import { Epochs } from '../../src/data/key/epochs.ts'
import { principalOf } from '../../src/data/key/meaning.ts'
import { PurgedKeys } from '../../src/data/key/purged-keys.ts'
import { PoolWeights, type Sticky, type Weights } from '../../src/data/route/pool-weights.ts'
import { createRouter, type Matched, type RouteCache } from '../../src/data/route/routes.ts'
import type { Splitter } from '../../src/data/rows/splitter.ts'
import type { Explanation } from '../../src/data/serve/explain.ts'
import type { Dispatch, UpstreamRequest, UpstreamResponse } from '../../src/data/upstream/upstream-call.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { oip } from '../../src/protocol/oip/oip.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeTier } from './fake-tier.ts'
import { tenantTables } from './tenant-tables.ts'
import { type AnsweredBy, TestDoor } from './test-door.ts'

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
  readonly pool: string
  /** Counts all upstream requests from 1, in the order in which they began. */
  readonly serial: number
  readonly began: number
  /** The principal, or what stands in Authorization where nobody is asked. */
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
  readonly by: AnsweredBy
}

/** `door`: by the shortest way that has the answer; `http2`: the same, as a stream of HTTP/2; `pipeline`: by the long one. */
export type Way = 'door' | 'http2' | 'pipeline'
export const WAYS: readonly Way[] = ['door', 'http2', 'pipeline']

export interface AskOptions {
  readonly headers?: RawPairs
  readonly method?: string
  readonly model?: string
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  /** Left out: the door. */
  readonly way?: Way | undefined
}

export interface TestGateway {
  readonly cache: Tiered
  readonly epochs: Epochs
  readonly deployments: Deployments
  readonly purgedKeys: PurgedKeys
  /** Loads that are under way. */
  readonly loads: number
  readonly ready: ReadyAnswers
  readonly splitter: Splitter
  /** Of the split, where the route has one. */
  readonly weights: PoolWeights | undefined
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
  /** Keys of callers, as the settings have them; left out: nobody is asked. */
  readonly keys?: readonly ApiKey[]
  /** What the tenants of these callers may have; left out: whatever they want. */
  readonly tenants?: Readonly<Record<string, TenantSettings>>
  readonly script?: Script
  readonly random?: () => number
  /** By how many the calls of one caller are taken; each has its part of what a caller may have. */
  readonly workers?: number
  /** Pools that the calls are spread over, by weight; left out: `main`. Each gateway has weights of its own (`TestGateway.weights`). */
  readonly split?: {
    readonly weights: Weights
    readonly sticky: Sticky
    /** The first gateway that has it; those before have `main` alone. Left out: all have it. */
    readonly from?: number
  }
  /** Pools that answer when the first cannot. */
  readonly fallback?: readonly string[]
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
      const pools = new Set([
        ...Object.keys(options.split?.weights ?? { main: 1 }),
        ...(options.fallback ?? []),
      ])
      for (const { deployments } of world.gateways)
        for (const pool of pools) deployments.learn({ pool, model: 'm', evidence, versions: [evidence] })
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
  const readyBytes = options.memory === false ? 0 : 256 * 1024
  const changed = () => plane.changed()
  const epochs = new Epochs({ shared, clock, log, changed })
  const deployments = new Deployments({ shared, clock, log, changed })
  const purgedKeys = new PurgedKeys({
    shared,
    clock,
    log,
    forget: (digest) => plane.forget(digest),
    purged: () => epochs.purge([PURGED_KEYS]),
    overflow: () => epochs.purge([EVERYTHING]),
  })
  const main = {
    name: 'main',
    match: {},
    protocols: [tfserving, oip],
    pool: 'main',
    timeout: 60_000,
    pure: true,
    cache: { ...CACHE, ...options.cache },
    ...(options.keys && { auth: 'required' as const }),
  }
  const split = options.split && place >= (options.split.from ?? 0) ? options.split : undefined
  const weights = split && new PoolWeights(split.weights, split.sticky)
  const to = (pool: string) => {
    const others = options.fallback?.filter((other) => other !== pool) ?? []
    const fallback = others.map((other) => ({ ...main, pool: other }))
    return { ...main, pool, ...(fallback.length > 0 && { fallback }) }
  }
  const route = createRouter([
    weights ? { ...main, pool: '', split: { weights, routes: weights.pools.map(to) } } : to('main'),
  ])
  const auth = options.keys && authenticating(options.keys, options.tenants, clock)
  const live = { route, maxBodyBytes: 1024 * 1024, trusted: new BlockList(), scheme: 'http' as const, auth }
  const door = new TestDoor()
  const plane = assemble({
    live: () => live,
    cache,
    memory: 'memory',
    readyBytes,
    facts: { epochs, deployments },
    claims: undefined,
    requestRelay: (_, { port }) => port.close(),
    ...tenantTables(() => clock.now()),
    workers: options.workers ?? 1,
    backends: {
      dispatch: scripted({ place, clock, asked, script }),
      sendOnce: scripted({ place, clock, asked, script }),
      hasTransport: () => true,
      queueing: () => false,
      members: () => [],
      ask: async () => undefined,
      busy: () => false,
      maxBatch: () => undefined,
      serviceMs: () => 0,
    },
    observer: door.observer,
    log,
    clock,
    wheel: new Wheel(clock, 1),
    random,
    stated: () => {},
    redeployed: (pool, model) => deployments.redeployed(pool, model),
  })

  function headOf({ headers = [], method = 'POST', model = 'm' }: AskOptions) {
    const path = `/v1/models/${model}:predict`
    const pairs = header(headers, 'content-type') ? headers : ['content-type', 'application/json', ...headers]
    return { method, path, pairs }
  }

  function request(body: string, more: AskOptions): [Call, Matched] {
    const { method, path, pairs } = headOf(more)
    const who = auth?.identify(pairs, { peer: '127.0.0.1' })
    const identity = who instanceof Promise ? undefined : who?.identity
    const matched = route({ method, path, host: '', headers: pairs, tenant: identity?.tenant })
    if (!matched) throw new Error(`no route for ${method} ${path}`)
    const call: Call = {
      id: 'test',
      method,
      path,
      query: '',
      headers: auth ? endToEnd(pairs, auth.stripped) : pairs,
      host: '',
      peer: '127.0.0.1',
      principal: identity?.principal ?? principalOf(pairs),
      identity,
      target: matched.target,
      body: Buffer.from(body),
      deadline: clock.now() + (more.timeoutMs ?? 60_000),
      signal: more.signal ?? new AbortController().signal,
    }
    return [call, matched]
  }

  /** As a client asks, over the fast door. */
  async function throughDoor(body: string, options: AskOptions): Promise<Told> {
    const began = clock.now()
    const { method, path, pairs } = headOf(options)
    const { timeoutMs, signal } = options
    const asked = { method, target: path, headers: pairs, body: Buffer.from(body), timeoutMs, signal }
    const { headers, text, answered, by } =
      options.way === 'http2'
        ? await door.askHttp2(plane.ingress, asked)
        : await door.ask(plane.ingress, asked)
    const { fault, status, outcome } = answered
    const seconds = header(headers, 'age')
    return {
      status,
      text,
      predictions: predictionsOf(text),
      cacheStatus: header(headers, 'cache-status'),
      age: seconds === undefined ? undefined : Number(seconds),
      outcome: fault === undefined ? outcome : undefined,
      fault,
      ms: clock.now() - began,
      by,
    }
  }

  /** As the door asks where no hit can answer. */
  async function throughPipeline(body: string, options: AskOptions): Promise<Told> {
    const began = clock.now()
    const leaving = new AbortController()
    const stop = clock.after(options.timeoutMs ?? 60_000, () =>
      leaving.abort(new GatewayError('deadline', 'no answer in time')),
    )
    const signal = options.signal ? AbortSignal.any([options.signal, leaving.signal]) : leaving.signal
    try {
      const { reply, outcome } = await plane.answer(...request(body, { ...options, signal }))
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
        by: 'pipeline',
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
        by: 'pipeline',
      }
    } finally {
      stop()
    }
  }

  return {
    cache,
    epochs,
    deployments,
    purgedKeys,
    ready: plane.ready,
    splitter: plane.splitter,
    weights,
    get loads() {
      return plane.loads
    },
    poll: async () => void (await Promise.all([epochs.poll(), deployments.poll(), purgedKeys.poll()])),
    ask: (body, more = {}) =>
      more.way === 'pipeline' ? throughPipeline(body, more) : throughDoor(body, more),
    explain: (body, more = {}) => plane.explain(...request(body, more)),
  }
}

function authenticating(
  keys: readonly ApiKey[],
  tenants: WorldOptions['tenants'],
  clock: FakeClock,
): Authenticator {
  return new Authenticator({
    settings: { keys, jwt: [], forward: false, required: true },
    credentials: NO_CREDENTIALS,
    policies: tenants && new TenantPolicies(tenants),
    proxies: new BlockList(),
    keyMissing: async () => {},
    clock,
  })
}

type DispatchParts = Pick<GatewayParts, 'place' | 'clock' | 'asked' | 'script'>

/** Dispatch that ends at the script; the answer of a call that was cut meanwhile is lost, as on a socket. */
function scripted({ place, clock, asked, script }: DispatchParts): Dispatch {
  return (call: Call, { route }: Matched, request: UpstreamRequest): Promise<UpstreamResponse> =>
    new Promise((resolve, reject) => {
      const { signal, headers, body } = request
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      const began = clock.now()
      const { instances } = JSON.parse(Buffer.from(body as Uint8Array).toString()) as { instances: unknown[] }
      const caller = call.identity?.principal ?? header(call.headers, 'authorization') ?? ''
      const { pool } = route
      const upstream = { gateway: place, pool, serial: asked.length + 1, began, caller, instances, headers }
      asked.push(upstream)
      void Promise.resolve(script(upstream)).then((reply) => {
        if (reply instanceof GatewayError) return reject(reply)
        const { reply: said, version } = 'reply' in reply ? reply : { reply, version: undefined }
        const models = version === undefined ? [] : [{ name: 'm', version }]
        const backend = { ...BACKEND, models }
        resolve({ reply: collected(said, request), backend, ms: clock.now() - began })
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
