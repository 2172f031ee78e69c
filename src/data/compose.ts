/**
 * From entries to the answer a caller reads: put together from its rows, with the caller's own id and encoding,
 * and with the facts that Cache-Status tells. An answer that cannot be given in this caller's form is fetched
 * for it alone.
 */
import type { Observer } from '../core/observer.ts'
import type { Answer, Outcome, Reply, RowCounts } from '../core/reply.ts'
import type { Clock } from '../lib/clock.ts'
import type { Coming } from '../lib/later.ts'
import type { RowAnswer } from '../protocol/protocol.ts'
import type { Directives } from './cache/directives.ts'
import { ageMs, type Entry, remainingMs } from './cache/entry.ts'
import type { Forward } from './forward.ts'
import type { Job } from './job.ts'
import type { Splitting } from './rows/splitting.ts'

export interface ComposeParts {
  readonly forward: Forward
  readonly splitting: Splitting
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

export function createCompose({ forward, splitting, observer, clock, memory }: ComposeParts): Compose {
  return { hitOutcome, answer, unkept, stale }

  function answer(job: Job): Answer | Coming<Answer> | undefined {
    const { matched, plan, sheet, rows, wish } = job
    const entries = sheet.entries() as readonly Entry[]
    if (!rows) {
      const line = sheet.lines[0] as (typeof sheet.lines)[number]
      const entry = entries[0] as Entry
      const reply = replyOf(entry)
      if (line.tier !== undefined) return addressed(job, reply, hitOutcome(entries, line.tier, wish))
      splitting.observe(job, reply)
      return addressed(job, reply, {
        kind: 'miss',
        stored: !line.lost,
        collapsed: line.joined,
        status: entry.status,
        ttlMs: left(entries),
      })
    }
    const answers = entries.map(answerOf)
    const reply = ofOneVersion(entries) ? matched.protocol.rows?.assemble(plan, answers) : undefined
    // Another version, another trailing shape.
    if (!reply) {
      splitting.mismatched(job)
      return undefined
    }
    splitting.check(job, answers)
    observer.rows(matched.target.model ?? '', sheet.counts())
    return addressed(job, reply, rowOutcome(job, entries))
  }

  function unkept(
    job: Job,
    reply: Reply,
    facts: { collapsed: boolean; counts: RowCounts },
  ): Answer | Coming<Answer> {
    if (job.rows) observer.rows(job.matched.target.model ?? '', facts.counts)
    return addressed(job, reply, {
      kind: 'miss',
      stored: false,
      collapsed: facts.collapsed,
      status: reply.status,
    })
  }

  function stale(job: Job, status: number | undefined): Answer | undefined {
    const { call, matched, plan, sheet, rows } = job
    for (const line of sheet.lines) {
      if (!line.entry && !line.fallback) return undefined
      line.entry ??= line.fallback
    }
    const entries = sheet.entries() as readonly Entry[]
    if (!ofOneVersion(entries)) return undefined
    const reply = rows
      ? matched.protocol.rows?.assemble(plan, entries.map(answerOf))
      : replyOf(entries[0] as Entry)
    const own = reply && matched.protocol.address(reply, call, plan)
    if (!own) return undefined
    const age = oldest(entries)
    return {
      reply: own,
      outcome: { kind: 'stale', tier: memory, ageMs: age, ...(status === undefined ? {} : { status }) },
    }
  }

  function addressed({ call, matched, plan }: Job, reply: Reply, outcome: Outcome): Answer | Coming<Answer> {
    const own = matched.protocol.address(reply, call, plan)
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

const NOTHING = new Uint8Array(0)

function answerOf({ frame, body }: Entry): RowAnswer {
  return { frame: frame ?? NOTHING, slice: body }
}

function replyOf({ status, headers, body }: Entry): Reply {
  return { status, headers, body }
}
