/**
 * Looks up the rows of a call: coalesced with the loads of other calls for the same rows, uncoalesced, or read-only.
 *
 *   memory → flights ─┬─ joined: wait
 *                     └─ ours: fill
 *   → assemble, or what came instead of an entry
 */
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaitable, after, all, isAwaitable } from '../../lib/deferred.ts'
import { isBackendFailure, verdictOf } from '../../protocol/verdict.ts'
import { letGo } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Claims } from '../flight/claims.ts'
import type { Flight, Flights, Load } from '../flight/flights.ts'
import type { HitForMiss } from '../flight/hit-for-miss.ts'
import type { GenerationTable } from '../generation/generation-table.ts'
import type { RunningGeneration } from '../generation/running-generation.ts'
import { suits } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'
import { type RowLookup, RowLookups } from '../rows/row-lookups.ts'
import type { Forward } from '../upstream/forward.ts'
import type { Compose } from './compose.ts'
import type { Fill } from './fill.ts'
import { accept, isFailure } from './landed.ts'
import { isLeaderOnly, type LoadFailure, replyFor, unsettled } from './load-failure.ts'
import { type RememberParts, remembered } from './remember.ts'
import { waiterOf } from './waiter.ts'

export interface LookupParts extends RememberParts {
  readonly cache: Tiered
  /** The name of process memory in the settings. */
  readonly memory: string
  readonly flights: Flights<LoadResult>
  readonly generations: Pick<GenerationTable, 'find'>
  readonly hitForMiss: HitForMiss
  /** Undefined: this process has one worker. */
  readonly claims?: Pick<Claims, 'alone'> | undefined
  readonly fill: Fill
  readonly mayGive: VersionRules['mayGive']
  readonly compose: Compose
  readonly forward: Forward
  readonly refusalOf: RefusalOf
  readonly clock: Clock
}

export class Lookup {
  readonly #parts: LookupParts

  constructor(parts: LookupParts) {
    this.#parts = parts
  }

  /**
   * The look-up of most calls: memory first, then flights for the rows that memory lacks. `attempt` is 1 for a call that
   * joined another's load, if that load failed in a way that its own may not.
   */
  coalesced(context: LookupContext, attempt = 0): Answer | Awaitable<Answer> {
    const { hitForMiss, clock } = this.#parts
    const missing = this.#peek(context)
    if (missing.length === 0) return this.#composed(context)
    const running = context.plan.generation && this.#parts.generations.find(context.plan.whole)
    if (running) return this.#running(context, running, { isJoined: true, attempt })
    for (const { row } of missing) if (hitForMiss.has(row.digest)) return this.uncoalesced(context)
    const joined = this.#join(context, missing)
    const { flights } = joined
    const { signal, record } = context.call
    const since = record && joined.joined.length > 0 ? clock.now() : undefined
    const landed = (results: readonly LoadResult[]) => {
      if (since !== undefined) record?.step('wait', since, clock.now())
      return this.#landed(context, joined, results, attempt)
    }
    const [only] = flights
    // Most calls are of one row, or read as one.
    if (only && flights.length === 1) return after(only.wait(signal), (result) => landed([result]))
    return after(all(flights.map((flight) => flight.wait(signal))), landed)
  }

