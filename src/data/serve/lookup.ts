/**
 * The ways of a call that was read: with the others who ask the same, alone, or only looking.
 *
 *   memory → flights ─┬─ joined: wait
 *                     └─ ours: fill
 *   → assemble, or what came instead of an entry
 */
import type { Digest } from '../../core/key.ts'
import type { Answer } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import { type Awaitable, after, all, isAwaitable } from '../../lib/deferred.ts'
import { letGo } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import { judge } from '../cache/freshness.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Claims } from '../flight/claims.ts'
import type { Flight, Flights, Load, Waiter } from '../flight/flights.ts'
import type { HitForMiss } from '../flight/hit-for-miss.ts'
import type { Aliases } from '../hits/aliases.ts'
import type { ReadyAnswers } from '../hits/ready.ts'
import { type FormPreference, suits } from '../key/forms.ts'
import type { VersionRules } from '../key/statements.ts'
import type { LoadResult, LookupContext, RefusalOf } from '../rows/lookup-context.ts'
import { type RowLookup, RowLookups } from '../rows/row-lookups.ts'
import type { Forward } from '../upstream/forward.ts'
import type { Compose } from './compose.ts'
import type { Fill } from './fill.ts'
import { isAnothers, type LoadFailure, replyFor, unsettled } from './load-failure.ts'

