/**
 * One load: the shared tiers first, then one upstream request for the rows that nobody has. Every row of the
 * load lands: as an entry, or as what came instead of one.
 */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { Row } from '../../protocol/protocol.ts'
import { letGo } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { CacheHit, Tiered } from '../cache/tiered.ts'
import { keptHeaders, rowHeaders, saidOf } from '../decision/storable.ts'
import type { Claims } from '../flight/claims.ts'
import type { Load } from '../flight/flights.ts'
import type { Holding, Leases } from '../flight/leases.ts'
import { callerTimeout } from '../http/deadlines.ts'
import { staleWindows } from '../http-cache/keep.ts'
import {
  type Life,
  lifeOf,
  NOTHING_SAID,
  type ResponseDirectives,
} from '../http-cache/response-directives.ts'
import { answeredBy } from '../key/answered-by.ts'
import { type Forms, suits } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'
import type { UpstreamResponse } from '../upstream/upstream-call.ts'
import type { Fetch, FetchedAnswer, Order } from './fetch.ts'

export interface FillParts extends VersionRules {
  readonly cache: Tiered
  readonly fetch: Fetch
  /** Undefined: this route's gateways do not wait for each other. */
  readonly leases: (matched: Matched) => Leases | undefined
  /** Undefined: this process has one worker. */
  readonly claims?: Claims | undefined
  readonly forms: Pick<Forms, 'learn'>
  readonly refusalOf: RefusalOf
  readonly clock: Clock
  readonly random: () => number
}

export type Fill = (context: LookupContext, load: Load<LoadResult>) => Awaitable<void>

