/**
 * What answers say of the version that gave them, and what follows from it. An answer is kept, and given, where its version
 * is one of those that are deployed, as far as anybody knows.
 *
 * Where a backend does not name its versions when it is asked, its answers are all there is to know of its deployments:
 * told upwards whenever one says something else than the last. Only calls that leave the version open count; one that
 * names a version gets that version.
 */
import type { Backend } from '../../core/backend.ts'
import type { Target } from '../../core/call.ts'
import type { Entry } from '../cache/entry.ts'
import type { Matched } from '../route/routes.ts'
import type { Deployments } from './deployment.ts'

export interface VersionStatement {
  readonly pool: string
  readonly model: string
  /** Of the backend; 0: an answer that another gateway has kept. */
  readonly generation: number
  readonly version: string
  /** What its answer before said. */
  readonly before: string | undefined
}

export interface VersionRules {
  /** Whether an answer of this version may be kept under the present deployment. */
  mayKeep(matched: Matched, version: string | undefined): boolean
  /** Whether a kept answer is one of the present deployment: another gateway may know another one. */
  mayGive(matched: Matched, entry: Entry): boolean
  /** A backend's answer says it is of this version. */
  stated(matched: Matched, backend: Backend, version: string): void
}

/** Stands for the backends of other gateways. */
const OTHERS = 0

export function createVersionRules(
  deployments: Pick<Deployments, 'mayKeep'>,
  tell: (statement: VersionStatement) => void,
): VersionRules {
  const statements = new Statements(tell)
  return {
    mayKeep: ({ route, target }, version) => deployments.mayKeep(route.pool, target, version),
    // Where no backend of ours has said of which version it is, what the others keep holds, and is noted as theirs.
    mayGive({ route, target }, { version }) {
      if (version === '') return true
      if (!deployments.mayKeep(route.pool, target, version)) return false
      statements.heard(route.pool, target, OTHERS, version)
      return true
    },
    stated: ({ route, target }, { generation }, version) =>
      statements.heard(route.pool, target, generation, version),
  }
}

/** Names come from callers; what is forgotten is told again. */
const MAX_STATEMENTS = 4_096

class Statements {
  readonly #tell: (statement: VersionStatement) => void
  /** By pool, model and backend. Asked for every answer that is kept or found, so no name is made of the three. */
  readonly #last = new Map<string, Map<string, Map<number, string>>>()
  #size = 0

  constructor(tell: (statement: VersionStatement) => void) {
    this.#tell = tell
  }

  heard(pool: string, { model = '', version: asked }: Target, generation: number, version: string): void {
    if (asked !== undefined) return
    const before = this.#last.get(pool)?.get(model)?.get(generation)
    if (before === version) return
    this.#note(pool, model, generation, version)
    this.#tell({ pool, model, generation, version, before })
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
