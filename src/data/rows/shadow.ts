/**
 * Shadow requests that find out whether a model's answer to a row depends on the other rows of its batch. A batch is sent once
 * more in two random parts, or, if it was answered from rows, once more as a whole, and the answers are compared. This
 * runs after the caller has its answer: two comparisons at a time, so that they do not become load, and none while calls
 * wait for a backend. Further comparisons wait in a bounded queue.
 */
import type { Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Row, RowAnswer, Rows } from '../../protocol/protocol.ts'
import type { LookupContext } from './lookup-context.ts'
import type { QuestionKind, Splitter } from './splitter.ts'

export interface ShadowParts {
  readonly splitter: Splitter
  readonly random: () => number
  readonly clock: Pick<Clock, 'after'>
  /** Sends these rows of a call upstream as a request of their own; undefined: the reply was no whole good answer. */
  readonly sendRows: (context: LookupContext, rows: readonly Row[]) => Promise<Reply | undefined>
  /** Whether calls wait in the admission queue of a pool. */
  readonly queueing: (pool: string) => boolean
}

/** Compares this batch if a comparison is due. `answers` returns the rows as the caller got them, or undefined if it cannot. */
export type Shadow = (
  context: LookupContext,
  of: QuestionKind,
  answers: () => readonly RowAnswer[] | undefined,
) => void

/** In each worker. */
const MAX_RUNNING = 2
const MAX_WAITING = 64
const MAX_WAITING_BYTES = 16 * 1024 * 1024
const PAUSE_MS = 20

interface Comparison {
  readonly context: LookupContext
  readonly of: QuestionKind
  readonly power: Rows
  readonly rows: readonly Row[]
  readonly answers: readonly RowAnswer[]
  readonly bytes: number
}

export function createShadow(parts: ShadowParts): Shadow {
  const { splitter, clock } = parts
  const waiting: Comparison[] = []
  let bytes = 0
  let running = 0
  let isPausing = false

  return (context, of, answers) => {
    const rows = context.plan.rows ?? []
    const power = context.matched.protocol.rows
    const mode = context.matched.route.cache?.rows ?? 'never'
    if (!power || rows.length < 2 || waiting.length >= MAX_WAITING || bytes >= MAX_WAITING_BYTES) return
    if (!splitter.begin(mode, of)) return
    const known = answers()
    if (!known) return splitter.end(of, undefined)
    const size = known.reduce((sum, { slice }) => sum + slice.length, context.body.length)
    waiting.push({ context, of, power, rows, answers: known, bytes: size })
    bytes += size
    next()
  }

  function next(): void {
    while (running < MAX_RUNNING && !isPausing) {
      const comparison = waiting[0]
      if (!comparison) return
      if (parts.queueing(comparison.context.matched.route.pool)) return pause()
      waiting.shift()
      bytes -= comparison.bytes
      run(comparison)
    }
  }

  /** Waits, so that callers are served first. */
  function pause(): void {
    isPausing = true
    clock.after(PAUSE_MS, () => {
      isPausing = false
      next()
    })
  }

  function run(comparison: Comparison): void {
    const { of } = comparison
    const ended = (agreed: boolean | undefined) => {
      running--
      splitter.end(of, agreed)
      next()
    }
    running++
    if (!splitter.isOpen(of)) return ended(undefined)
    void compare(parts, comparison).then(ended, () => ended(undefined))
  }
}

async function compare(
  { splitter, random, sendRows }: ShadowParts,
  { context, of, power, rows, answers }: Comparison,
): Promise<boolean | undefined> {
  const isSplit = splitter.state(of) === 'proved'
  const parts = isSplit ? [rows.map((_, i) => i)] : bipartition(rows.length, random)
  for (const part of parts) {
    const sent = part.map((i) => rows[i] as Row)
    const reply = await sendRows(context, sent)
    if (!reply) return undefined
    const body = reply.body as Uint8Array
    const { common } = context.plan
    const again = power.cut(reply, body, part.length, { common, rows: sent })
    if (again?.length !== part.length)
      // A reply that is no answer at all does not show that rows disagree.
      return context.matched.protocol.storable?.(reply, body, context.plan, false) === false
        ? undefined
        : false
    if (!part.every((i, at) => power.agree(answers[i] as RowAnswer, again[at] as RowAnswer))) return false
  }
  return true
}

/** Two parts of at least one row each, in the caller's order. */
function bipartition(count: number, random: () => number): number[][] {
  const first: number[] = []
  const second: number[] = []
  for (let i = 0; i < count; i++) (random() < 0.5 ? first : second).push(i)
  if (first.length === 0) first.push(second.pop() as number)
  if (second.length === 0) second.push(first.pop() as number)
  return [first.sort((a, b) => a - b), second.sort((a, b) => a - b)]
}
