/**
 * Asking again, to learn whether a model answers a row the same in different company. Runs behind the answer,
 * and nobody waits for it: a batch is sent once more in two random parts, or, where it was answered from rows,
 * once more as a whole, and the rows are compared.
 */
import type { Reply } from '../../core/reply.ts'
import type { Row, RowAnswer, Rows } from '../../protocol/protocol.ts'
import type { Job } from '../job.ts'
import type { Splitter } from './splitter.ts'

export interface ShadowParts {
  readonly splitter: Splitter
  readonly random: () => number
  /** Sends these rows of a call upstream as a request of their own; undefined: no whole 200 came back. */
  readonly ask: (job: Job, rows: readonly Row[]) => Promise<Reply | undefined>
}

export type Shadow = (job: Job, model: string, answers: readonly RowAnswer[]) => void

/** Compares, if it is this batch's turn; `answers` are the rows as the caller got them. */
export function createShadow({ splitter, random, ask }: ShadowParts): Shadow {
  return (job, model, answers) => {
    const rows = job.plan.rows ?? []
    const power = job.matched.protocol.rows
    const mode = job.matched.route.cache?.rows ?? 'never'
    if (!power || rows.length < 2 || !splitter.begin(mode, model)) return
    const parts =
      splitter.state(model) === 'proved' ? [rows.map((_, i) => i)] : bipartition(rows.length, random)
    void compare({ job, power, rows, answers, parts }).then(
      (agreed) => splitter.end(model, agreed),
      () => splitter.end(model, undefined),
    )
  }

  async function compare({ job, power, rows, answers, parts }: Comparison): Promise<boolean | undefined> {
    for (const part of parts) {
      const reply = await ask(
        job,
        part.map((i) => rows[i] as Row),
      )
      if (!reply) return undefined
      const again = power.cut(reply, reply.body as Uint8Array, part.length, job.plan)
      if (again?.length !== part.length) return false
      if (!part.every((i, at) => power.agree(answers[i] as RowAnswer, again[at] as RowAnswer))) return false
    }
    return true
  }
}

interface Comparison {
  readonly job: Job
  readonly power: Rows
  readonly rows: readonly Row[]
  readonly answers: readonly RowAnswer[]
  readonly parts: readonly (readonly number[])[]
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
