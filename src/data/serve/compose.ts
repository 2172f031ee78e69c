/**
 * From entries to the answer a caller reads: put together from its rows, with the caller's own id and encoding,
 * and with the facts that Cache-Status tells. An answer that cannot be given in this caller's form is fetched
 * for it alone.
 */
import type { Observer } from '../../core/observer.ts'
import type { Answer, Outcome, Reply, RowCounts } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Coming } from '../../lib/later.ts'
import type { RowAnswer } from '../../protocol/protocol.ts'
import type { Directives } from '../cache/directives.ts'
import { ageMs, type Entry, remainingMs } from '../cache/entry.ts'
import { besideContent } from '../http/headers.ts'
import type { Forms } from '../key/forms.ts'
import type { Job } from '../rows/lookup-context.ts'
import type { Sheet } from '../rows/row-lookups.ts'
import type { Splitting } from '../rows/splitting.ts'
import type { Forward } from '../upstream/forward.ts'

export interface ComposeParts {
  readonly forward: Forward
  readonly splitting: Splitting
  readonly forms: Pick<Forms, 'learn'>
  readonly observer: Observer
  readonly clock: Clock
  readonly memory: string
}

/** As much of an entry as its age is told from. */
type Aged = Pick<Entry, 'createdAt' | 'ttlMs'>

export interface Compose {
  hitOutcome(entries: readonly Aged[], tier: string, wish: Directives): Outcome
  /** From the sheet, on which every line has its entry; undefined: its rows do not belong together. */
  answer(job: Job): Answer | Coming<Answer> | undefined
  /** What a backend said that is not kept. */
  unkept(job: Job, reply: Reply, facts: { collapsed: boolean; counts: RowCounts }): Answer | Coming<Answer>
  /** From entries that are too old, because the backends fail; undefined where one is missing. */
  stale(job: Job, status: number | undefined): Answer | undefined
}