  /** Joins the flights that exist, and opens the missing ones as one load. */
  #join(context: LookupContext, missing: readonly RowLookup[]): JoinedFlights {
    const present = this.#parts.flights
    const waiter = waiterOf(context)
    const [only] = missing
    if (only && missing.length === 1) {
      const flight = present.join(only.row.digest, waiter)
      return flight
        ? { joined: missing, ours: NONE, flights: [flight] }
        : { joined: NONE, ours: missing, flights: this.#open(context, [only.row.digest]) }
    }
    const joined: RowLookup[] = []
    const ours: RowLookup[] = []
    const flights: Flight<LoadResult>[] = []
    for (const lookup of missing) {
      const flight = present.join(lookup.row.digest, waiter)
      if (flight) flights.push(flight)
      ;(flight ? joined : ours).push(lookup)
    }
    if (ours.length === 0) return { joined, ours, flights }
    const opened = this.#open(
      context,
      ours.map(({ row }) => row.digest),
    )
    return { joined, ours, flights: flights.concat(opened) }
  }

  #open(context: LookupContext, digests: readonly Digest[]): readonly Flight<LoadResult>[] {
    const { flights, fill } = this.#parts
    return flights.open(digests, (load) => fill.load(context, load), unsettled, waiterOf(context))
  }

  #landed(
    context: LookupContext,
    { joined, ours }: JoinedFlights,
    results: readonly LoadResult[],
    attempt: number,
  ): Answer | Awaitable<Answer> {
    for (let i = 0; i < results.length; i++) {
      const lookup = (i < joined.length ? joined[i] : ours[i - joined.length]) as RowLookup
      lookup.joined = i < joined.length
      if (!lookup.joined || this.#mayAnswer(results[i], context)) accept(lookup, results[i])
    }
    const [only] = results
    if (only?.kind === 'running') {
      const isJoined = joined.length > 0 || only.joined === true
      return this.#running(context, only.generation, { isJoined, attempt })
    }
    const failedAt = results.findIndex(isFailure)
    if (failedAt < 0) {
      if (context.lookups.missing.length === 0) return this.#composed(context)
      return attempt === 0 ? this.coalesced(context, attempt + 1) : this.uncoalesced(context)
    }
    const failure = results[failedAt] as LoadFailure
    const wasJoined = failedAt < joined.length
    // Another call's load failed in a way that ours may not: try once more, with a flight of our own if need be.
    if (wasJoined && attempt === 0 && isLeaderOnly(failure, () => this.#parts.refusalOf(context)))
      return this.coalesced(context, attempt + 1)
    return this.#unstored(context, failure, wasJoined)
  }

  /** Answers from a generation that still runs: with its events as they come, or with all of it when it is over. */
  #running(
    context: LookupContext,
    generation: RunningGeneration,
    { isJoined, attempt }: { readonly isJoined: boolean; readonly attempt: number },
  ): Answer | Awaitable<Answer> {
    const { plan, call } = context
    if (plan.generation?.isStreamed === true) {
      const reply = generation.replyTo(context, !isJoined)
      if (!reply) return this.uncoalesced(context)
      const { status } = reply
      if (context.matched.route.warm && !context.directives.noStore) this.#parts.samples.note(context, 1)
      return { reply, outcome: { kind: 'miss', stored: false, collapsed: isJoined, status } }
    }
    return after(generation.entry(call.signal), (entry) => this.#ended(context, entry, attempt))
  }

  /** Answers a caller who has waited for the end of a generation with what was kept of it. */
  #ended(context: LookupContext, entry: Entry | undefined, attempt: number): Answer | Awaitable<Answer> {
    const [lookup] = context.lookups.items
    if (!lookup || !entry)
      return attempt === 0 ? this.coalesced(context, attempt + 1) : this.uncoalesced(context)
    accept(lookup, { kind: 'entry', entry, tier: undefined, joined: true })
    return this.#composed(context)
  }

  /** Whether another call's result answers this one: its caller may have accepted an older entry, and a refusal may be its own. */
  #mayAnswer(result: LoadResult | undefined, context: LookupContext): boolean {
    if (result?.kind !== 'entry') return true
    if (result.entry.negative) return result.entry.digest === this.#parts.refusalOf(context)
    if (!suits(result.entry, context)) return false
    return (
      result.tier === undefined ||
      judge(result.entry, context.directives, this.#parts.clock.wall()) === 'fresh'
    )
  }

  /** Takes the entries that memory has, starts `stale-while-revalidate` loads, and returns the rows that still lack an entry. */
  #peek(context: LookupContext): readonly RowLookup[] {
    const { cache, memory, mayGive, clock } = this.#parts
    const { lookups, directives } = context
    let now: number | undefined
    for (const lookup of lookups.missing) {
      const known = cache.peek(lookup.row.digest)
      const entry = known && suits(known, context) ? known : this.#refusal(context)
      if (!entry || !mayGive(context.matched, entry)) continue
      now ??= clock.wall()
      const freshness = judge(entry, directives, now)
      if (freshness === 'fresh' || freshness === 'revalidate') [lookup.entry, lookup.tier] = [entry, memory]
      if (freshness === 'revalidate' && !directives.noStore && !directives.onlyIfCached)
        this.#renew(context, lookup)
      if (freshness === 'fallback') lookup.fallback = entry
    }
    return lookups.missing
  }

  /** The stored refusal of this very call, if the route stores refusals. */
  #refusal(context: LookupContext): Entry | undefined {
    const { matched, rows } = context
    if (!matched.route.cache?.negativeTtl || rows) return undefined
    const key = this.#parts.refusalOf(context)
    return key && this.#parts.cache.peek(key)
  }

  /** Reloads a stale row (`stale-while-revalidate`). Nobody waits for the load, so the caller's deadline does not bound it. */
  #renew(context: LookupContext, { row }: RowLookup): void {
    const { flights, claims, fill, clock } = this.#parts
    if (flights.has(row.digest)) return
    const renewed = {
      ...context,
      lookups: new RowLookups([row]),
      directives: { ...context.directives, noCache: true },
    }
    const waiter = { ...waiterOf(context), deadline: clock.now() + context.matched.route.timeout }
    const run = (load: Load<LoadResult>) =>
      claims ? claims.alone(row.digest, async () => fill.load(renewed, load)) : fill.load(renewed, load)
    const [flight] = flights.open([row.digest], run, unsettled, waiter)
    if (!context.plan.generation || !flight) return
    // Nobody reads it, and it is to be kept.
    after(flight.wait(NEVER), (result) => {
      if (result.kind === 'running') result.generation.finish()
    })
  }

  /**
   * Loads without a flight: for `no-cache`, whose answer replaces the stored one; for keys marked hit-for-miss; and, with
   * `again`, for rows that do not belong together, such as stored and fetched rows of two versions: the whole batch is fetched.
   */
  async uncoalesced(context: LookupContext, again = false): Promise<Answer> {
    const results = new Map<Digest, LoadResult>()
    const digests = context.lookups.items.map(({ row }) => row.digest)
    const land = (digest: Digest, result: LoadResult) => void results.set(digest, result)
    const { signal, deadline, share } = context.call
    const { fill, hitForMiss } = this.#parts
    const renewed = { ...context, directives: { ...context.directives, noCache: true } }
    await fill.load(renewed, { digests, signal, deadline, share, land })
    for (const lookup of context.lookups.items) {
      lookup.entry = lookup.tier = undefined
      lookup.joined = false
      const result = results.get(lookup.row.digest) ?? unsettled(undefined)
      if (result.kind === 'running')
        return this.#running(context, result.generation, { isJoined: false, attempt: 1 })
      if (result.kind !== 'entry') return this.#unstored(context, result, false)
      accept(lookup, result)
      hitForMiss.lift(lookup.row.digest)
    }
    const answer = await this.#composed(context, again)
    if (!context.directives.noCache || answer.outcome.kind === 'bypass') return answer
    const fresh = 'ttlMs' in answer.outcome ? { ttlMs: answer.outcome.ttlMs } : {}
    return {
      reply: answer.reply,
      outcome: {
        kind: 'request',
        reason: 'no-cache',
        rows: context.rows?.length,
        stored: context.lookups.isStored,
        status: 200,
        ...fresh,
      },
    }
  }

  /** For `no-store` and `only-if-cached`: reads the cache, and stores nothing. */
  readOnly(context: LookupContext): Answer | Awaitable<Answer> {
    const { cache, mayGive } = this.#parts
    const missing = this.#peek(context)
    if (!cache.hasShared || !context.seed.shared || context.isTierMiss) return this.#readOnly(context)
    return after(cache.lookup(missing.map(({ row }) => row.digest)), (found) => {
      missing.forEach((lookup, i) => {
        const hit = found[i] && ({ kind: 'entry', ...found[i] } as const)
        if (hit && mayGive(context.matched, hit.entry) && this.#mayAnswer(hit, context)) accept(lookup, hit)
      })
      return this.#readOnly(context)
    })
  }

  /** Every tier that may be read was read. */
  #readOnly(context: LookupContext): Answer | Awaitable<Answer> {
    const { call, matched, directives, lookups } = context
    const reason = directives.onlyIfCached ? 'only-if-cached' : 'no-store'
    const answer = lookups.missing.length === 0 ? this.#parts.compose.answer(context) : undefined
    return answer ?? this.#parts.forward(call, matched, reason)
  }

  /** Assembles the answer; every row has an entry. */
  #composed(context: LookupContext, again = false): Answer | Awaitable<Answer> {
    const { compose, forward } = this.#parts
    const answer = compose.answer(context)
    if (!answer)
      return again
        ? forward(context.call, context.matched, 'rows do not match')
        : this.uncoalesced(context, true)
    return isAwaitable(answer)
      ? after(answer, (answered) => remembered(this.#parts, context, answered))
      : remembered(this.#parts, context, answer)
  }

  /** Answers with what a load brought instead of an entry: an error, a reply that is not stored, or one for one caller alone. */
  #unstored(context: LookupContext, failure: LoadFailure, collapsed: boolean): Answer | Awaitable<Answer> {
    const { compose, forward, hitForMiss, refusalOf } = this.#parts
    const { call, matched, lookups } = context
    const reply = replyFor(failure, collapsed ? () => refusalOf(context) : undefined)
    const isFailing = reply !== undefined && isBackendFailure(verdictOf(matched.protocol, reply))
    if (failure.kind === 'failed' ? failure.error.fault.blame !== 'caller' : isFailing) {
      const stale = compose.stale(context, reply?.status)
      if (stale) return stale
    }
    if (failure.kind === 'failed') throw failure.error
    if (failure.kind === 'single') for (const { row } of lookups.missing) hitForMiss.set(row.digest)
    // Only part of the batch was refused: the caller must get the reply that the whole batch would get.
    if (!reply || (failure.partial && !isFailing)) {
      letGo(reply?.body)
      return forward(call, matched, 'not cacheable')
    }
    return compose.unstored(context, reply, { collapsed, counts: lookups.counts() })
  }
}

/** Rows that wait for other calls' flights (`joined`), rows that wait for this call's (`ours`), and all flights in that order. */
interface JoinedFlights {
  readonly joined: readonly RowLookup[]
  readonly ours: readonly RowLookup[]
  readonly flights: readonly Flight<LoadResult>[]
}

const NONE: readonly RowLookup[] = []

const NEVER: Signal = new Cancel()
