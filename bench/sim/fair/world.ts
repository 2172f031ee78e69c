/**
 * Tenants at one pool in simulation: the production pool, as many as there are workers over one table in shared memory, on
 * virtual time. Callers and backends are simulated; a bell that one worker rings is heard by the other a little later. Several
 * gateways have a table each, and tell each other over a store what they do.
 */
import type { Backend } from '../../../src/core/backend.ts'
import { PRIORITIES, type TenantShare } from '../../../src/core/tenant-share.ts'
import { Clients } from '../../../src/data/backend/clients.ts'
import type { Permit } from '../../../src/data/backend/permit.ts'
import { BackendPool } from '../../../src/data/backend/pool.ts'
import { createOutlierState } from '../../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, type LoadTable, tableForWorker } from '../../../src/data/balance/table.ts'
import { Cancel } from '../../../src/lib/cancel.ts'
import { createRandom, exponential } from '../../../src/lib/seeded-random.ts'
import { Engine } from '../engine.ts'
import { lognormal } from '../service.ts'
import { Gateways } from './gateways.ts'

export interface TenantPlan {
  readonly name: string
  readonly weight?: number
  readonly priority?: (typeof PRIORITIES)[number]
  readonly floor?: number
  /** Rows of each call. */
  readonly rows?: number
  /** Callers that each send the next call when they have the answer; or: */
  readonly callers?: number
  /** calls a second, as they come. */
  readonly perSecond?: number
  /** The workers that its connections are at, those of the first gateway first. Default: all. */
  readonly workers?: readonly number[]
  readonly fromMs?: number
  readonly untilMs?: number
}

export interface WorldPlan {
  readonly seed: number
  readonly tenants: readonly TenantPlan[]
  /** Of each gateway. */
  readonly workers?: number
  readonly gateways?: number
  /** The longest way from a gateway to the store. */
  readonly delayMs?: number
  readonly backends?: number
  /** Calls at a time of each backend. */
  readonly places: number
  /** A call takes `callMs + rowMs · rows` on average. */
  readonly callMs?: number
  readonly rowMs?: number
  /** Variance of a service time over its squared mean. */
  readonly scv?: number
  readonly untilMs: number
}

/** A call that was answered. */
export interface Served {
  readonly tenant: string
  readonly rows: number
  readonly cameAt: number
  readonly beganAt: number
  readonly endedAt: number
}

/** One call of a tenant; `factor`: its service time over the average. */
interface SimCall extends TenantPlan {
  readonly share: TenantShare
  readonly factor: number
}

const STEP_MS = 0.1
/** From the bell to the queue of the other worker. */
const BELL_MS = 0.1
const DEADLINE_MS = 30_000
/** A caller that was refused comes again after this. */
const AGAIN_MS = 20

export class World {
  readonly served: Served[] = []
  refused = 0
  readonly #plan: WorldPlan
  readonly #engine = new Engine()
  readonly #pools: BackendPool[]
  readonly #clients: Clients[]
  readonly #tables: readonly LoadTable[]
  readonly #gateways: Gateways

