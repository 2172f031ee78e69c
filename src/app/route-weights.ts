/**
 * The weights of splits as they were changed while the gateway runs. They hold over reloads of the YAML, until that says other
 * pools or weights for the route than it did when they were changed.
 */
import { isDeepStrictEqual } from 'node:util'
import { isTooSmall, MIN_WEIGHT } from '../config/schema/traffic.ts'
import type { RouteSettings, Settings } from '../config/schema.ts'
import type { RouteTraffic } from '../control/admin/contract.ts'
import type { Split } from '../control/rollout/commands.ts'
import { GatewayError } from '../core/errors.ts'
import type { Weights } from '../data/route/pool-weights.ts'
import type { Metrics } from '../obs/metrics.ts'

/** The whole of a route's weights. */
export interface WeightChange {
  readonly route: string
  readonly weights: Weights
}

interface ChangedWeights {
  readonly weights: Weights
  /** The split of the YAML at that time. */
  readonly written: RouteSettings['split']
}

export interface RouteWeightsOptions {
  readonly settings: Settings
  readonly metrics: Pick<Metrics, 'gauge'>
  readonly data: { weigh(change: WeightChange): void }
}

export class RouteWeights {
  readonly #data: RouteWeightsOptions['data']
  readonly #changed = new Map<string, ChangedWeights>()
  #settings: Settings

  constructor({ settings, metrics, data }: RouteWeightsOptions) {
    this.#settings = settings
    this.#data = data
    metrics.gauge('infergate_route_weight', () =>
      this.list().flatMap(({ route, pools }) =>
        pools.flatMap(({ pool, weight }) =>
          weight === undefined ? [] : [{ labels: { route, pool }, value: weight }],
        ),
      ),
    )
  }

  /** The settings of a reload, with the weights that still hold. */
  follow(settings: Settings): Settings {
    this.#settings = settings
    for (const [route, { written }] of this.#changed) {
      if (!isDeepStrictEqual(this.#find(route)?.split, written)) this.#changed.delete(route)
    }
    const changes = [...this.#changed].map(([route, { weights }]) => ({ route, weights }))
    return changes.reduce(withWeights, settings)
  }

  /** The routes of the YAML, with their pools. */
  list(): RouteTraffic[] {
    return this.#settings.routes.map((route) => this.#describe(route))
  }

  /** Undefined: there is no such route. Throws `badRequest`, with what is wrong with the weights. */
  change(name: string, given: Weights): RouteTraffic | undefined {
    const route = this.#find(name)
    if (!route) return undefined
    const { split } = route
    if (!split) throw refused(`the route "${name}" has one pool: give it a split in the YAML`)
    const unknown = Object.keys(given).find((pool) => !split.some((weighted) => weighted.pool === pool))
    if (unknown !== undefined)
      throw refused(
        `the route "${name}" has no pool "${unknown}"; it has ${split.map(({ pool }) => pool).join(', ')}`,
      )
    const small = Object.keys(given).find((pool) => isTooSmall(given[pool] ?? 0))
    if (small !== undefined) throw refused(`the weight of "${small}" must be 0, or at least ${MIN_WEIGHT}`)
    const weights = { ...this.#weightsOf(route), ...given }
    if (Object.values(weights).every((weight) => weight === 0))
      throw refused(`one weight at least must be over 0, or the route "${name}" would go nowhere`)
    this.#changed.set(name, { weights, written: split })
    this.#data.weigh({ route: name, weights })
    return this.#describe(route)
  }

  /** The split of a route with the weights in force; undefined: it has none. */
  split(name: string): Split | undefined {
    const route = this.#find(name)
    if (!route?.split) return undefined
    const weights = this.#weightsOf(route)
    const pools = route.split.map(({ pool, weight }) => ({ pool, weight: weights[pool] ?? weight }))
    return { pools, written: JSON.stringify(route.split) }
  }

  #find(name: string): RouteSettings | undefined {
    return this.#settings.routes.find((route) => route.name === name)
  }

  #weightsOf({ name, split = [] }: RouteSettings): Weights {
    return (
      this.#changed.get(name)?.weights ?? Object.fromEntries(split.map(({ pool, weight }) => [pool, weight]))
    )
  }

  #describe(route: RouteSettings): RouteTraffic {
    const { name, pool, split, sticky } = route
    if (!split) return { route: name, pools: [{ pool: pool ?? '' }] }
    const weights = this.#weightsOf(route)
    const pools = split.map(({ pool: of, weight }) => ({
      pool: of,
      weight: weights[of] ?? weight,
      configured: weight,
    }))
    return { route: name, ...(sticky && { sticky }), pools }
  }
}

function refused(why: string): GatewayError {
  return new GatewayError('badRequest', why)
}

/** The settings with these weights in the split of the route. */
export function withWeights(settings: Settings, { route: name, weights }: WeightChange): Settings {
  const routes = settings.routes.map((route) => {
    if (route.name !== name || !route.split) return route
    const split = route.split.map(({ pool, weight }) => ({ pool, weight: weights[pool] ?? weight }))
    return { ...route, split }
  })
  return { ...settings, routes }
}
