/** The splitter as the pipeline sees it: asked about a matched call, told what came of it. */
import { modelName } from '../../core/call.ts'
import type { Reply } from '../../core/reply.ts'
import type { RowAnswer } from '../../protocol/protocol.ts'
import type { Matched } from '../ingress/routes.ts'
import type { Job } from '../job.ts'
import type { Shadow } from './shadow.ts'
import type { SplitReading, Splitter } from './splitter.ts'

export interface Splitting {
  /** How the call is to be read. */
  reads(matched: Matched): SplitReading
  /** Whether the call is answered from rows. */
  splits(matched: Matched): boolean
  /** A batch was answered whole by a backend. */
  observe(job: Job, reply: Reply): void
  /** A batch was answered from rows. */
  check(job: Job, answers: readonly RowAnswer[]): void
  /** An answer did not fit its rows. */
  violated(matched: Matched, reason: string): void
}

export interface SplittingParts {
  readonly splitter: Splitter
  readonly shadow: Shadow
  /** Of the deployment that answers. */
  readonly token: (matched: Matched) => string
}

export function createSplitting({ splitter, shadow, token }: SplittingParts): Splitting {
  /** Asked with every call, and a new text would have to be hashed each time. */
  const names = new WeakMap<Matched, { readonly token: string; readonly name: string }>()
  const mode = ({ route, protocol }: Matched) => (protocol.rows ? (route.cache?.rows ?? 'never') : 'never')
  return {
    reads(matched) {
      const wanted = mode(matched)
      return wanted === 'never' ? 'whole' : splitter.reads(wanted, model(matched))
    },
    splits: (matched) => mode(matched) !== 'never' && splitter.splits(mode(matched), model(matched)),
    observe(job, reply) {
      const rows = job.plan.rows
      if (mode(job.matched) !== 'auto' || !rows || rows.length < 2) return
      // A batch that does not come back whole nominates nobody.
      const answers = job.matched.protocol.rows?.cut(reply, reply.body as Uint8Array, rows.length, job.plan)
      if (answers?.length === rows.length) shadow(job, model(job.matched), answers)
    },
    check: (job, answers) => shadow(job, model(job.matched), answers),
    violated: (matched, reason) => splitter.violated(model(matched), reason),
  }

  /** A model of a pool in its present deployment. */
  function model(matched: Matched): string {
    const present = token(matched)
    const known = names.get(matched)
    if (known?.token === present) return known.name
    const { route, target } = matched
    const name = `${route.pool}/${modelName(target) ?? ''}@${present}`
    names.set(matched, { token: present, name })
    return name
  }
}