  constructor(plan: WorldPlan) {
    const { workers = 1, gateways = 1, delayMs = 5, seed, tenants } = plan
    this.#plan = plan
    this.#tables = Array.from({ length: gateways }, () => createLoadTable(64, workers))
    this.#gateways = new Gateways(this.#tables, this.#engine, { seed, delayMs })
    const threads = this.#tables.flatMap((table) => {
      const state = createOutlierState(64)
      return Array.from({ length: workers }, (_, worker) => ({ table: tableForWorker(table, worker), state }))
    })
    const rules = { connectTimeoutMs: 1, bodyTimeoutMs: 1, refuse: () => undefined }
    this.#clients = threads.map(() => new Clients({ connections: 1, ...rules }))
    this.#pools = this.#clients.map(
      (clients, worker) =>
        new BackendPool(
          {
            name: 'sim',
            ...(threads[worker] as (typeof threads)[0]),
            clients,
            clock: this.#engine,
            random: createRandom(seed, `worker ${worker}`),
          },
          {
            policy: 'peak-ewma',
            retry: { max: 0, budget: {} },
            hedge: undefined,
            outlier: {},
            limit: { mode: 'declared' },
            queue: { targetMs: 20, intervalMs: 200 },
            isFromZero: false,
            shares: tenants.map(shareOf),
          },
        ),
    )
    for (const pool of this.#pools) pool.apply({ pool: 'sim', revision: 1, backends: this.#backends() })
  }

  /** Plays the plan to its end. */
  async play(): Promise<this> {
    const { tenants, untilMs } = this.#plan
    for (const tenant of tenants) this.#begin(tenant)
    this.#engine.every(100, () => {
      for (const pool of this.#pools) pool.tick()
    })
    if (this.#tables.length > 1) this.#gateways.start()
    const rung = new Int32Array(this.#pools.length)
    for (let at = STEP_MS; at <= untilMs; at += STEP_MS) {
      this.#engine.run(at)
      await Promise.resolve()
      this.#tables.forEach(({ bell, workers }, gateway) => {
        bell.forEach((count, worker) => {
          const at = gateway * workers + worker
          if (count === rung[at]) return
          rung[at] = count
          this.#engine.after(BELL_MS, () => this.#pools[at]?.onBell())
        })
      })
    }
    await Promise.all(this.#clients.map((clients) => clients.close()))
    return this
  }

  #begin(tenant: TenantPlan): void {
    const { name, callers = 0, perSecond, fromMs = 1, workers } = tenant
    const { seed, scv = 0.5 } = this.#plan
    // Streams of its own, so that a tenant's calls are the same whoever else is there.
    const random = createRandom(seed, `callers of ${name}`)
    const draw = lognormal({ meanMs: 1, scv }, createRandom(seed, `service of ${name}`))
    const share = shareOf(tenant)
    const all = workers ?? this.#pools.map((_, worker) => worker)
    const poolOf = (caller: number) => this.#pools[all[caller % all.length] ?? 0] as BackendPool
    for (let caller = 0; caller < callers; caller++) {
      const next = () => this.#call(poolOf(caller), { ...tenant, share, factor: draw() }, next)
      this.#engine.at(fromMs + random() * 5, next)
    }
    if (perSecond === undefined) return
    let arrived = 0
    const arrive = () => {
      this.#call(poolOf(arrived++), { ...tenant, share, factor: draw() }, () => {})
      this.#engine.after(exponential(random, 1000 / perSecond), arrive)
    }
    this.#engine.at(fromMs, arrive)
  }

  #call(pool: BackendPool, call: SimCall, then: () => void): void {
    const { name, rows = 1, untilMs = Infinity, share, factor } = call
    const cameAt = this.#engine.now()
    if (cameAt >= untilMs) return
    pool.deposit()
    const need = {
      model: undefined,
      version: undefined,
      key: undefined,
      deadline: cameAt + DEADLINE_MS,
      signal: new Cancel(),
      share,
      charges: [{ share, cost: rows }],
    }
    const run = (permit: Permit) => {
      const { callMs = 10, rowMs = 0 } = this.#plan
      const beganAt = this.#engine.now()
      const ms = (callMs + rowMs * rows) * factor
      this.#engine.after(ms, () => {
        pool.leave(permit, ms, 'ok')
        this.served.push({ tenant: name, rows, cameAt, beganAt, endedAt: this.#engine.now() })
        // Client and network.
        this.#engine.after(0.2, then)
      })
    }
    const permit = pool.enter(need, [])
    if (!(permit instanceof Promise)) return run(permit)
    permit.then(run, () => {
      this.refused++
      this.#engine.after(AGAIN_MS, then)
    })
  }

  #backends(): Backend[] {
    const { backends = 1, places } = this.#plan
    return Array.from({ length: backends }, (_, slot) => ({
      id: `b${slot}`,
      slot,
      generation: 1,
      url: `http://127.0.0.1:${9000 + slot}`,
      models: [],
      weight: 1,
      concurrency: places,
      state: 'ready' as const,
      reason: 'simulated',
      readySince: -1e9,
    }))
  }
}

function shareOf({ name, weight = 1, priority = 'standard', floor = 0 }: TenantPlan): TenantShare {
  return { tenant: name, weight, priority: PRIORITIES.indexOf(priority), floor }
}