export function createFill(parts: FillParts): Fill {
  const { cache, clock, fetch } = parts

  return function fill(context, load) {
    const { claims } = parts
    if (!claims || context.wish.noCache) return run(context, load)
    // Other workers may be loading the same rows: one of them does, the others find it in the memory they share.
    return claims.load({
      digests: load.digests,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest) => inMemory(context, load, digest),
      fetch: async (digests, landed) => run(context, new Part(load, digests, landed)),
    })
  }

  function inMemory(context: LookupContext, load: Load<LoadResult>, digest: Digest): boolean {
    const entry = cache.peek(digest)
    if (!entry || !suits(entry, context) || !parts.mayGive(context.matched, entry)) return false
    if (judge(entry, context.wish, clock.wall()) !== 'fresh') return false
    load.land(digest, { kind: 'entry', entry, tier: undefined, joined: true })
    return true
  }

  function run(context: LookupContext, load: Load<LoadResult>): Awaitable<void> {
    const isAsked = context.seed.shared && cache.hasShared && !context.wish.noCache && !context.isSought
    if (!isAsked) return fromOthers(context, load, load.digests)
    return after(cache.lookup(load.digests), (found) => {
      const rest = load.digests.filter((digest, i) => !landed(context, load, digest, found[i]))
      return rest.length > 0 ? fromOthers(context, load, rest) : undefined
    })
  }

  /** What no tier has. */
  function fromOthers(
    context: LookupContext,
    load: Load<LoadResult>,
    rest: readonly Digest[],
  ): Awaitable<void> {
    const leases = context.seed.writable && !context.wish.noCache ? parts.leases(context.matched) : undefined
    if (!leases) return fromBackend(context, load, rest)
    // Other gateways may be asking for the same rows: one of them fetches, the others wait for what it stores.
    return leases.load({
      digests: rest,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest, value) => landed(context, load, digest, cache.read(digest, value)),
      fetch: async (digests, holding) => fromBackend(context, load, digests, holding),
    })
  }

  function landed(
    context: LookupContext,
    load: Load<LoadResult>,
    digest: Digest,
    found: CacheHit | undefined,
  ): boolean {
    // What another gateway keeps of a version that is not known here is not our backends' answer.
    if (!found || !suits(found.entry, context) || !parts.mayGive(context.matched, found.entry)) return false
    const freshness = judge(found.entry, context.wish, clock.wall())
    if (freshness === 'fresh') {
      load.land(digest, { kind: 'entry', ...found })
      return true
    }
    if (freshness !== 'dead') context.lookups.fallBack(digest, found.entry)
    return false
  }

  function fromBackend(
    context: LookupContext,
    load: Load<LoadResult>,
    digests: readonly Digest[],
    holding?: Holding,
  ): Awaitable<void> {
    const { lookups } = context
    const isAll = digests.length === lookups.items.length
    const rows = isAll ? lookups.rows : lookups.rowsOf(digests)
    const isWhole = context.rows === undefined || (lookups.plain && isAll)
    const order = { rows, isWhole, signal: load.signal, until: load }
    return after(fetch(context, order), (arrived) => {
      if ('unkept' in arrived)
        landUnkept(parts, context, { load, digests, reply: arrived.unkept, partial: !isWhole })
      else keep(context, { load, digests, holding, order, own: arrived.own }, arrived.kept)
    })
  }

  /** Stores and lands what may be kept, a row at a time: memory has it before its flight ends. */
  function keep(
    context: LookupContext,
    { load, digests, holding, order, own }: Fetched,
    all: readonly FetchedAnswer[],
  ): void {
    const versions = versionsOf(parts, context.matched, all)
    for (let i = 0; i < all.length; i++) {
      if (parts.mayKeep(context.matched, versions[i])) continue
      // A version that nobody has told of yet: its key is still that of the one before. Of a batch the answer may hold
      // the rows of others too: then it is nobody's.
      const isOwn = order.isWhole && context.matched.route.batch === undefined
      const { reply } = (all[i] as FetchedAnswer).delivered
      return landUnkept(parts, context, { load, digests, reply, partial: !isOwn })
    }
    const { seed } = context
    // Under what others have said of theirs nothing of our backends' is kept, as nobody has said yet that it is the same.
    const isLent = seed.shared && !seed.writable
    // Of whole calls only.
    const [first] = all as [FetchedAnswer]
    const { reply } = first.delivered
    if (reply.status !== 200) {
      if (!isLent) return refuse(context, { load, digests }, first, versions[0])
      return landUnkept(parts, context, { load, digests, reply, partial: false })
    }
    // A call in a form that the server had not been seen to take.
    if (!context.isShown) parts.forms.learn(context.matched, context.plan, reply)
    const plain = { memoryOnly: !seed.writable, began: context.began }
    for (let i = 0; i < order.rows.length; i++) {
      const { digest } = order.rows[i] as Row
      const entry = entryOf(context, digest, all[i] as FetchedAnswer, versions[i])
      const isKept = !isLent && cache.store(entry, holding ? { ...plain, ...holding.storing(digest) } : plain)
      load.land(digest, { kind: 'entry', entry, tier: undefined, lost: !isKept, own })
    }
  }

  /** A refusal is kept in memory, beside the key: that is of calls which a backend may take. */
  function refuse(
    context: LookupContext,
    { load, digests }: OpenLoad,
    kept: FetchedAnswer,
    version: string | undefined,
  ): void {
    const key = parts.refusalOf(context)
    const entry = key && entryOf(context, key, kept, version)
    if (entry) cache.store(entry, { memoryOnly: true, began: context.began })
    if (!entry || !cache.peek(entry.digest))
      return landUnkept(parts, context, { load, digests, reply: kept.delivered.reply, partial: false })
    for (const digest of digests) load.land(digest, { kind: 'entry', entry, tier: undefined })
  }

  function entryOf(
    { matched, form }: LookupContext,
    digest: Digest,
    { answer, delivered, form: ownForm }: FetchedAnswer,
    version: string | undefined,
  ): Entry {
    const { reply, ms } = delivered
    const cached = matched.route.cache as RouteCache
    const negative = reply.status !== 200
    const ttl = (negative ? cached.negativeTtl : cached.ttl) * (1 + cached.jitter * (2 * parts.random() - 1))
    const said = cached.heedBackend ? saidOf(reply) : NOTHING_SAID
    const at = clock.wall()
    // Most say nothing.
    const life: Life =
      said === NOTHING_SAID ? { createdAt: at, ttlMs: ttl } : lifeOf(said, { at, delayMs: ms }, ttl)
    const windows = negative ? NO_WINDOWS : windowsOf(said, cached)
    return {
      digest,
      kind: answer ? 'row' : 'reply',
      status: reply.status,
      headers: answer ? rowHeaders(reply) : keptHeaders(reply),
      body: answer ? answer.slice : (reply.body as Uint8Array),
      frame: answer?.frame,
      createdAt: life.createdAt,
      ttlMs: life.ttlMs,
      swrMs: windows.swrMs,
      sieMs: windows.sieMs,
      version: version ?? '',
      negative,
      form: ownForm ?? form,
    }
  }
}

