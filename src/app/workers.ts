/**
 * The data plane in several threads of its own, each with a listener on the same port; this thread keeps them going.
 * What they share lies in shared memory; what is settled for the whole process is settled here and pushed down. A
 * worker that ends is buried, what it left in shared memory cleared, and another one takes its place.
 */
import type { Settings } from '../config/schema.ts'
import type { Endpoint } from '../core/addresses.ts'
import type { PoolView } from '../core/backend.ts'
import { GatewayError } from '../core/errors.ts'
import type { Digest } from '../core/key.ts'
import type { PoolTraffic } from '../data/backend/traffic.ts'
import { inflightOf } from '../data/balance/table.ts'
import { createMemory } from '../data/cache/memory.ts'
import type { Asked, Explanation } from '../data/explain.ts'
import { type MetricsSnapshot, totalsOf } from '../obs/metrics.ts'
import { type Cache, openCache } from './cache.ts'
import type { DataSide, DataStats } from './data-side.ts'
import { type PoolLoad, poolLoad } from './demand.ts'
import { mergeStats, mergeTraffic } from './merge.ts'
import type { Split, ToWorker, WorkerReport } from './messages.ts'
import { checkFree } from './ports.ts'
import { SharedFacts } from './shared-facts.ts'
import { allocateState, buryWorker, type SharedState } from './shared-state.ts'
import type { DataSideParts } from './solo.ts'
import { WorkerLoads } from './worker-loads.ts'
import { type Down, WorkerPlace } from './worker-place.ts'

const ASK_MS = 2_000
/** A worker that has not forgotten something for so long hangs. */
const FORGET_MS = 5_000
const CLOSE_MS = 5_000
/** Deployments whose rows are remembered for workers to come. */
const MAX_SPLITS = 1_024
/** Beyond the drain's own deadline. */
const DRAIN_GRACE_MS = 2_000

export async function openWorkers(count: number, parts: DataSideParts): Promise<DataSide> {
  const { settings, clock, log, metrics } = parts
  await checkFree(settings.server.listen)
  const shared = allocateState(settings, count)
  // The control thread looks into memory as one more: what is purged by key is forgotten by it as well.
  const memory = shared.memory && createMemory({ shared: shared.memory, worker: count, clock })
  const cache = await openCache(settings, { clock, log, observer: metrics, memory })
  return new Workers(count, { ...parts, shared, cache })
}

interface WorkersParts extends DataSideParts {
  readonly shared: SharedState
  readonly cache: Cache
}

class Workers implements DataSide {
  readonly facts: SharedFacts
  readonly #parts: WorkersParts
  readonly #places: readonly WorkerPlace[]
  readonly #loads: WorkerLoads
  readonly #views = new Map<string, PoolView>()
  readonly #reports = new Map<number, WorkerReport>()
  readonly #splits = new Map<string, Split>()
  readonly #counted = new Map<number, MetricsSnapshot>()
  /** What ended workers have counted. */
  #totals: Promise<MetricsSnapshot> = Promise.resolve([])
  /** What was reloaded since the start. */
  #settings: Settings | undefined
  #own: readonly Endpoint[] = []

