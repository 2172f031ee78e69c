/** What the page knows of the gateway: the newest event of each kind and name, and how the numbers went of late. */
import type { CallLine } from '../core/call-line.ts'
import type {
  BackendTrafficView,
  CallerView,
  DeploymentView,
  FaultView,
  GatewayView,
  ModelView,
  RolloutView,
  StatsView,
  TrafficView,
} from '../core/live.ts'
import type { LogLineView, ShownPool, ShownScale, ShownTenant, TierTotals } from './shown.ts'

/** Ten minutes of seconds. */
const HISTORY = 600
const MAX_LINES = 400
const MAX_CALLS = 200

/** One second of the plots; `undefined` members are gaps. */
export interface Moment {
  readonly at: number
  readonly stats: StatsView | undefined
}

export class Store {
  caller: CallerView | undefined
  gateway: GatewayView | undefined
  stats: StatsView | undefined
  history: Moment[] = []
  cache: TierTotals | undefined
  readonly pools = new Map<string, ShownPool>()
  readonly traffic = new Map<string, TrafficView>()
  /** By pool and slot. */
  readonly backends = new Map<string, BackendTrafficView>()
  readonly models = new Map<string, ModelView>()
  readonly deployments = new Map<string, DeploymentView>()
  readonly scales = new Map<string, ShownScale>()
  readonly rollouts = new Map<string, RolloutView>()
  /** Of each scaled pool, by time: the wanted replicas, those that are ready, and the misses a second. */
  readonly scaleHistory = new Map<string, { at: number; desired: number; ready: number; misses: number }[]>()
  readonly tenants = new Map<string, ShownTenant>()
  readonly faults = new Map<string, FaultView>()
  /** The newest last. */
  lines: LogLineView[] = []
  /** Slow, failed or sampled ones that have ended since the page was opened. */
  calls: readonly CallLine[] = []
  readonly #rates = new GrowthRates()

  /** Another connection begins with everything again. */
  begin(): void {
    for (const map of [
      this.pools,
      this.traffic,
      this.backends,
      this.models,
      this.deployments,
      this.scales,
      this.rollouts,
      this.tenants,
      this.faults,
    ])
      map.clear()
    this.lines = []
    this.calls = []
    this.#rates.clear()
    // What was while nobody listened is not known.
    if (this.history.length > 0) this.#remember({ at: (this.history.at(-1)?.at ?? 0) + 1, stats: undefined })
  }

  take(kind: string, data: unknown): void {
    const handler = this.#handlers[kind]
    handler?.(data as never)
  }

  /** How fast a total grows, a second. */
  perSecond(name: string): number {
    return this.#rates.perSecond(name, this.stats?.at ?? 0)
  }

  allows(scope: string): boolean {
    const { scopes = [] } = this.caller ?? {}
    return (
      scopes.includes('admin') ||
      scopes.includes(scope) ||
      (scope.startsWith('register:') && scopes.includes('register:*'))
    )
  }

  readonly #handlers: Readonly<Record<string, (data: never) => void>> = {
    caller: (data: CallerView) => {
      this.begin()
      this.caller = data
    },
    gateway: (data: GatewayView) => {
      this.gateway = data
    },
    pool: (data: ShownPool) => {
      // Its traffic is in events of its own, which may have come first.
      this.pools.set(data.pool, data)
    },
    traffic: (data: TrafficView) => void this.traffic.set(data.pool, data),
    'backend-traffic': (data: BackendTrafficView) =>
      void this.backends.set(`${data.pool} ${data.slot}`, data),
    stats: (data: StatsView) => {
      this.stats = data
      this.#remember({ at: data.at, stats: data })
      this.#rememberScales(data.at)
    },
    cache: (data: TierTotals) => {
      this.cache = data
      const { memory, tiers } = data
      if (memory) this.#grow('memory', memory, ['hits', 'misses', 'evictions'])
      for (const tier of tiers) this.#grow(`tier ${tier.name}`, tier, ['hits', 'misses', 'stored', 'failed'])
    },
    model: (data: ModelView) => {
      this.models.set(data.model, data)
      for (const [outcome, count] of Object.entries(data.calls))
        this.#rates.note(`model ${data.model} ${outcome}`, count, this.stats)
      for (const [result, count] of Object.entries(data.rows))
        this.#rates.note(`model ${data.model} rows ${result}`, count, this.stats)
    },
    deployment: (data: DeploymentView) => void this.deployments.set(`${data.pool} ${data.model}`, data),
    scale: (data: ShownScale) => void this.scales.set(data.pool, data),
    rollout: (data: RolloutView) => void this.rollouts.set(data.route, data),
    tenant: (data: ShownTenant) => {
      this.tenants.set(data.tenant, data)
      const calls = Object.values(data.calls).reduce((sum, count) => sum + count, 0)
      this.#rates.note(`tenant ${data.tenant}`, calls, this.stats)
    },
    fault: (data: FaultView) => {
      this.faults.set(`${data.route} ${data.fault}`, data)
      this.#rates.note(`fault ${data.route} ${data.fault}`, data.count, this.stats)
    },
    log: (line: LogLineView) => {
      this.lines.push(line)
      if (this.lines.length > MAX_LINES) this.lines.splice(0, this.lines.length - MAX_LINES)
    },
    call: (call: CallLine) => {
      this.calls = [...this.calls.slice(1 - MAX_CALLS), call]
    },
    gone: ({ event, name = '' }: { event: string; name?: string }) => {
      const maps: Readonly<Record<string, Map<string, unknown>>> = {
        traffic: this.traffic,
        'backend-traffic': this.backends,
        model: this.models,
        deployment: this.deployments,
        scale: this.scales,
        rollout: this.rollouts,
        tenant: this.tenants,
        fault: this.faults,
      }
      maps[event]?.delete(name)
      if (event === 'traffic') this.pools.delete(name)
    },
  }

  #grow<K extends string>(prefix: string, totals: Readonly<Record<K, number>>, names: readonly K[]): void {
    for (const name of names) this.#rates.note(`${prefix} ${name}`, totals[name], this.stats)
  }

  #remember(moment: Moment): void {
    this.history = [...this.history.slice(1 - HISTORY), moment]
  }

  #rememberScales(at: number): void {
    for (const { pool, desired, ready, demand } of this.scales.values()) {
      const before = this.scaleHistory.get(pool) ?? []
      const now = { at, desired, ready, misses: demand.missesPerSecond }
      this.scaleHistory.set(pool, [...before.slice(1 - HISTORY), now])
    }
  }
}

/**
 * How fast totals grow. A total is told again only when it has changed, so what it grew by was in the second before it
 * was told, and one that is not told again does not grow.
 */
class GrowthRates {
  readonly #known = new Map<string, { readonly total: number; readonly rate: number; readonly at: number }>()

  note(name: string, total: number, stats: StatsView | undefined): void {
    if (!stats) return
    const before = this.#known.get(name)
    if (before?.total === total) return
    const grown = before ? Math.max(0, total - before.total) : 0
    this.#known.set(name, { total, rate: grown / Math.max(stats.seconds, 0.1), at: stats.at })
  }

  perSecond(name: string, at: number): number {
    const known = this.#known.get(name)
    return known?.at === at ? known.rate : 0
  }

  clear(): void {
    this.#known.clear()
  }
}
