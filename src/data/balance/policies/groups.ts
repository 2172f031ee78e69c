/** The backends that offer a model, by what calls ask for; found once a view, since callers repeat themselves. */
import { addressOf, type Backend, type Transport } from '../../../core/backend.ts'
import type { Labels } from '../../../core/labels.ts'
import { type Candidates, isLabelled, offers } from './candidates.ts'

export interface Group {
  readonly backends: readonly Backend[]
  candidates: Candidates
  builtFor: number
}

export interface OfferRequest {
  readonly model?: string | undefined
  readonly version?: string | undefined
  /** Labels that the backend must have. */
  readonly labels?: Labels | undefined
  /** For which it must have an address; left out: for either. */
  readonly transport?: Transport | undefined
}

/** The groups of calls by their transport, then by model and version. */
type GroupTables = { [T in Transport | 'any']?: Map<string, Group> }

/** Callers make up model names; the candidates of this many are remembered. */
const MAX_GROUPS = 256

export class Groups {
  readonly #candidates: (backends: readonly Backend[]) => Candidates
  #backends: readonly Backend[] = []
  #all: GroupTables = {}
  /** By the object of the settings, which stays the same until a reload. */
  #labelled = new WeakMap<Labels, GroupTables>()

  constructor(candidates: (backends: readonly Backend[]) => Candidates) {
    this.#candidates = candidates
  }

  update(backends: readonly Backend[]): void {
    this.#backends = backends
    this.#all = {}
    this.#labelled = new WeakMap()
  }

  /** Undefined: no backend offers this. `version`: of the judgement of the backends. */
  find(request: OfferRequest, version: number): Group | undefined {
    const { model = '', version: wanted, labels, transport = 'any' } = request
    const name = wanted === undefined ? model : `${model}\n${wanted}`
    const tables = labels === undefined ? this.#all : this.#tablesOf(labels)
    const groups = (tables[transport] ??= new Map())
    const group = groups.get(name) ?? this.#newGroup(groups, name, request)
    if (group !== undefined && group.builtFor !== version) {
      group.candidates = this.#candidates(group.backends)
      group.builtFor = version
    }
    return group
  }

  #tablesOf(labels: Labels): GroupTables {
    const known = this.#labelled.get(labels)
    if (known) return known
    const tables: GroupTables = {}
    this.#labelled.set(labels, tables)
    return tables
  }

  #newGroup(
    groups: Map<string, Group>,
    name: string,
    { model, version, labels, transport }: OfferRequest,
  ): Group | undefined {
    const backends = this.#backends.filter(
      (backend) =>
        offers(backend, model, version) &&
        isLabelled(backend, labels) &&
        (transport === undefined || addressOf(backend, transport) !== undefined),
    )
    if (backends.length === 0) return undefined
    const group = { backends, candidates: this.#candidates(backends), builtFor: -1 }
    if (groups.size >= MAX_GROUPS) groups.clear()
    groups.set(name, group)
    return group
  }
}