export interface LookupParts {
  readonly cache: Tiered
  /** The name of process memory in the settings. */
  readonly memory: string
  readonly ready: ReadyAnswers
  /** Undefined: there is no shared tier. */
  readonly aliases: Aliases | undefined
  readonly flights: Flights<LoadResult>
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

export interface Lookup {
  coalesced(context: LookupContext): Answer | Awaitable<Answer>
  uncoalesced(context: LookupContext): Awaitable<Answer>
  readOnly(context: LookupContext): Awaitable<Answer>
}

export function createLookup(parts: LookupParts): Lookup {
  const { cache, memory, ready, aliases, flights, hitForMiss, claims, fill, compose, forward, refusalOf } =
    parts
  const { mayGive, clock } = parts
  const gate = { flights, open }
  return { coalesced: shared, uncoalesced: alone, readOnly: looked }

  /** The ordinary way: memory, then flights for what it does not have. */
  function shared(context: LookupContext, turn = 0): Answer | Awaitable<Answer> {
    const missing = look(context)
    if (missing.length === 0) return settled(context)
    for (const { row } of missing) if (hitForMiss.has(row.digest)) return alone(context)
    const boarded = board(gate, context, missing)
    const { flown } = boarded
    const { signal } = context.call
    const [only] = flown
    // Most calls are of one row, or read as one.
    if (only && flown.length === 1)
      return after(only.wait(signal), (result) => arrived(context, boarded, [result], turn))
    return after(all(flown.map((flight) => flight.wait(signal))), (results) =>
      arrived(context, boarded, results, turn),
    )
  }

  function open(context: LookupContext, digests: readonly Digest[]): readonly Flight<LoadResult>[] {
    return flights.open(digests, (load) => fill(context, load), unsettled, askerOf(context))
  }

  function arrived(
    context: LookupContext,
    { joined, ours }: JoinedFlights,
    results: readonly LoadResult[],
    turn: number,
  ): Answer | Awaitable<Answer> {
    for (let i = 0; i < results.length; i++) {
      const lookup = (i < joined.length ? joined[i] : ours[i - joined.length]) as RowLookup
      lookup.joined = i < joined.length
      if (!lookup.joined || isFit(results[i], context)) take(lookup, results[i])
    }
    const failedAt = results.findIndex(isFailure)
    if (failedAt < 0) {
      if (context.lookups.missing.length === 0) return settled(context)
      return turn === 0 ? shared(context, turn + 1) : alone(context)
    }
    const failure = results[failedAt] as LoadFailure
    const wasJoined = failedAt < joined.length
    // Somebody else's load failed in a way that ours need not: one more turn, with a flight of our own if need be.
    if (wasJoined && turn === 0 && isAnothers(failure, () => refusalOf(context)))
      return shared(context, turn + 1)
    return unkept(context, failure, wasJoined)
  }

  /** What a load found in a tier is as fresh as its own caller asked for, and a refusal was said to its own caller. */
  function isFit(result: LoadResult | undefined, context: LookupContext): boolean {
    if (result?.kind !== 'entry') return true
    if (result.entry.negative) return result.entry.digest === refusalOf(context)
    if (!suits(result.entry, context)) return false
    return result.tier === undefined || judge(result.entry, context.wish, clock.wall()) === 'fresh'
  }

  /** Memory's answers; gives the lines it has none for. What is stale but may still be used is renewed behind it. */
  function look(context: LookupContext): readonly RowLookup[] {
    const { lookups, wish } = context
    let now: number | undefined
    for (const lookup of lookups.missing) {
      const known = cache.peek(lookup.row.digest)
      const entry = known && suits(known, context) ? known : refusal(context)
      if (!entry || !mayGive(context.matched, entry)) continue
      now ??= clock.wall()
      const freshness = judge(entry, wish, now)
      if (freshness === 'fresh' || freshness === 'revalidate') [lookup.entry, lookup.tier] = [entry, memory]
      if (freshness === 'revalidate' && !wish.noStore && !wish.onlyIfCached) renew(context, lookup)
      if (freshness === 'fallback') lookup.fallback = entry
    }
    return lookups.missing
  }

  /** What the route remembers that this very call was told. */
  function refusal({ call, raw, rows, matched }: LookupContext): Entry | undefined {
    if (!matched.route.cache?.negativeTtl || rows) return undefined
    const key = refusalOf({ call, raw })
    return key && cache.peek(key)
  }

  /** One new answer for a row that is about to be too old, with nobody waiting for it: however short the caller's time was. */
  function renew(context: LookupContext, { row }: RowLookup): void {
    if (flights.has(row.digest)) return
    const renewed = { ...context, lookups: new RowLookups([row]), wish: { ...context.wish, noCache: true } }
    const asker = { deadline: clock.now() + context.matched.route.timeout, group: groupOf(context) }
    const run = (load: Load<LoadResult>) =>
      claims ? claims.alone(row.digest, async () => fill(renewed, load)) : fill(renewed, load)
    flights.open([row.digest], run, unsettled, asker)
  }

  /**
   * Without a flight: for `no-cache`, whose new answer replaces the old one, for what was found uncacheable, and `again`
   * for rows that do not belong together, known ones and new ones of two versions say: the whole batch is fetched anew.
   */
  async function alone(context: LookupContext, again = false): Promise<Answer> {
    const results = new Map<Digest, LoadResult>()
    const digests = context.lookups.items.map(({ row }) => row.digest)
    const land = (digest: Digest, result: LoadResult) => void results.set(digest, result)
    const { signal, deadline } = context.call
    await fill({ ...context, wish: { ...context.wish, noCache: true } }, { digests, signal, deadline, land })
    for (const lookup of context.lookups.items) {
      lookup.entry = lookup.tier = undefined
      lookup.joined = false
      const result = results.get(lookup.row.digest) ?? unsettled(undefined)
      if (result.kind !== 'entry') return unkept(context, result, false)
      take(lookup, result)
      hitForMiss.lift(lookup.row.digest)
    }
    const answer = await settled(context, again)
    if (!context.wish.noCache || answer.outcome.kind === 'bypass') return answer
    const fresh = 'ttlMs' in answer.outcome ? { ttlMs: answer.outcome.ttlMs } : {}
    return {
      reply: answer.reply,
      outcome: { kind: 'request', reason: 'no-cache', stored: context.lookups.isKept, status: 200, ...fresh },
    }
  }

  /** `no-store` and `only-if-cached`: what is there may be used, nothing is left behind. */
  async function looked(context: LookupContext): Promise<Answer> {
    const missing = look(context)
    const found =
      context.seed.shared && !context.isSought ? await cache.lookup(missing.map(({ row }) => row.digest)) : []
    missing.forEach((lookup, i) => {
      const known = found[i]
      if (!known || !mayGive(context.matched, known.entry)) return
      if (isFit({ kind: 'entry', ...known }, context)) take(lookup, { kind: 'entry', ...known })
    })
    const answer = context.lookups.missing.length === 0 ? compose.answer(context) : undefined
    return (
      answer ??
      forward(context.call, context.matched, context.wish.onlyIfCached ? 'only-if-cached' : 'no-store')
    )
  }

  function settled(context: LookupContext, again = false): Answer | Awaitable<Answer> {
    const answer = compose.answer(context)
    if (!answer)
      return again ? forward(context.call, context.matched, 'rows do not match') : alone(context, true)
    return isAwaitable(answer) ? after(answer, (come) => noted(context, come)) : noted(context, answer)
  }

  function noted(context: LookupContext, answer: Answer): Answer {
    // Its own key covers more than the bytes.
    if (context.lookups.items[0]?.entry?.negative) return answer
    // What it was put together from may have been purged by key meanwhile.
    if (answer.outcome.kind !== 'bypass' && cache.mark() === context.began) {
      // Most answers are never asked for again: the first repeat of one makes it ready.
      if (context.lookups.isKnown) ready.set(context.raw, answer.reply, context.lookups.entries() ?? [])
      // What was fetched goes out with all that the backend said, which is not for those who ask next.
      else if (ready.get(context.raw)) ready.delete(context.raw)
      // Who asks a tier by an alias has read neither the body nor its form.
      if (!context.rows && !context.wish.noTransform && context.isShown)
        aliases?.set(context.raw, context.plan.whole)
    }
    return answer
  }

  /** What a load brought that is no entry: an error, an answer not to be kept, or one for a single taker. */
  function unkept(
    context: LookupContext,
    failure: LoadFailure,
    collapsed: boolean,
  ): Answer | Awaitable<Answer> {
    const { call, matched, lookups } = context
    const reply = replyFor(failure, collapsed ? () => refusalOf(context) : undefined)
    if (failure.kind === 'failed' ? failure.error.fault.blame !== 'caller' : (reply?.status ?? 0) >= 500) {
      const stale = compose.stale(context, reply?.status)
      if (stale) return stale
    }
    if (failure.kind === 'failed') throw failure.error
    if (failure.kind === 'single') for (const { row } of lookups.missing) hitForMiss.set(row.digest)
    // Part of a batch was refused: the caller must hear what the whole batch would have been told.
    if (!reply || (failure.partial && reply.status < 500)) {
      letGo(reply?.body)
      return forward(call, matched, 'not cacheable')
    }
    return compose.unkept(context, reply, { collapsed, counts: lookups.counts() })
  }
}

/** Joins the flights that are under way, and opens the others together. */
function board(
  { flights, open }: Gate,
  context: LookupContext,
  missing: readonly RowLookup[],
): JoinedFlights {
  const [only] = missing
  if (only && missing.length === 1) {
    const flight = flights.join(only.row.digest, askerOf(context))
    return flight
      ? { joined: missing, ours: NONE, flown: [flight] }
      : { joined: NONE, ours: missing, flown: open(context, [only.row.digest]) }
  }
  const joined: RowLookup[] = []
  const ours: RowLookup[] = []
  const flown: Flight<LoadResult>[] = []
  const asker = askerOf(context)
  for (const lookup of missing) {
    const flight = flights.join(lookup.row.digest, asker)
    if (flight) flown.push(flight)
    ;(flight ? joined : ours).push(lookup)
  }
  if (ours.length === 0) return { joined, ours, flown }
  const opened = open(
    context,
    ours.map(({ row }) => row.digest),
  )
  return { joined, ours, flown: flown.concat(opened) }
}

interface Gate {
  readonly flights: Flights<LoadResult>
  readonly open: (context: LookupContext, digests: readonly Digest[]) => readonly Flight<LoadResult>[]
}

/** Lines that wait for the flights of others and for their own, and these flights in that order. */
interface JoinedFlights {
  readonly joined: readonly RowLookup[]
  readonly ours: readonly RowLookup[]
  readonly flown: readonly Flight<LoadResult>[]
}

const NONE: readonly RowLookup[] = []

function askerOf(context: LookupContext): Waiter {
  return { deadline: context.call.deadline, group: groupOf(context) }
}

/** Calls in forms that their server has shown to take join each other; any other only its like. */
function groupOf({ form, isShown }: FormPreference): number {
  return isShown ? 0 : form
}

function isFailure({ kind }: LoadResult): boolean {
  return kind !== 'entry'
}

function take(lookup: RowLookup, result: LoadResult | undefined): void {
  if (result?.kind !== 'entry') return
  lookup.entry = result.entry
  lookup.tier = result.tier
  lookup.joined ||= result.joined === true
  lookup.lost = result.lost === true
  if (!lookup.joined) lookup.own = result.own
}
