/** What the admin API asks of the rest of the gateway, as plain functions. */
import type { AdminParts } from '../control/admin/contract.ts'
import { parseDigest } from '../core/key.ts'
import type { Metrics } from '../obs/metrics.ts'
import type { Cache } from './cache.ts'
import type { DataPlane } from './data-plane.ts'
import type { Scaling } from './scaling.ts'

interface Around {
  readonly data: DataPlane
  readonly cache: Cache
  readonly metrics: Metrics
  readonly ready: AdminParts['ready']
  /** Asked at each use: it is built after the admin API. */
  readonly scaling: () => Scaling
}

export function adminParts({ data, cache, metrics, ready, scaling }: Around): AdminParts {
  return {
    ready,
    metrics: () => metrics.expose(),
    async purge(request) {
      if ('all' in request) {
        scaling().lost('flush')
        return purged(data, ['all'])
      }
      const { model, version, route, tags = [], key } = request
      const names = [
        ...(model === undefined
          ? []
          : version === undefined
            ? [`model:${model}`]
            : [`model:${model}/${version}`, `model:${model}/`]),
        ...(route === undefined ? [] : [`route:${route}`]),
        ...tags.map((tag) => `tag:${tag}`),
      ]
      const digest = key === undefined ? undefined : parseDigest(key)
      const told = digest === undefined || (await data.facts.purgedKeys.purge(digest))
      const answer = await purged(data, names)
      return {
        ...answer,
        shared: answer.shared && told,
        ...(key === undefined ? {} : { key, known: digest !== undefined }),
      }
    },
    explain: (request) => data.explain(request),
    stats: () => ({ ...cache.stats(), flights: data.flights.size, models: data.models.all() }),
    scale: (pool) => scaling().describe(pool),
    traffic: (pool) => data.pools.traffic(pool),
  }
}

/** What became unreachable, and whether the other gateways have been told already. */
async function purged(data: DataPlane, names: readonly string[]) {
  const told = await data.facts.epochs.purge(names)
  return { unreachable: names, shared: told }
}