  constructor(count: number, parts: WorkersParts) {
    this.#parts = parts
    const { cache, clock } = parts
    this.#loads = new WorkerLoads(clock)
    this.facts = new SharedFacts({
      ...parts,
      // Workers void their ready answers with each epoch and token that they are told of.
      changed: () => {},
      forget: async (digest) =>
        (await Promise.all([cache.remove(digest), this.#forget(digest)])).every(Boolean),
      copies: {
        epoch: (name, epoch) =>
          this.#tell('epoch', { name, epoch: epoch && { value: epoch.value, shared: epoch.shared } }),
        deployment: (pool, model, state) =>
          this.#tell('deployment', {
            pool,
            model,
            state: state && { token: state.token, versions: state.versions },
          }),
      },
    })
    this.#places = Array.from({ length: count }, (_, worker) => this.#place(worker))
  }

  start(): void {
    this.facts.start()
  }

  async listen(): Promise<Endpoint> {
    const { settings, own } = this.#parts
    this.#tellOwn(own())
    const [first, ...others] = this.#places as [WorkerPlace, ...WorkerPlace[]]
    // Where any port will do the first takes one, and the others the same.
    const at = await first.listen(settings.server.listen)
    await Promise.all(others.map((place) => place.listen({ ...settings.server.listen, port: at.port })))
    this.#tellOwn([...own(), at])
    return at
  }

  apply(view: PoolView): void {
    this.#views.set(view.pool, view)
    this.#tell('apply', view)
  }

  reload(settings: Settings): void {
    this.#settings = settings
    this.#tell('reload', settings)
  }

  inflight(slot: number): number {
    return inflightOf(this.#parts.shared.table, slot)
  }

  peers(slot: number, calls: number): void {
    this.#parts.shared.table.peers[slot] = calls
  }

  load(pool: string): PoolLoad | undefined {
    const view = this.#views.get(pool)
    if (!view) return undefined
    const loads = this.#loads
    const demand = {
      get level() {
        return loads.level(pool)
      },
      read: () => loads.read(pool),
    }
    return poolLoad(view, this.#parts.shared.table, demand)
  }

  traffic(pool: string): PoolTraffic | undefined {
    return mergeTraffic([...this.#reports.values()].flatMap(({ traffic }) => traffic.get(pool) ?? []))
  }

  explain(asked: Asked): Promise<Explanation> {
    const [place] = this.#listening
    if (!place) throw new GatewayError('draining', 'no data worker runs at present')
    return place.link.ask('explain', asked, ASK_MS)
  }

  async stats(): Promise<DataStats> {
    const asked = this.#listening.map(({ link }) => link.ask('stats', undefined, ASK_MS))
    return mergeStats(await answered(asked))
  }

  async metrics(): Promise<readonly MetricsSnapshot[]> {
    await Promise.all(
      this.#listening.map(async ({ number, link }) => {
        const snapshot = await link.ask('metrics', undefined, ASK_MS).catch(() => undefined)
        // One that has ended meanwhile was counted with the ended.
        if (snapshot && this.#places[number]?.link === link && this.#places[number].isListening)
          this.#counted.set(number, snapshot)
      }),
    )
    return [...this.#counted.values(), await this.#totals]
  }

  isTierDown(): boolean {
    return this.#parts.cache.stats().tiers.some(({ state }) => state === 'open')
  }

  async heard(withinMs: number): Promise<void> {
    await Promise.all(
      this.#listening.map(async ({ number, link }) => {
        const asked = link.ask('heard', undefined, withinMs)
        if (await asked.then(() => true).catch(() => link.isEnded)) return
        const what = `data worker ${number} has not confirmed it within ${withinMs} ms: call again`
        throw new GatewayError('overloaded', what)
      }),
    )
  }

  get listening(): number {
    return this.#listening.length
  }

  async drain(timeoutMs: number): Promise<void> {
    for (const place of this.#places) place.retire()
    await answered(
      this.#listening.map(({ link }) => link.ask('drain', timeoutMs, timeoutMs + DRAIN_GRACE_MS)),
    )
  }

  async close(): Promise<void> {
    this.facts.stop()
    await Promise.all(
      this.#places.map(async (place) => {
        await place.link.ask('close', undefined, CLOSE_MS).catch(() => {})
        await place.close()
      }),
    )
    await this.#parts.cache.close()
  }

  get #listening(): readonly WorkerPlace[] {
    return this.#places.filter(({ isListening }) => isListening)
  }

  #place(worker: number): WorkerPlace {
    const { settings, shared, clock, log, random } = this.#parts
    return new WorkerPlace({
      start: { worker, settings, shared },
      offers: this.#offers(worker),
      brief: (link) => this.#brief(link),
      bury: () => this.#bury(worker),
      clock,
      log,
      random,
    })
  }

  #offers(worker: number): Parameters<Down['offer']>[0] {
    const { log, alive } = this.#parts
    const { epochs, deployments } = this.facts
    return {
      log: ({ level, event, fields }) => log[level](event, { ...fields, worker }),
      // Read when they are answered: what was purged meanwhile has been pushed before, and must not be undone.
      epochs: async (names) => {
        await epochs.load(names)
        return names.map((name) => {
          const epoch = epochs.state(name)
          if (!epoch) throw new Error(`epoch ${name} was forgotten at once`)
          return { value: epoch.value, shared: epoch.shared }
        })
      },
      deployment: async ({ pool, model }) => {
        const { token, versions } = await deployments.loadModel(pool, model)
        return { token, versions }
      },
      alive: ({ pool, backend }) => alive(pool, backend),
      split: (found) => this.#found(worker, found),
      loads: (loads) => this.#loads.add(worker, loads),
      report: (report) => {
        this.#reports.set(worker, report)
        epochs.heardOf(report.used)
        for (const [pool, models] of report.asked) deployments.heardOf(pool, models)
      },
    }
  }

  /** What the others have been told since the start. */
  #brief(link: Down): void {
    if (this.#settings) link.tell('reload', this.#settings)
    link.tell('own', this.#own)
    for (const view of this.#views.values()) link.tell('apply', view)
    for (const found of this.#splits.values()) link.tell('split', found)
  }

  /** What one worker finds out of a model's rows holds for all. */
  #found(worker: number, found: Split): void {
    this.#splits.delete(found.model)
    this.#splits.set(found.model, found)
    if (this.#splits.size > MAX_SPLITS) this.#splits.delete(this.#splits.keys().next().value as string)
    for (const { number, link } of this.#places) if (number !== worker) link.tell('split', found)
  }

  #bury(worker: number): void {
    const { shared, metrics } = this.#parts
    buryWorker(shared, worker)
    this.#loads.forget(worker)
    this.#reports.delete(worker)
    metrics.count('infergate_worker_exits_total', {})
    const counted = this.#counted.get(worker)
    if (!counted) return
    this.#counted.delete(worker)
    this.#totals = this.#totals.then((totals) => totalsOf([totals, counted]))
  }

  async #forget(digest: Digest): Promise<boolean> {
    const told = await Promise.all(
      this.#listening.map(({ link }) => link.ask('forget', digest, FORGET_MS).catch(() => link.isEnded)),
    )
    return told.every(Boolean)
  }

  #tellOwn(own: readonly Endpoint[]): void {
    this.#own = own
    this.#tell('own', own)
  }

  #tell<K extends keyof ToWorker>(name: K, argument: Parameters<ToWorker[K]>[0]): void {
    for (const { link } of this.#places) link.tell(name, argument as never)
  }
}

async function answered<T>(asked: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(asked)
  return settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
}
