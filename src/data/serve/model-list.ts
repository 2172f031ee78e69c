/**
 * Answers calls for the list of models, and for one of them, from the lists of all backends behind the routes that the call
 * matches. Each list is kept for seconds, and a slow backend is waited for no longer than a second: what it said before is taken.
 * If no backend has a list, the call is passed on, so that its caller learns why.
 */
import type { Backend } from '../../core/backend.ts'
import { type Call, headerAll } from '../../core/call.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Answer, Reply } from '../../core/reply.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ListedModel, Listing } from '../../protocol/protocol.ts'
import { isShown } from '../auth/authorize.ts'
import type { OutgoingFields } from '../http/outgoing-fields.ts'
import { meaningOf } from '../key/meaning.ts'
import { inEachPool } from '../route/choose-pool.ts'
import { type Matched, matchesModel, type Route } from '../route/routes.ts'
import { requestHeaders } from '../rows/row-request.ts'
import type { AskBackend } from '../upstream/ask-backend.ts'
import type { Forward } from '../upstream/forward.ts'

export interface ModelListParts {
  /** The backends of a pool. */
  readonly members: (pool: string) => readonly Backend[]
  readonly ask: (pool: string, ...asked: Parameters<AskBackend>) => ReturnType<AskBackend>
  readonly outgoing: OutgoingFields
  readonly forward: Forward
  readonly clock: Pick<Clock, 'now'>
}

/** Answers a call whose target gathers. */
export type ModelList = (call: Call, matched: Matched) => Promise<Answer>

const FRESH_MS = 5_000
/** For how long the list of a backend that does not answer any more is taken. */
const STALE_MS = 60_000
const TIMEOUT_MS = 1_000
const MAX_BYTES = 1 << 20
/** Lists that are kept, of each backend one for each caller. */
const MAX_LISTS = 256

type Models = readonly ListedModel[]

/** What a backend has said to a caller. */
interface KeptList {
  /** When it was asked last, and what came of it. */
  readonly askedAt: number
  readonly list: Promise<Models | undefined>
  /** Its last list, and when it gave it. */
  last?: { readonly models: Models; readonly at: number }
}

export function createModelList({ members, ask, outgoing, forward, clock }: ModelListParts): ModelList {
  const kept = new Map<string, KeptList>()

  return async function answer(call, matched) {
    const listing = matched.protocol.listing as Listing
    const { model } = matched.target
    const sources = (matched.gathered ?? [])
      .flatMap(inEachPool)
      .filter(
        (source) =>
          isShown(source, call.identity) && (model === undefined || matchesModel(source.route, model)),
      )
    const [first] = sources
    if (!first) throw new GatewayError('unknownModel', `no route takes the model ${JSON.stringify(model)}`)
    const lists = await Promise.all(sources.flatMap((source) => listsOf(call, source, listing)))
    if (lists.every((list) => list === undefined)) return forward(call, first, 'models')
    const models = merged(lists)
    if (model === undefined)
      return answered(listing.list(models.filter(({ id }) => call.identity?.policy?.mayUse?.(id) ?? true)))
    const one = models.find(({ id }) => id === model)
    return one ? answered(listing.one(one)) : forward(call, first, 'models')
  }

  /** The list of each backend of a route, without what the route does not take. */
  function listsOf(call: Call, { route }: Matched, listing: Listing): Promise<Models | undefined>[] {
    const all = members(route.pool).filter(({ state }) => state !== 'draining')
    const well = all.filter(({ state }) => state === 'ready' || state === 'suspect')
    return (well.length > 0 ? well : all).map(async (backend) => {
      const list = await listOf(call, { backend, route }, listing)
      return list?.filter(({ id }) => matchesModel(route, id))
    })
  }

  /** Callers that show credentials to the backends may be shown different lists. */
  function listOf(
    call: Call,
    { backend, route }: { backend: Backend; route: Route },
    listing: Listing,
  ): KeptList['list'] {
    const { pool } = route
    const host = route.rewrite?.host ?? (route.keepsHost ? call.host : undefined)
    const key = keyOf(call, backend, route)
    const known = kept.get(key)
    const askedAt = clock.now()
    if (known && askedAt - known.askedAt < FRESH_MS) return known.list
    const own = requestHeaders(outgoing(call), [])
    const headers = route.requestFields?.applied(own) ?? own
    const question = { target: listing.path, headers, host, timeoutMs: TIMEOUT_MS, maxBytes: MAX_BYTES }
    const asking: KeptList = {
      askedAt,
      list: ask(pool, backend, question).then((body) => {
        const models = body && listing.read(body)
        if (models) asking.last = { models, at: clock.now() }
        return asking.last && clock.now() - asking.last.at < STALE_MS ? asking.last.models : undefined
      }),
    }
    if (known?.last) asking.last = known.last
    kept.delete(key)
    kept.set(key, asking)
    if (kept.size > MAX_LISTS) kept.delete(kept.keys().next().value as string)
    return asking.list
  }
}

/** What a list depends on: its backend, and what a backend may go by that is asked for it. */
function keyOf(
  call: Call,
  { id, generation }: Backend,
  { pool, keepsHost, cache, rewrite, requestFields }: Route,
): string {
  const { principal, headers } = call
  const { choosing } = meaningOf(headers)
  const varying = cache?.vary?.map((name) => headerAll(headers, name))
  return JSON.stringify([
    pool,
    id,
    generation,
    principal,
    keepsHost && call.host,
    choosing,
    varying,
    rewrite?.host,
    requestFields?.text,
  ])
}

/** Each model once, as the first server tells of it. */
function merged(lists: readonly (Models | undefined)[]): Models {
  const models = new Map<string, ListedModel>()
  for (const list of lists)
    for (const model of list ?? []) if (!models.has(model.id)) models.set(model.id, model)
  return [...models.values()]
}

function answered(reply: Reply): Answer {
  return { reply, outcome: { kind: 'bypass', reason: 'models', status: reply.status } }
}
