/**
 * The versions that answers state, and whether an answer may be stored or given: its version must be one of those
 * deployed, as far as anybody knows.
 *
 * Where a backend does not report its versions, the statements in its answers are the only evidence of its deployments:
 * each one that differs from the one before is reported to the control thread. Only calls that name no version count; a
 * call that names one gets that one.
 */
import type { Backend } from '../../core/backend.ts'
import type { Target } from '../../core/call.ts'
import type { Entry } from '../cache/entry.ts'
import type { Matched } from '../route/routes.ts'
import type { Deployments } from './deployment.ts'

export interface VersionStatement {
  readonly pool: string
  readonly model: string
  /** That of the backend; 0: an answer that another gateway has stored. */
  readonly generation: number
  readonly version: string
  /** The version that the answer before stated. */
  readonly before: string | undefined
}

export interface VersionRules {
  /** Whether an answer of this version may be stored under the present deployment. */
  mayKeep(matched: Matched, version: string | undefined): boolean
  /** Whether a stored answer is one of the present deployment: another gateway may know another one. */
  mayGive(matched: Matched, entry: Entry): boolean
  /** Notes that a backend's answer states this version. */
  stated(matched: Matched, backend: Backend, version: string): void
}

/** Stands for the backends of other gateways. */
const OTHERS = 0

export function createVersionRules(
  deployments: Pick<Deployments, 'mayKeep'>,
  report: (statement: VersionStatement) => void,
): VersionRules {
  const statements = new Statements(report)
  return {
    mayKeep: ({ route, target }, version) => deployments.mayKeep(route.pool, target, version),
    // Where no backend of ours has stated a version, the one in another gateway's entry holds, and is noted as theirs.
    mayGive({ route, target }, { version }) {
      if (version === '') return true
      if (!deployments.mayKeep(route.pool, target, version)) return false
      statements.record(route.pool, target, OTHERS, version)
      return true
    },
    stated: ({ route, target }, { generation }, version) =>
      statements.record(route.pool, target, generation, version),
  }
}

/** Callers make up names, so there is a bound; what is forgotten is reported again. */
const MAX_STATEMENTS = 4_096

class Statements {
  readonly #report: (statement: VersionStatement) => void
  /** By pool, model and backend: nested, since a joined name would be a new string for every answer. */
  readonly #last = new Map<string, Map<string, Map<number, string>>>()
  #size = 0

  constructor(report: (statement: VersionStatement) => void) {
    this.#report = report
  }

  record(
    pool: string,
    { model = '', version: requested }: Target,
    generation: number,
    version: string,
  ): void {
    if (requested !== undefined) return
    const before = this.#last.get(pool)?.get(model)?.get(generation)
    if (before === version) return
    this.#note(pool, model, generation, version)
    this.#report({ pool, model, generation, version, before })
  }

  #note(pool: string, model: string, generation: number, version: string): void {
    if (this.#size >= MAX_STATEMENTS) {
      this.#last.clear()
      this.#size = 0
    }
    const models = this.#last.get(pool) ?? new Map<string, Map<number, string>>()
    this.#last.set(pool, models)
    const versions = models.get(model) ?? new Map<number, string>()
    models.set(model, versions)
    if (!versions.has(generation)) this.#size++
    versions.set(generation, version)
  }
}