const NO_WINDOWS = { swrMs: 0, sieMs: 0 }

/** The route's windows are the longest. */
function windowsOf(
  said: ResponseDirectives,
  cached: RouteCache,
): { readonly swrMs: number; readonly sieMs: number } {
  const { staleWhileRevalidate, staleIfError } = cached
  if (staleWhileRevalidate === 0 && staleIfError === 0) return NO_WINDOWS
  const { swrMs, sieMs } = staleWindows(said, cached)
  return { swrMs: Math.min(swrMs, staleWhileRevalidate), sieMs: Math.min(sieMs, staleIfError) }
}

/** Some rows of a load, whose landing others wait for as well. */
class Part implements Load<LoadResult> {
  readonly digests: readonly Digest[]
  readonly #load: Load<LoadResult>
  readonly #landed: (digest: Digest) => void

  constructor(load: Load<LoadResult>, digests: readonly Digest[], landed: (digest: Digest) => void) {
    this.#load = load
    this.digests = digests
    this.#landed = landed
  }

  get signal(): Load<LoadResult>['signal'] {
    return this.#load.signal
  }

  get deadline(): number {
    return this.#load.deadline
  }

  get isJoined(): boolean {
    return this.#load.isJoined === true
  }

  land(digest: Digest, result: LoadResult): void {
    this.#load.land(digest, result)
    this.#landed(digest)
  }
}

/** The version behind each answer; read once a reply, however many rows were cut from it. */
function versionsOf(
  { stated }: Pick<VersionRules, 'stated'>,
  matched: Matched,
  kept: readonly FetchedAnswer[],
): readonly (string | undefined)[] {
  const { protocol, target } = matched
  const versions: (string | undefined)[] = []
  let last: UpstreamResponse | undefined
  let version: string | undefined
  for (const { delivered } of kept) {
    if (delivered !== last) {
      const { reply, backend } = delivered
      const said = protocol.version?.(reply, reply.body as Uint8Array)
      if (said !== undefined) stated(matched, backend, said)
      version = answeredBy(target, backend, said)
      last = delivered
    }
    versions.push(version)
  }
  return versions
}

/** What was asked for. */
interface OpenLoad {
  readonly load: Load<LoadResult>
  readonly digests: readonly Digest[]
}

/** What was asked of a backend. */
interface Fetched extends OpenLoad {
  /** The leases under which they were fetched. */
  readonly holding: Holding | undefined
  readonly order: Order
  readonly own: Reply | undefined
}

/** How long an answer for one taker waits for it, while that caller waits for rows that others load. */
const TAKE_MS = 1000

/** What may be said of who asks and not of what is asked. */
const PERSONAL = new Set([401, 403, 407, 429])
/** What a backend says that was told of a deadline, and could not meet it. */
const LATE = new Set([408, 504])

/** What says that the backend is in trouble, and nothing of the call. */
const OF_NO_CALL = new Set([429, 502, 503, 504])

interface Unkept extends OpenLoad {
  readonly reply: Reply
  readonly partial: boolean
}

function landUnkept(
  { refusalOf }: Pick<FillParts, 'refusalOf'>,
  context: LookupContext,
  { load, digests, reply, partial }: Unkept,
): void {
  // A refusal is the same for all who asked in the same way; anything else not to be kept is one caller's own.
  const sharable =
    reply.body instanceof Uint8Array && reply.status !== 200 && !/set-cookie/i.test(reply.headers.join('\n'))
  if (sharable) {
    const isForCaller = context.matched.route.cache?.scope === 'shared' && PERSONAL.has(reply.status)
    const isForTime = LATE.has(reply.status) && callerTimeout(context.call.headers) !== undefined
    const personal = isForCaller || isForTime
    const said = OF_NO_CALL.has(reply.status) ? 'to all' : refusalOf(context)
    for (const digest of digests) load.land(digest, { kind: 'reply', reply, partial, personal, said })
    return
  }
  let left: Reply | undefined = reply
  const take = () => {
    const taken = left
    left = undefined
    return taken
  }
  for (const digest of digests) load.land(digest, { kind: 'single', take, partial })
  setTimeout(() => {
    letGo(take()?.body)
  }, TAKE_MS).unref()
}
