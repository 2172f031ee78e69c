/** What the dashboard shows, collected from the parts of the gateway; asked for only while somebody looks. */
import type { LiveSource } from '../../control/admin/contract.ts'
import type { Registry } from '../../control/registry/registry.ts'
import type { Rollouts } from '../../control/rollout/rollouts.ts'
import type { ScaleDescription } from '../../control/scale/describe.ts'
import type { Warmings } from '../../control/warm/warmings.ts'
import type {
  BackendTrafficView,
  DeploymentView,
  GatewayView,
  LiveEvent,
  ModelView,
  StatsView,
  TrafficView,
} from '../../core/live.ts'
import type { RowCounts } from '../../core/row-counts.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Metrics } from '../../obs/metrics.ts'
import type { RecentLines } from '../../obs/recent-lines.ts'
import { ownVersion } from '../version.ts'
import type { DataPlanes } from '../workers/data-planes.ts'
import type { DataStats } from '../workers/merge.ts'
import { CallRateMeter, type CountedCalls } from './call-rates.ts'

export interface LiveStateParts {
  readonly clock: Clock
  readonly data: DataPlanes
  /** Those of this thread. */
  readonly metrics: Pick<Metrics, 'callTotals'>
  readonly registry: Registry
  readonly scales: () => readonly ScaleDescription[]
  readonly rollouts: Pick<Rollouts, 'list'>
  readonly ready: () => { readonly ok: boolean; readonly reasons: readonly string[] }
  /** The tenants that the settings name. */
  readonly tenants: () => readonly string[]
  readonly lines: RecentLines | undefined
  readonly warmings: Pick<Warmings, 'list'>
}

/** Counts that are older than this begin anew: nobody has looked meanwhile. */
const STALE_MS = 5_000

export class LiveState implements LiveSource {
  readonly #parts: LiveStateParts
  readonly #since = new Date().toISOString()
  #version: string | undefined
  #meter = new CallRateMeter()
  #rows: RowCounts | undefined
  /** By pool, as the state was looked at last. */
  readonly #queued = new Map<string, number>()
  #readAt = Number.NEGATIVE_INFINITY

  constructor(parts: LiveStateParts) {
    this.#parts = parts
  }

  state(): readonly LiveEvent[] {
    const { data, registry } = this.#parts
    const scales = this.#parts.scales()
    return [
      { event: 'gateway', data: this.#gateway() },
      ...registry.views().flatMap(({ pool }) => this.#traffic(pool)),
      ...this.#parts.warmings
        .list()
        .map((warming) => ({ event: 'warming', name: warming.id, data: warming })),
      // When it was last said again changes with every tick, and says nothing.
      ...scales.map((scale) => ({ event: 'scale', name: scale.pool, data: { ...scale, at: undefined } })),
      ...this.#parts.rollouts
        .list()
        .map((view): LiveEvent => ({ event: 'rollout', name: view.route, data: view })),
      ...data.facts.deployments.all().map(
        ({ pool, model, versions, token }): LiveEvent => ({
          event: 'deployment',
          name: `${pool} ${model}`,
          data: {
            pool,
            model,
            ...(versions ? { versions } : {}),
            token: token.value,
            shared: token.shared,
          } satisfies DeploymentView,
        }),
      ),
    ]
  }

  async counts(): Promise<readonly LiveEvent[]> {
    const { data, metrics, tenants } = this.#parts
    const [others, { models, ...cache }, used] = await Promise.all([
      data.callTotals(),
      data.stats(),
      data.tenants(),
    ])
    const stats = this.#stats(new Map([[0, metrics.callTotals()], ...others]), { models, ...cache })
    return [
      { event: 'stats', data: stats },
      { event: 'cache', data: cache },
      ...Object.entries(models).map(
        ([model, counts]): LiveEvent => ({
          event: 'model',
          name: model,
          data: { model, ...counts } satisfies ModelView,
        }),
      ),
      ...this.#meter
        .faults()
        .map((fault): LiveEvent => ({ event: 'fault', name: `${fault.route} ${fault.fault}`, data: fault })),
      ...data
        .mirrored()
        .list()
        .map(
          (totals): LiveEvent => ({
            event: 'mirror',
            name: `${totals.route} ${totals.pool}`,
            data: totals,
          }),
        ),
      ...used
        .list(tenants())
        .map((view): LiveEvent => ({ event: 'tenant', name: view.tenant, data: view, scope: 'tenants' })),
    ]
  }

  past(): readonly string[] {
    return this.#parts.lines?.all() ?? []
  }

  follow(listener: (line: string) => void): () => void {
    return this.#parts.lines?.follow(listener) ?? (() => {})
  }

  #gateway(): GatewayView {
    const { data, ready } = this.#parts
    const { ok, reasons } = ready()
    return {
      version: (this.#version ??= ownVersion()),
      since: this.#since,
      workers: data.workers,
      listening: data.listening,
      ready: ok,
      reasons,
    }
  }

  #traffic(pool: string): readonly LiveEvent[] {
    const { data } = this.#parts
    const found = data.traffic(pool)
    if (!found) return []
    const { backends, ...traffic } = found
    this.#queued.set(pool, traffic.queued)
    return [
      { event: 'traffic', name: pool, data: { pool, ...traffic } satisfies TrafficView },
      ...backends.map(
        (backend): LiveEvent => ({
          event: 'backend-traffic',
          name: `${pool} ${backend.slot}`,
          data: { pool, inflight: data.inflight(backend.slot), ...backend } satisfies BackendTrafficView,
        }),
      ),
    ]
  }

  #stats(calls: CountedCalls, { models, flights }: DataStats): StatsView {
    const { clock, registry } = this.#parts
    const now = clock.now()
    const elapsed = now - this.#readAt
    if (elapsed > STALE_MS) {
      this.#meter = new CallRateMeter()
      this.#rows = undefined
    }
    this.#readAt = now
    const seconds = Math.min(elapsed, STALE_MS) / 1000
    const total = rowsOf(models)
    const before = this.#rows ?? total
    this.#rows = total
    const queued = registry.views().reduce((sum, { pool }) => sum + (this.#queued.get(pool) ?? 0), 0)
    const rate = (of: keyof RowCounts) =>
      Math.round((Math.max(0, total[of] - before[of]) / seconds) * 100) / 100
    return {
      at: clock.wall(),
      seconds,
      ...this.#meter.read(calls, seconds),
      rows: { hit: rate('hit'), join: rate('join'), miss: rate('miss'), dup: rate('dup') },
      queued,
      flights,
    }
  }
}

function rowsOf(models: DataStats['models']): RowCounts {
  const sum = { hit: 0, join: 0, miss: 0, dup: 0 }
  for (const { rows } of Object.values(models))
    for (const result of ['hit', 'join', 'miss', 'dup'] as const) sum[result] += rows[result]
  return sum
}
