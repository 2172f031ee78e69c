/** Connects rollouts to the routes, the workers, the scaler and the gateways beside this one. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { Settings } from '../../config/schema.ts'
import type { Registry } from '../../control/registry/registry.ts'
import { Rollouts } from '../../control/rollout/rollouts.ts'
import { createRolloutStore } from '../../control/rollout/store.ts'
import type { ScaleGroup } from '../../control/scale/scaler.ts'
import type { RolloutView } from '../../core/live.ts'
import type { Log } from '../../core/log.ts'
import type { SharedStore } from '../../core/shared.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Metrics } from '../../obs/metrics.ts'
import type { RouteMirrors } from '../route-mirrors.ts'
import type { RouteWeights } from '../route-weights.ts'
import type { Scaling } from '../scaling.ts'
import type { GatewayWarming } from '../warming.ts'
import type { DataPlanes } from '../workers/data-planes.ts'
import { Copies, comparedIn } from './copies.ts'
import { hotKeys } from './hot-keys.ts'
import { Measuring } from './measuring.ts'

export interface RolloutParts {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly data: DataPlanes
  readonly registry: Registry
  readonly scaling: Scaling
  readonly weights: RouteWeights
  readonly mirrors: RouteMirrors
  readonly warming: Pick<GatewayWarming, 'warmings'>
  readonly settings: () => Settings
  readonly group: ScaleGroup
  readonly store: SharedStore | undefined
}

const PHASES = ['measuring', 'warming', 'comparing', 'moving', 'done', 'back'] as const

export function createRollouts(parts: RolloutParts): Rollouts {
  const { clock, log, metrics, data, registry, scaling, weights, mirrors, warming, settings, group, store } =
    parts
  const copies = new Copies(mirrors)
  const measuring = new Measuring({
    own: () => metrics.callTotals(),
    others: () => data.callTotals(),
    mirrors: () => comparedIn(data.mirrored().list()),
  })
  const ready = (pool: string) => {
    const view = registry.views().find((known) => known.pool === pool)
    return view?.backends.filter(({ state }) => state === 'ready').length ?? 0
  }
  const rollouts = new Rollouts({
    clock,
    log,
    group,
    store: store && createRolloutStore(store),
    instance: `${hostname()}-${process.pid}-${randomBytes(6).toString('hex')}`,
    told: (view) => count(metrics, view),
    ports: {
      split: (route) => weights.split(route),
      weigh: (route, given) => void weights.change(route, given),
      measure: () => measuring.take(),
      replicas: (pool) => ({ ready: ready(pool), wanted: scaling.signal(pool)?.decision.desired }),
      expect: (pool, announced) => scaling.expect(pool, announced),
      replicasFor: (pool, perSecond) => scaling.replicasFor(pool, perSecond),
      mirror: (route, setting) => copies.set(route, setting),
      warming: hotKeys({ warmings: warming.warmings, rateOf: (route) => warmRate(settings(), route) }),
    },
  })
  measure(metrics, rollouts)
  return rollouts
}

function measure(metrics: Metrics, rollouts: Rollouts): void {
  metrics.gauge('infergate_rollout_share', () =>
    rollouts
      .list()
      .filter(({ isOver }) => !isOver)
      .map(({ route, to, sharePercent }) => ({ labels: { route, pool: to }, value: sharePercent / 100 })),
  )
  metrics.gauge('infergate_rollout_phase', () =>
    rollouts
      .list()
      .flatMap(({ route, phase: present }) =>
        PHASES.map((phase) => ({ labels: { route, phase }, value: Number(phase === present) })),
      ),
  )
}

function count(metrics: Metrics, { route, phase, isOver, reason }: RolloutView): void {
  if (isOver) metrics.count('infergate_rollouts_total', { route, outcome: reason ?? phase })
}

function warmRate({ routes }: Settings, name: string): number | undefined {
  const rate = routes.find((route) => route.name === name)?.warm?.rate
  return rate && (1000 * rate.count) / rate.perMs
}
