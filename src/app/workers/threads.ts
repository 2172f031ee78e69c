/**
 * Manages the workers beyond the first, each in a thread of its own with a listener on the same port. They share data
 * through shared memory; state of the whole process is pushed to them. When a worker ends, its shared memory is cleaned
 * up and another one is started; a worker that hangs is terminated.
 */
import type { Settings } from '../../config/schema.ts'
import type { TlsMaterial } from '../../control/certificates/certificates.ts'
import type { BackendCredentials } from '../../control/credentials/backend-credentials.ts'
import type { HostPort } from '../../core/addresses.ts'
import type { PoolView } from '../../core/backend.ts'
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { SampledCall, WarmRequest } from '../../core/warm.ts'
import type { Credentials } from '../../data/auth/authenticator.ts'
import type { PoolTraffic } from '../../data/backend/traffic.ts'
import type { DeploymentState } from '../../data/key/deployed.ts'
import type { EpochState } from '../../data/key/epochs.ts'
import type { ShownForm } from '../../data/key/forms.ts'
import type { Finding } from '../../data/rows/splitter.ts'
import type { CallTotals } from '../../obs/call-counts.ts'
import { type MetricsSnapshot, totalsOf } from '../../obs/metrics.ts'
import type { PoolLoad } from '../demand.ts'
import { type TrafficChange, withChange } from '../traffic-change.ts'
import { CatchUp } from './catch-up.ts'
import { factHandlers } from './fact-handlers.ts'
import { countedOf, type DataStats, mergeStats } from './merge.ts'
import type { ReportedForm, ToControl, ToWorker, WorkerReport } from './messages.ts'
import { cleanUpWorker } from './shared-state.ts'
import type { ThreadsParts } from './threads-parts.ts'
import { WorkerLoads } from './worker-loads.ts'
import { type ExitReason, type WorkerRpc, WorkerSupervisor } from './worker-supervisor.ts'

const CALL_MS = 2_000
/** A worker that does not confirm a deletion within this time hangs. */
const FORGET_MS = 5_000
const CLOSE_MS = 5_000

export class Threads {
  readonly #parts: ThreadsParts
  readonly #supervisors: readonly WorkerSupervisor[]
  readonly #loads: WorkerLoads
  readonly #catchUp: CatchUp
  readonly #reports = new Map<number, WorkerReport>()
  /** The last statistics of each running worker, which remain when it ends. */
  readonly #stats = new Map<number, DataStats>()
  readonly #counted = new Map<number, MetricsSnapshot>()
  /** The counts of workers that have ended. */
  #totals: Promise<MetricsSnapshot> = Promise.resolve([])
  #past: DataStats | undefined

  constructor(parts: ThreadsParts) {
    this.#parts = parts
    this.#catchUp = new CatchUp(parts.tls)
    this.#loads = new WorkerLoads(parts.clock)
    this.#supervisors = Array.from({ length: parts.workers - 1 }, (_, at) => this.#supervisor(at + 1))
  }

  /** Starts the threads; each listens as soon as it can. */
  start(at: HostPort): void {
    this.#catchUp.ownListeners = [...this.#parts.ownListeners(), at]
    for (const supervisor of this.#supervisors) {
      const socket = this.#parts.inherited?.descriptors[supervisor.number]
      supervisor.start(socket === undefined ? at : { ...at, socket })
    }
  }

  apply(view: PoolView): void {
    this.#catchUp.view(view)
    this.#broadcast('apply', view)
  }

  reload(settings: Settings): void {
    this.#catchUp.settings = settings
    this.#broadcast('reload', settings)
  }

  weigh(change: TrafficChange): void {
    this.#catchUp.settings = withChange(this.#catchUp.settings ?? this.#parts.settings, change)
    this.#broadcast('weigh', change)
  }

  secure(material: TlsMaterial): void {
    this.#broadcast('secure', material)
  }

  credentials(credentials: Credentials): void {
    this.#catchUp.credentials = credentials
    this.#broadcast('credentials', credentials)
  }

  authorize(credentials: BackendCredentials): void {
    this.#catchUp.backendCredentials = credentials
    this.#broadcast('authorize', credentials)
  }

  epoch(name: string, epoch: EpochState | undefined): void {
    this.#broadcast('epoch', { name, epoch: epoch && { value: epoch.value, shared: epoch.shared } })
  }

