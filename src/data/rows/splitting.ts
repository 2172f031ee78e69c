/** The splitter's interface to the pipeline: by route match and plan instead of model and question kind. */
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Plan, RowAnswer } from '../../protocol/protocol.ts'
import type { ModelNames } from '../key/model-names.ts'
import type { Matched } from '../route/routes.ts'
import type { LookupContext } from './lookup-context.ts'
import type { Shadow } from './shadow.ts'
import type { QuestionKind, SplitReading, Splitter } from './splitter.ts'

/** A call whose body was read. */
export type ReadCall = Pick<LookupContext, 'matched' | 'plan'>

export interface Splitting {
  /** How the call is to be read. */
  reads(matched: Matched): SplitReading
  /** Whether a call that was read into rows is answered from them. */
  splits(matched: Matched, plan: Plan): boolean
  /** To be called when a backend has answered a batch whole. */
  observe(context: LookupContext, reply: Reply): void
  /** To be called when a batch was answered from rows. */
  check(context: LookupContext, answers: readonly RowAnswer[]): void
  /** To be called when an answer does not fit its rows. */
  violated(of: ReadCall, reason: string): void
  /** To be called when the rows of a batch do not belong together. */
  mismatched(of: ReadCall): void
}

export interface SplittingParts {
  readonly splitter: Splitter
  readonly shadow: Shadow
  readonly names: ModelNames
}

export function createSplitting({ splitter, shadow, names }: SplittingParts): Splitting {
  const mode = ({ route, protocol }: Matched) => (protocol.rows ? (route.cache?.rows ?? 'never') : 'never')
  return {
    reads(matched) {
      const wanted = mode(matched)
      return wanted === 'never' ? 'whole' : splitter.reads(wanted, names(matched))
    },
    splits: (matched, plan) =>
      plan.rows !== undefined && splitter.splits(mode(matched), names(matched), () => plan.batch),
    observe(context, reply) {
      const { matched, plan } = context
      const { rows } = plan
      if (mode(matched) !== 'auto' || !rows || rows.length < 2) return
      // A batch whose answer does not have all its rows proves nothing.
      shadow(context, kindOf(context), () => {
        const answers = matched.protocol.rows?.cut(reply, reply.body as Uint8Array, rows.length, plan)
        return answers?.length === rows.length ? answers : undefined
      })
    },
    check(context, answers) {
      if (mode(context.matched) === 'auto' && answers.length > 1)
        shadow(context, kindOf(context), () => answers)
    },
    violated: (of, reason) => splitter.violated(kindOf(of), reason),
    mismatched: (of) => splitter.mismatched(kindOf(of)),
  }

  /** `plan.batch` covers everything in the key but the rows, so it is the question kind. */
  function kindOf({ matched, plan }: ReadCall): QuestionKind {
    return { model: names(matched), kind: plan.batch ?? NO_KIND }
  }
}

const NO_KIND = '' as Digest
