/** Remembers answers, or their keys, so that a byte-identical repeat is a memory hit or a shared hit. */
import type { Answer } from '../../core/reply.ts'
import type { Entry } from '../cache/entry.ts'
import type { Tiered } from '../cache/tiered.ts'
import type { Aliases } from '../hits/aliases.ts'
import type { ReadyAnswers } from '../hits/ready-answers.ts'
import type { LookupContext } from '../rows/lookup-context.ts'

export interface RememberParts {
  readonly cache: Pick<Tiered, 'mark'>
  readonly ready: ReadyAnswers
  /** Undefined: there is no shared tier. */
  readonly aliases: Aliases | undefined
  readonly samples: NoteCall
}

/** Notes a call of a route that is sampled for warming (`warm/samples.ts`). */
export interface NoteCall {
  note(
    answered: Pick<LookupContext, 'call' | 'matched' | 'seed' | 'plan' | 'rows'>,
    weight: number,
    entries?: readonly Entry[],
  ): void
}

/** The answer, which is remembered if nothing forbids it. */
export function remembered(parts: RememberParts, context: LookupContext, answer: Answer): Answer {
  const { cache, ready, aliases } = parts
  // A refusal's key covers more than the bytes, so the bytes alone must not find it.
  if (context.lookups.items[0]?.entry?.negative) return answer
  const { warm } = context.matched.route
  // It may be the key that was purged meanwhile.
  if (warm && cache.mark() === context.began) {
    const { lookups } = context
    const weight = lookups.isKnown ? warm.takes() : 1
    if (weight > 0) parts.samples.note(context, weight, lookups.entries())
  }
  // What it was put together from may have been purged by key meanwhile.
  if (answer.outcome.kind !== 'bypass' && cache.mark() === context.began) {
    // Most answers are never requested again, so an answer is made ready at its first repeat.
    const { repeat, foundFor, lookups, seed, plan, directives } = context
    const madeFor = { raw: repeat, answer: directives.noTransform ? undefined : plan.answer }
    if (lookups.isKnown) ready.made(madeFor, answer.reply, lookups.entries() ?? [], foundFor)
    // A fetched answer bears all the backend's fields, which later callers must not get.
    else ready.forget(madeFor)
    // A look-up by alias reads neither the body nor its form, so only calls in a known form get an alias.
    if (!context.rows && !directives.noTransform && context.isShown && seed.shared)
      aliases?.set(repeat, plan.whole, foundFor)
  }
  return answer
}