  deployment(pool: string, model: string, state: DeploymentState | undefined): void {
    this.#broadcast('deployment', {
      pool,
      model,
      state: state && { token: state.token, versions: state.versions, isStated: state.isStated },
    })
  }

  declareForm(form: ReportedForm): void {
    this.#catchUp.declaredForm(form)
    this.#broadcast('declareForm', form)
  }

  /** Tells all other workers which form a server has shown; `by`: the worker that has seen it. */
  addShownForm(shown: ShownForm, by = 0): void {
    this.#catchUp.shownForm(shown)
    this.#tellOthers(by, 'formShown', shown)
  }

  /** Shares a worker's finding on splitting a model with all others; `by`: the worker that has found it. */
  addFinding(finding: Finding, by = 0): void {
    this.#catchUp.finding(finding)
    this.#tellOthers(by, 'split', finding)
  }

  /** Passes a request on to its worker, behind whatever that one was told before. */
  relay({ worker, request }: Parameters<ToControl['relay']>[0]): void {
    if (worker === 0) return this.#parts.relay(request)
    const rpc = this.#supervisors[worker - 1]?.rpc
    if (!rpc || rpc.isEnded) return request.port.close()
    rpc.notify('relay', request, [request.port])
  }

  /** What the samples of the workers have of a route, by worker; those that do not answer in time are left out. */
  sampled(route: string, most: number): Promise<ReadonlyMap<number, readonly SampledCall[]>> {
    return this.#collect('sampled', new Map(), { route, most })
  }

  /** Calls of one worker's sample; empty where that does not answer. */
  async sampledRequests(
    worker: number,
    route: string,
    ids: readonly Digest[],
  ): Promise<readonly (WarmRequest | undefined)[]> {
    const rpc = this.#supervisors[worker - 1]?.rpc
    return (await rpc?.call('sampledRequests', { route, ids }, CALL_MS).catch(() => [])) ?? []
  }

  /** True where no worker has the answer any more. */
  async forget(digest: Digest): Promise<boolean> {
    const answers = await Promise.all(
      this.#listening.map(({ rpc }) => rpc.call('forget', digest, FORGET_MS).catch(() => rpc.isEnded)),
    )
    return answers.every(Boolean)
  }

  /** @param own what this thread measures of the pool */
  load(pool: string, own: PoolLoad): PoolLoad {
    const loads = this.#loads
    if (this.#supervisors.length === 0) return own
    return {
      ...own,
      level: own.level + loads.level(pool, 0),
      read() {
        loads.add(0, [{ pool, level: own.level, report: own.read() }])
        return loads.read(pool)
      },
    }
  }

  traffic(pool: string): readonly PoolTraffic[] {
    return [...this.#reports.values()].flatMap(({ traffic }) => traffic.get(pool) ?? [])
  }

  /** The statistics of all workers, including those that have ended. */
  async stats(): Promise<readonly DataStats[]> {
    await this.#collect('stats', this.#stats)
    return [...this.#stats.values(), ...(this.#past ? [this.#past] : [])]
  }

  async metrics(): Promise<readonly MetricsSnapshot[]> {
    if (this.#supervisors.length === 0) return []
    await this.#collect('metrics', this.#counted)
    return [...this.#counted.values(), await this.#totals]
  }

  /** What each running worker has counted since its start, by its number; those that do not answer in time are left out. */
  callTotals(): Promise<ReadonlyMap<number, CallTotals>> {
    return this.#collect('callTotals', new Map())
  }

  /** Resolves when every worker that answers in time has told what tenants have used and what became of copies; never rejects. */
  async tellUsage(): Promise<void> {
    await Promise.allSettled(this.#listening.map(({ rpc }) => rpc.call('tellUsage', undefined, CALL_MS)))
  }

  async sync(withinMs: number): Promise<void> {
    await Promise.all(
      this.#listening.map(async ({ supervisor: { number }, rpc }) => {
        const acknowledged = rpc.call('sync', undefined, withinMs)
        if (await acknowledged.then(() => true).catch(() => rpc.isEnded)) return
        const what = `data worker ${number} has not confirmed it within ${withinMs} ms: call again`
        throw new GatewayError('overloaded', what)
      }),
    )
  }

  get listening(): number {
    return this.#listening.length
  }

  leave(): void {
    this.#catchUp.isLeaving = true
    this.#broadcast('leave', undefined)
  }

  async drain(timeoutMs: number): Promise<void> {
    await Promise.all(this.#supervisors.map((supervisor) => supervisor.drain(timeoutMs)))
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#supervisors.map(async (supervisor) => {
        if (supervisor.isListening) await supervisor.rpc?.call('close', undefined, CLOSE_MS).catch(() => {})
        await supervisor.close()
      }),
    )
  }

  get #listening(): readonly { readonly supervisor: WorkerSupervisor; readonly rpc: WorkerRpc }[] {
    return this.#supervisors.flatMap((supervisor) =>
      supervisor.isListening && supervisor.rpc ? [{ supervisor, rpc: supervisor.rpc }] : [],
    )
  }

  #supervisor(worker: number): WorkerSupervisor {
    const { settings, poolDefaults, tls, parts, shared, clock, log, random, inherited } = this.#parts
    return new WorkerSupervisor({
      start: { worker, settings, poolDefaults, tls: tls.material, parts: parts?.url, shared },
      handlers: this.#handlers(worker),
      catchUp: (rpc) => this.#catchUp.send(rpc),
      cleanUp: (ending) => this.#cleanUp(worker, ending),
      clock,
      log,
      random,
      socketLost: () => inherited?.lost(),
    })
  }

  #handlers(worker: number): Parameters<WorkerRpc['handle']>[0] {
    const { log, alive, stated, redeployed, keyMissing, split, formShown, predictions, calls, facts } =
      this.#parts
    const { used, mirrored } = this.#parts
    const { epochs, deployments } = facts
    return {
      log: ({ level, event, fields }) => log[level](event, { ...fields, worker }),
      ...factHandlers(facts),
      alive: ({ pool, backend }) => alive(pool, backend),
      stated,
      redeployed: ({ pool, model }) => redeployed(pool, model),
      keyMissing,
      split: (finding) => {
        split(finding)
        this.addFinding(finding, worker)
      },
      formShown: (shown) => {
        formShown(shown)
        this.addShownForm(shown, worker)
      },
      relay: (asked) => this.relay(asked),
      predictions,
      calls,
      used,
      mirrored,
      loads: (loads) => this.#loads.add(worker, loads),
      report: (report) => {
        this.#reports.set(worker, report)
        this.#stats.set(worker, report.stats)
        epochs.noteUsed(report.usedEpochs)
        for (const [pool, models] of report.calledModels) deployments.noteUsed(pool, models)
      },
      counted: (snapshot) => void this.#counted.set(worker, snapshot),
    }
  }

  #cleanUp(worker: number, ending: ExitReason): void {
    const { shared, metrics } = this.#parts
    cleanUpWorker(shared, worker)
    this.#loads.forget(worker)
    this.#reports.delete(worker)
    const stats = this.#stats.get(worker)
    this.#stats.delete(worker)
    if (stats) this.#past = countedOf(mergeStats(this.#past ? [stats, this.#past] : [stats]))
    if (ending !== 'asked') metrics.count('infergate_worker_exits_total', { cause: ending })
    const counted = this.#counted.get(worker)
    if (!counted) return
    this.#counted.delete(worker)
    this.#totals = this.#totals.then((totals) => totalsOf([totals, counted]))
  }

  /** Collects counts from the workers that listen. For one that does not answer, its last report stands. */
  async #collect<K extends 'stats' | 'metrics' | 'callTotals' | 'sampled'>(
    name: K,
    into: Map<number, ReturnType<ToWorker[K]>>,
    asked?: Parameters<ToWorker[K]>[0],
  ): Promise<typeof into> {
    await Promise.all(
      this.#listening.map(async ({ supervisor, rpc }) => {
        const answers = await rpc.call(name, asked as never, CALL_MS).catch(() => undefined)
        // A worker that has ended meanwhile is in the totals already.
        if (answers && supervisor.rpc === rpc && !rpc.isEnded)
          into.set(supervisor.number, answers as ReturnType<ToWorker[K]>)
      }),
    )
    return into
  }

  #broadcast<K extends keyof ToWorker>(name: K, argument: Parameters<ToWorker[K]>[0]): void {
    this.#tellOthers(0, name, argument)
  }

  /** Tells every worker but `by`, which has found it out; 0 is the first, which runs in this thread. */
  #tellOthers<K extends keyof ToWorker>(by: number, name: K, argument: Parameters<ToWorker[K]>[0]): void {
    for (const { number, rpc } of this.#supervisors) if (number !== by) rpc?.notify(name, argument as never)
  }
}
