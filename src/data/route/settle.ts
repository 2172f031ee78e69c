/** Settles the route of a call whose body names the model, once the body is there. */
import type { Chunks } from '../../core/chunks.ts'
import type { NamedModel, Protocol } from '../../protocol/protocol.ts'
import { type Matched, matchesModel, type OpenMatched } from './routes.ts'

/** The model that each dialect of the candidates reads in the body. */
type Named = ReadonlyMap<Protocol, NamedModel | undefined>

/** Undefined: no route takes the model that the body names. */
export function settle(open: OpenMatched, body: Uint8Array): Matched | undefined {
  return firstMatching(open, new Map(dialects(open).map((protocol) => [protocol, protocol.model?.(body)])))
}

/** The same for a long body, in steps. */
export function* settleSteps(open: OpenMatched, body: Chunks): Generator<void, Matched | undefined> {
  const named = new Map<Protocol, NamedModel | undefined>()
  for (const protocol of dialects(open))
    named.set(protocol, protocol.modelChunks && (yield* protocol.modelChunks(body)))
  return firstMatching(open, named)
}

function dialects({ candidates }: OpenMatched): Protocol[] {
  const open = candidates.filter(({ target }) => target.isNamedInBody)
  return [...new Set(open.map(({ protocol }) => protocol))]
}

function firstMatching({ candidates }: OpenMatched, models: Named): Matched | undefined {
  for (const candidate of candidates) {
    const { route, protocol, target } = candidate
    if (target.isNamedInBody !== true) return candidate
    const named = models.get(protocol)
    if (!matchesModel(route, named?.model)) continue
    const last = SETTLED.get(candidate)
    if (last && isOf(last, named)) return last
    const settled = { route, protocol, target: { ...target, ...named } }
    SETTLED.set(candidate, settled)
    return settled
  }
  return undefined
}

/** What each candidate was settled to last: calls of one head mostly name one model, and what was decided for that is kept with it. */
const SETTLED = new WeakMap<Matched, Matched>()

function isOf({ target }: Matched, named: NamedModel | undefined): boolean {
  return target.model === named?.model && target.version === named?.version
}
