/**
 * Makes the answer that a caller reads from cache entries: assembles the rows, writes the caller's id and encoding on the reply,
 * and adds the facts for Cache-Status. If the reply cannot be given in the caller's form, the call is forwarded by itself.
 */
import type { Observer } from '../../core/observer.ts'
import type { Answer, Outcome, Reply } from '../../core/reply.ts'
import type { RowCounts } from '../../core/row-counts.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Awaitable } from '../../lib/deferred.ts'
import type { RowAnswer } from '../../protocol/protocol.ts'
import type { Directives } from '../cache/directives.ts'
import { ageMs, type Entry, remainingMs, replyOf } from '../cache/entry.ts'
import { besideContent } from '../http/headers.ts'
import type { Forms } from '../key/forms.ts'
import type { LookupContext } from '../rows/lookup-context.ts'
import type { RowLookups } from '../rows/row-lookups.ts'
import type { Splitting } from '../rows/splitting.ts'
import type { Forward } from '../upstream/forward.ts'

export interface ComposeParts {
  readonly forward: Forward
  readonly splitting: Splitting
  readonly forms: Pick<Forms, 'learn' | 'shown'>
  readonly observer: Observer
  readonly clock: Clock
  readonly memory: string
}

/** The part of an entry, or of an answer made of several, that says how old it is. */
interface Aged extends Pick<Entry, 'createdAt' | 'ttlMs'> {
  /** Rows that it answers; left out: one. */
  readonly rows?: number
}

export interface Compose {
  hitOutcome(entries: readonly Aged[], tier: string, directives: Directives): Outcome
  /** The answer when every row has its entry; undefined if the rows are of different versions or shapes, or another form is wanted. */
  answer(context: LookupContext): Answer | Awaitable<Answer> | undefined
  /** The answer from a backend's reply that is not stored. */
  unstored(
    context: LookupContext,
    reply: Reply,
    facts: { collapsed: boolean; counts: RowCounts },
  ): Answer | Awaitable<Answer>
  /** The answer from stale entries, given because the backends fail (`stale-if-error`); undefined if an entry is missing. */
  stale(context: LookupContext, status: number | undefined): Answer | undefined
}

