/**
 * Runs one load: looks into the shared tiers, and sends one upstream request for the rows that no tier has. Every row of the
 * load lands, with an entry or with what came instead of one.
 */
import type { Digest } from '../../core/key.ts'
import type { Observer } from '../../core/observer.ts'
import type { Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaitable, after } from '../../lib/deferred.ts'
import type { Row } from '../../protocol/protocol.ts'
import { verdictOf } from '../../protocol/verdict.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { CacheHit, Tiered } from '../cache/tiered.ts'
import { keptHeaders, keptTrailers, responseDirectivesOf, rowHeaders } from '../decision/storable.ts'
import type { Claims } from '../flight/claims.ts'
import type { Load } from '../flight/flights.ts'
import type { Holding, Leases } from '../flight/leases.ts'
import { PartialLoad } from '../flight/partial-load.ts'
import type { GenerationTable } from '../generation/generation-table.ts'
import { NO_WINDOWS, windowsWithin } from '../http-cache/keep.ts'
import { type Life, lifeOf, NO_RESPONSE_DIRECTIVES } from '../http-cache/response-directives.ts'
import { type Forms, suits } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { TypicalCosts } from '../measure/typical-cost.ts'
import type { Matched, RouteCache } from '../route/routes.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'
import { versionsOf } from './answer-versions.ts'
import type { Fetch, FetchOptions } from './fetch.ts'
import { createFollow, type Follow, type FollowParts } from './follow.ts'
import type { FetchedAnswer, FetchResult, SomeAnswers } from './in-parts.ts'
import { landUnstored, type UnstoredReply } from './unstored.ts'

export interface FillParts extends VersionRules {
  readonly cache: Tiered
  readonly fetch: Fetch
  readonly generations: Pick<GenerationTable, 'run'>
  /** Undefined: this route's gateways do not wait for each other. */
  readonly leases: (matched: Matched) => Leases | undefined
  /** Undefined: this process has one worker. */
  readonly claims?: Claims | undefined
  readonly requestRelay: FollowParts['requestRelay']
  readonly forms: Pick<Forms, 'learn'>
  readonly refusalOf: RefusalOf
  readonly observer: Pick<Observer, 'generated'>
  readonly typicalCosts: TypicalCosts
  readonly clock: Clock
  readonly random: () => number
}

export class Fill {
  readonly #parts: FillParts
  readonly #follow: Follow

  constructor(parts: FillParts) {
    this.#parts = parts
    this.#follow = createFollow(parts)
  }

  /** Lands every row of the load, or fails; the rows left open then land with the error. */
  load(context: LookupContext, load: Load<LoadResult>): Awaitable<void> {
    const { claims } = this.#parts
    if (!claims || context.directives.noCache) return this.#loadFromTiers(context, load)
    // Other workers may want the same rows: one worker loads them, the others find them in the shared process memory, or
    // read a generation along with it.
    return claims.load({
      digests: load.digests,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest) => this.#landedFromMemory(context, load, digest),
      fetch: async (digests, landed) => this.#loadFromTiers(context, new PartialLoad(load, digests, landed)),
      follow:
        context.plan.generation && ((digest, worker) => this.#follow(context, load, { digest, worker })),
    })
  }