export function createCompose({ forward, splitting, forms, observer, clock, memory }: ComposeParts): Compose {
  return { hitOutcome, answer, unkept, stale }

  function answer(job: Job): Answer | Coming<Answer> | undefined {
    const { matched, plan, sheet, rows, wish } = job
    const entries = sheet.entries() as readonly Entry[]
    if (!rows) {
      const line = sheet.lines[0] as (typeof sheet.lines)[number]
      const entry = entries[0] as Entry
      const reply = line.own ?? replyOf(entry)
      const outcome: Outcome =
        line.tier !== undefined
          ? hitOutcome(entries, line.tier, wish)
          : {
              kind: 'miss',
              stored: !line.lost,
              collapsed: line.joined,
              status: entry.status,
              ttlMs: left(entries),
            }
      if (line.tier === undefined) splitting.observe(job, reply)
      // Of its own form: somebody else's call has shown it.
      else if (!job.isShown && !entry.negative) forms.learn(matched, plan, reply)
      return addressed(job, { reply, form: entry.form }, outcome)
    }
    const answers = entries.map(answerOf)
    const isOwn = areOwn(job, entries)
    const assembled = ofOneVersion(entries)
      ? matched.protocol.rows?.assemble(plan, answers, isOwn)
      : undefined
    const reply = assembled && withFields(assembled, sheet, entries)
    // Another version, another trailing shape.
    if (!reply) {
      splitting.mismatched(job)
      return undefined
    }
    splitting.check(job, answers)
    observer.rows(matched.target.model ?? '', sheet.counts())
    return addressed(job, { reply, form: isOwn ? job.form : undefined }, rowOutcome(job, entries))
  }

  function unkept(
    job: Job,
    reply: Reply,
    facts: { collapsed: boolean; counts: RowCounts },
  ): Answer | Coming<Answer> {
    if (job.rows) observer.rows(job.matched.target.model ?? '', facts.counts)
    const { collapsed } = facts
    const outcome: Outcome = { kind: 'miss', stored: false, collapsed, status: reply.status }
    return addressed(job, { reply, form: job.form }, outcome)
  }

  function stale(job: Job, status: number | undefined): Answer | undefined {
    const { call, matched, plan, sheet, rows } = job
    for (const line of sheet.lines) {
      if (!line.entry && !line.fallback) return undefined
      line.entry ??= line.fallback
    }
    const entries = sheet.entries() as readonly Entry[]
    if (!ofOneVersion(entries)) return undefined
    const isOwn = areOwn(job, entries)
    const assembled = rows ? matched.protocol.rows?.assemble(plan, entries.map(answerOf), isOwn) : undefined
    const reply = rows ? assembled && withFields(assembled, sheet, entries) : replyOf(entries[0] as Entry)
    const origin = { form: isOwn ? job.form : undefined, asItCame: !job.isShown }
    const own = reply && matched.protocol.address(reply, call, plan, origin)
    if (!own) return undefined
    const age = oldest(entries)
    return {
      reply: own,
      outcome: { kind: 'stale', tier: memory, ageMs: age, ...(status === undefined ? {} : { status }) },
    }
  }

  function addressed(
    { call, matched, plan, isShown }: Job,
    { reply, form }: Formed,
    outcome: Outcome,
  ): Answer | Coming<Answer> {
    const own = matched.protocol.address(reply, call, plan, { form, asItCame: !isShown })
    return own ? { reply: own, outcome } : forward(call, matched, 'no such encoding')
  }

  function rowOutcome({ sheet, wish }: Job, entries: readonly Entry[]): Outcome {
    const rows = sheet.counts()
    if (rows.miss + rows.join === 0)
      return hitOutcome(entries, [...new Set(sheet.lines.map((line) => line.tier as string))].join(','), wish)
    if (rows.hit + rows.join + rows.dup === 0)
      return { kind: 'miss', stored: sheet.isKept, collapsed: false, status: 200, ttlMs: left(entries) }
    return {
      kind: 'partial',
      stored: sheet.isKept,
      rows,
      ageMs: oldest(entries),
      ttlMs: left(entries),
      status: 200,
    }
  }

  function hitOutcome(entries: readonly Aged[], tier: string, { ignored }: Directives): Outcome {
    const detail = ignored === undefined ? {} : { detail: `${tier}; ${ignored} ignored` }
    return { kind: 'hit', tier, ageMs: oldest(entries), ttlMs: left(entries), ...detail }
  }

  function left(entries: readonly Aged[]): number {
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

/** Known and new rows may be of two versions where a deployment came between; not every dialect's answers say so. */
function ofOneVersion(entries: readonly Entry[]): boolean {
  let known = ''
  for (const { version } of entries) {
    if (version === '' || version === known) continue
    if (known !== '') return false
    known = version
  }
  return true
}

/** A reply, and the form of the call that it answered; undefined: of several. */
interface Formed {
  readonly reply: Reply
  readonly form: number | undefined
}

/** Whether all were answers to calls in this one's form. */
function areOwn({ form }: Job, entries: readonly Entry[]): boolean {
  return entries.every((entry) => (entry.form ?? 0) === form)
}

const NOTHING = new Uint8Array(0)

function answerOf({ frame, body }: Entry): RowAnswer {
  return { frame: frame ?? NOTHING, slice: body }
}

/** Beside what tells of the content: what the backend said to this call, or what is kept with the rows. */
function withFields(assembled: Reply, sheet: Sheet, entries: readonly Entry[]): Reply {
  const own = sheet.lines.find((line) => line.own)?.own
  const fields = own ? besideContent(own) : (entries[0]?.headers ?? NO_FIELDS)
  if (fields.length === 0) return assembled
  const trailers = own?.trailers ? { trailers: own.trailers } : {}
  return { ...assembled, headers: [...assembled.headers, ...fields], ...trailers }
}

const NO_FIELDS: readonly string[] = []

function replyOf({ status, headers, body }: Entry): Reply {
  return { status, headers, body }
}