export function createCompose({ forward, splitting, forms, observer, clock, memory }: ComposeParts): Compose {
  return { hitOutcome, answer, unstored, stale }

  function answer(context: LookupContext): Answer | Awaitable<Answer> | undefined {
    const { matched, plan, lookups, rows, directives } = context
    const entries = lookups.entries() as readonly Entry[]
    if (!rows) {
      const lookup = lookups.items[0] as (typeof lookups.items)[number]
      const entry = entries[0] as Entry
      const { leaderReply } = lookup
      const reply = leaderReply ?? replyOf(entry)
      const outcome: Outcome =
        lookup.tier !== undefined
          ? hitOutcome(entries, lookup.tier, directives)
          : {
              kind: 'miss',
              stored: !lookup.notStored,
              collapsed: lookup.joined,
              status: entry.status,
              ttlMs: remaining(entries),
            }
      if (lookup.tier === undefined) splitting.observe(context, reply)
      // The entry is of this call's form, so another call has shown that the server takes the form.
      else if (!context.isShown && !entry.negative) forms.learn(matched, plan, reply)
      const formed = { reply, form: entry.form, isOwn: leaderReply !== undefined }
      if (!plan.generation) return addressedToCaller(context, formed, outcome)
      // Events that do not add up to an answer, or the other way round: one in this caller's form takes its place.
      const own = addressed(context, formed)
      return own && { reply: own, outcome }
    }
    const answers = entries.map(answerOf)
    const isSameForm = areSameForm(context, entries)
    const assembled = ofOneVersion(entries)
      ? matched.protocol.rows?.assemble(plan, answers, isSameForm)
      : undefined
    const reply = assembled && withFields(assembled, lookups, entries)
    // The rows differ in version or trailing shape.
    if (!reply) {
      splitting.mismatched(context)
      return undefined
    }
    splitting.check(context, answers)
    observer.rows(matched.target.model ?? '', lookups.counts())
    return addressedToCaller(
      context,
      { reply, form: isSameForm ? context.form : undefined },
      rowOutcome(context, entries),
    )
  }

  function unstored(
    context: LookupContext,
    reply: Reply,
    facts: { collapsed: boolean; counts: RowCounts },
  ): Answer | Awaitable<Answer> {
    const { rows } = context
    if (rows) observer.rows(context.matched.target.model ?? '', facts.counts)
    const { collapsed } = facts
    const { status } = reply
    const outcome: Outcome = { kind: 'miss', stored: false, collapsed, status, rows: rows?.length }
    return addressedToCaller(context, { reply, form: context.form, isOwn: !collapsed }, outcome)
  }

  function stale(context: LookupContext, status: number | undefined): Answer | undefined {
    const { matched, plan, lookups, rows } = context
    for (const lookup of lookups.items) {
      if (!lookup.entry && !lookup.fallback) return undefined
      lookup.entry ??= lookup.fallback
    }
    const entries = lookups.entries() as readonly Entry[]
    if (!ofOneVersion(entries)) return undefined
    const isSameForm = areSameForm(context, entries)
    const assembled = rows
      ? matched.protocol.rows?.assemble(plan, entries.map(answerOf), isSameForm)
      : undefined
    const reply = rows ? assembled && withFields(assembled, lookups, entries) : replyOf(entries[0] as Entry)
    const own = reply && addressed(context, { reply, form: isSameForm ? context.form : undefined })
    if (!own) return undefined
    const age = oldest(entries)
    return {
      reply: own,
      outcome: {
        kind: 'stale',
        tier: memory,
        ageMs: age,
        rows: rows?.length,
        ...(status === undefined ? {} : { status }),
      },
    }
  }

  function addressedToCaller(
    context: LookupContext,
    formed: Formed,
    outcome: Outcome,
  ): Answer | Awaitable<Answer> {
    const own = addressed(context, formed)
    return own ? { reply: own, outcome } : forward(context.call, context.matched, 'no such encoding')
  }

  /** The reply with this caller's id, in its form; undefined if it cannot be written so. */
  function addressed(
    { call, matched, plan, isShown }: LookupContext,
    { reply, form, isOwn = false }: Formed,
  ) {
    // A dialect of one form has nothing to show.
    const shown = plan.form ? forms.shown(matched) : 0
    return matched.protocol.address(reply, call, plan, { form, asItCame: !isShown, isOwn, shown })
  }

  function rowOutcome({ lookups, directives }: LookupContext, entries: readonly Entry[]): Outcome {
    const rows = lookups.counts()
    if (rows.miss + rows.join === 0)
      return hitOutcome(
        entries,
        [...new Set(lookups.items.map((lookup) => lookup.tier as string))].join(','),
        directives,
      )
    if (rows.hit + rows.join + rows.dup === 0)
      return {
        kind: 'miss',
        stored: lookups.isStored,
        collapsed: false,
        rows: rows.miss,
        status: 200,
        ttlMs: remaining(entries),
      }
    return {
      kind: 'partial',
      stored: lookups.isStored,
      rows,
      ageMs: oldest(entries),
      ttlMs: remaining(entries),
      status: 200,
    }
  }

  function hitOutcome(entries: readonly Aged[], tier: string, { ignored }: Directives): Outcome {
    const detail = ignored === undefined ? {} : { detail: `${tier}; ${ignored} ignored` }
    const rows = entries.reduce((sum, { rows = 1 }) => sum + rows, 0)
    return { kind: 'hit', tier, ageMs: oldest(entries), ttlMs: remaining(entries), rows, ...detail }
  }

  function remaining(entries: readonly Aged[]): number {
    const now = clock.wall()
    let least = Number.POSITIVE_INFINITY
    for (const entry of entries) least = Math.min(least, remainingMs(entry, now))
    return least
  }

  function oldest(entries: readonly Aged[]): number {
    const now = clock.wall()
    let age = 0
    for (const entry of entries) age = Math.max(age, ageMs(entry, now))
    return age
  }
}

/** Cached and fetched rows are of two versions if a deployment came between them. Answers of some dialects do not state a version. */
function ofOneVersion(entries: readonly Entry[]): boolean {
  let known = ''
  for (const { version } of entries) {
    if (version === '' || version === known) continue
    if (known !== '') return false
    known = version
  }
  return true
}

/** A reply, and the form of the call that it answered; undefined if its rows come from calls in several forms. */
interface Formed {
  readonly reply: Reply
  readonly form: number | undefined
  /** The backend gave it in answer to this very call. */
  readonly isOwn?: boolean
}

/** Whether every entry is the answer to a call in this call's form. */
function areSameForm({ form }: LookupContext, entries: readonly Entry[]): boolean {
  return entries.every((entry) => (entry.form ?? 0) === form)
}

const NOTHING = new Uint8Array(0)

function answerOf({ frame, body }: Entry): RowAnswer {
  return { frame: frame ?? NOTHING, slice: body }
}

/** Adds the fields that do not describe the content: those of the backend's reply to this call, or those stored with the rows. */
function withFields(assembled: Reply, lookups: RowLookups, entries: readonly Entry[]): Reply {
  const own = lookups.items.find((lookup) => lookup.leaderReply)?.leaderReply
  const fields = own ? besideContent(own) : (entries[0]?.headers ?? NO_FIELDS)
  const trailers = own?.trailers?.() ?? NO_FIELDS
  if (fields.length === 0 && trailers.length === 0) return assembled
  const behind = trailers.length === 0 ? {} : { trailers: () => trailers }
  return { ...assembled, headers: [...assembled.headers, ...fields], ...behind }
}

const NO_FIELDS: readonly string[] = []