  #landedFromMemory(context: LookupContext, load: Load<LoadResult>, digest: Digest): boolean {
    const { cache, clock, mayGive } = this.#parts
    const entry = cache.peek(digest)
    if (!entry || !suits(entry, context) || !mayGive(context.matched, entry)) return false
    if (judge(entry, context.directives, clock.wall()) !== 'fresh') return false
    load.land(digest, { kind: 'entry', entry, tier: undefined, joined: true })
    return true
  }

  #loadFromTiers(context: LookupContext, load: Load<LoadResult>): Awaitable<void> {
    const { cache, clock } = this.#parts
    const shouldLookUp =
      context.seed.shared && cache.hasShared && !context.directives.noCache && !context.isTierMiss
    if (!shouldLookUp) return this.#loadFromPeers(context, load, load.digests)
    const from = clock.now()
    return after(cache.lookup(load.digests), (found) => {
      context.call.record?.step('cache', from, clock.now(), found.find((hit) => hit)?.tier)
      const missing = load.digests.filter((digest, i) => !this.#landed(context, load, digest, found[i]))
      return missing.length > 0 ? this.#loadFromPeers(context, load, missing) : undefined
    })
  }

  /** For rows that no tier has. If the route has leases, another gateway may already be fetching them. */
  #loadFromPeers(
    context: LookupContext,
    load: Load<LoadResult>,
    digests: readonly Digest[],
  ): Awaitable<void> {
    const mayWait = context.seed.writable && !context.directives.noCache && !isStreamed(context)
    const leases = mayWait ? this.#parts.leases(context.matched) : undefined
    if (!leases) return this.#loadFromBackend(context, load, digests)
    // Of the gateways that want the same rows, one fetches them, and the others wait for what it stores.
    return leases.load({
      digests,
      signal: load.signal,
      get deadline() {
        return load.deadline
      },
      found: (digest, value) => this.#landed(context, load, digest, this.#parts.cache.read(digest, value)),
      fetch: async (digests, holding) => this.#loadFromBackend(context, load, digests, holding),
    })
  }

  /** Lands an entry that a tier has, if it answers this call; returns whether it does. */
  #landed(
    context: LookupContext,
    load: Load<LoadResult>,
    digest: Digest,
    found: CacheHit | undefined,
  ): boolean {
    // An entry that another gateway stored for a version unknown here is not an answer of our backends.
    const { clock, mayGive } = this.#parts
    if (!found || !suits(found.entry, context) || !mayGive(context.matched, found.entry)) return false
    const freshness = judge(found.entry, context.directives, clock.wall())
    if (freshness === 'fresh') {
      load.land(digest, { kind: 'entry', ...found })
      return true
    }
    if (freshness !== 'dead') context.lookups.fallBack(digest, found.entry)
    return false
  }

  #loadFromBackend(
    context: LookupContext,
    load: Load<LoadResult>,
    digests: readonly Digest[],
    holding?: Holding,
  ): Awaitable<void> {
    const { lookups } = context
    const isAll = digests.length === lookups.items.length
    const rows = isAll ? lookups.rows : lookups.rowsOf(digests)
    const isWhole = context.rows === undefined || (lookups.isDistinct && isAll)
    const options = { rows, isWhole, signal: load.signal, until: load }
    return after(this.#parts.fetch(context, options), (arrived) => {
      const fetched = { load, digests, holding, options, leaderReply: undefined }
      this.#count(context, arrived)
      if ('unstored' in arrived)
        this.#landUnstored(context, { load, digests, reply: arrived.unstored, partial: !isWhole })
      else if ('some' in arrived) this.#keepSome(context, fetched, arrived)
      else if ('running' in arrived) this.#run(context, fetched, arrived)
      else this.#keep(context, { ...fetched, leaderReply: arrived.leaderReply }, arrived.answers)
    })
  }

  /** Counts the tokens of a generation that came in one piece. */
  #count({ matched, plan }: LookupContext, arrived: FetchResult): void {
    if (!plan.generation || 'running' in arrived || 'some' in arrived) return
    const reply = 'unstored' in arrived ? arrived.unstored : arrived.leaderReply
    const tokens = reply && matched.protocol.generation?.tokens(reply)
    if (tokens) this.#parts.observer.generated(matched.target.model ?? '', { tokens })
  }

  /** Keeps the rows that were answered. The others land with the reply to their request, or fail with it. */
  #keepSome(context: LookupContext, fetched: Fetched, { some, rest }: SomeAnswers): void {
    const { load, digests, options } = fetched
    const rows = options.rows.filter((_, i) => some.has(i))
    const known = digests.filter((_, i) => some.has(i))
    const answers = options.rows.flatMap((_, i) => some.get(i) ?? [])
    this.#keep(
      context,
      { ...fetched, digests: known, options: { ...options, rows, isWhole: false } },
      answers,
    )
    if ('error' in rest) throw rest.error
    const left = digests.filter((_, i) => !some.has(i))
    this.#landUnstored(context, { load, digests: left, reply: rest.unstored, partial: true })
  }

  /** Events that arrive land with their beginning, and are kept with their end. */
  #run(
    context: LookupContext,
    fetched: Fetched,
    { running, isShared }: Extract<FetchResult, { running: unknown }>,
  ): void {
    const { load, digests } = fetched
    const { generations, cache, clock } = this.#parts
    const askedAt = clock.now() - running.ms
    const keep = (events: Uint8Array) =>
      isShared
        ? this.#keptOf(context, fetched, {
            answer: undefined,
            response: { ...running, reply: { ...running.reply, body: events } },
            costMs: clock.now() - askedAt,
          })
        : undefined
    // Nobody joins what was asked for before the key was purged.
    const isJoinable = isShared && digests.every((digest) => cache.passes(digest, context.began))
    const generation = generations.run(context, running, { isJoinable, keep })
    if (isShared) {
      for (const digest of digests) load.land(digest, { kind: 'running', generation })
      return
    }
    const reply = generation.replyTo(context, true) as Reply
    this.#landUnstored(context, { load, digests, reply, partial: false })
  }

  /** Stores a generation that is over, as an answer that came in one piece; undefined: it may not be kept. */
  #keptOf(context: LookupContext, fetched: Fetched, answer: FetchedAnswer): Entry | undefined {
    let kept: Entry | undefined
    const { signal, deadline } = context.call
    const { digests } = fetched
    const land = (_digest: Digest, result: LoadResult) => {
      if (result.kind === 'entry') kept = result.entry
    }
    this.#keep(context, { ...fetched, load: { digests, signal, deadline, land } }, [answer])
    return kept
  }

  /** Stores and lands the answers row by row: each is in memory before its flight ends, so the next call finds one or the other. */
  #keep(
    context: LookupContext,
    { load, digests, holding, options, leaderReply }: Fetched,
    all: readonly FetchedAnswer[],
  ): void {
    const { cache, forms, mayKeep } = this.#parts
    const versions = versionsOf(this.#parts, context.matched, all)
    for (let i = 0; i < all.length; i++) {
      if (mayKeep(context.matched, versions[i])) continue
      // The answer is of a version that is not announced yet, so its key is still that of the version before: it is not
      // stored. The reply to a batch may hold other callers' rows, so then it is given to nobody.
      const isOwn = options.isWhole && context.matched.route.batch === undefined
      const { reply } = (all[i] as FetchedAnswer).response
      return this.#landUnstored(context, { load, digests, reply, partial: !isOwn })
    }
    const { seed } = context
    // The seed is made of what other gateways announced for their backends. Until ours are known to serve the same, nothing
    // that they answer is stored under it.
    const isSeedReadOnly = seed.shared && !seed.writable
    // Only the reply to a whole call can be a refusal here.
    const [first] = all as [FetchedAnswer]
    const { reply } = first.response
    if (verdictOf(context.matched.protocol, reply).kind !== 'ok') {
      if (!isSeedReadOnly) return this.#keepRefusal(context, { load, digests }, first, versions[0])
      return this.#landUnstored(context, { load, digests, reply, partial: false })
    }
    // The call was the first in its form: its answer shows that the server takes the form.
    if (!context.isShown) forms.learn(context.matched, context.plan, reply)
    const plain = { memoryOnly: !seed.writable, began: context.began }
    for (let i = 0; i < options.rows.length; i++) {
      const { digest } = options.rows[i] as Row
      const entry = this.#entryOf(context, digest, all[i] as FetchedAnswer, versions[i])
      const isStored =
        !isSeedReadOnly && cache.store(entry, holding ? { ...plain, ...holding.storing(digest) } : plain)
      load.land(digest, { kind: 'entry', entry, tier: undefined, notStored: !isStored, leaderReply })
    }
  }

  /** Stores a refusal in memory, under a key of its own: the call's key also covers calls that a backend may accept. */
  #keepRefusal(
    context: LookupContext,
    { load, digests }: OpenLoad,
    answer: FetchedAnswer,
    version: string | undefined,
  ): void {
    const { cache, refusalOf } = this.#parts
    const key = refusalOf(context)
    const entry = key && this.#entryOf(context, key, answer, version)
    if (entry) cache.store(entry, { memoryOnly: true, began: context.began })
    if (!entry || !cache.peek(entry.digest))
      return this.#landUnstored(context, { load, digests, reply: answer.response.reply, partial: false })
    for (const digest of digests) load.land(digest, { kind: 'entry', entry, tier: undefined })
  }

  #entryOf(
    { matched, form }: LookupContext,
    digest: Digest,
    { answer, response, costMs, form: ownForm }: FetchedAnswer,
    version: string | undefined,
  ): Entry {
    const { random, clock, typicalCosts } = this.#parts
    const { reply, ms } = response
    const cached = matched.route.cache as RouteCache
    const negative = verdictOf(matched.protocol, reply).kind !== 'ok'
    const ttl = (negative ? cached.negativeTtl : cached.ttl) * (1 + cached.jitter * (2 * random() - 1))
    const directives = cached.heedBackend
      ? responseDirectivesOf(reply, matched.protocol)
      : NO_RESPONSE_DIRECTIVES
    const at = clock.wall()
    // Most replies have no caching directives.
    const life: Life =
      directives === NO_RESPONSE_DIRECTIVES
        ? { createdAt: at, ttlMs: ttl }
        : lifeOf(directives, { at, delayMs: ms }, ttl)
    const windows = negative ? NO_WINDOWS : windowsWithin(directives, cached)
    return {
      digest,
      kind: answer ? 'row' : 'reply',
      status: reply.status,
      headers: answer ? rowHeaders(reply) : keptHeaders(reply, matched.protocol),
      trailers: answer ? undefined : keptTrailers(reply, matched.protocol),
      body: answer ? answer.slice : (reply.body as Uint8Array),
      frame: answer?.frame,
      createdAt: life.createdAt,
      ttlMs: life.ttlMs,
      swrMs: windows.swrMs,
      sieMs: windows.sieMs,
      version: version ?? '',
      negative,
      costMs: typicalCosts.bounded(cached, costMs),
      form: ownForm ?? form,
    }
  }

  #landUnstored(context: LookupContext, unstored: UnstoredReply): void {
    landUnstored(this.#parts.refusalOf, context, unstored)
  }
}

function isStreamed({ plan }: LookupContext): boolean {
  return plan.generation?.isStreamed === true
}

/** A load, and its rows that have not landed. */
interface OpenLoad {
  readonly load: Load<LoadResult>
  readonly digests: readonly Digest[]
}

/** A load whose answers a backend has given. */
interface Fetched extends OpenLoad {
  /** The leases under which the rows were fetched. */
  readonly holding: Holding | undefined
  readonly options: FetchOptions
  readonly leaderReply: Reply | undefined
}
