/**
 * The entry point of a data worker's thread. It calls the control thread for what it needs beyond its calls, and
 * reports to it.
 */
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { HostPort, Listening } from '../../core/addresses.ts'
import type { Observer } from '../../core/observer.ts'
import { CallOutbox } from '../../data/calls/call-outbox.ts'
import { MirroredDeployments, MirroredEpochs } from '../../data/key/mirror.ts'
import { systemClock } from '../../lib/clock.ts'
import { EventLoopLag } from '../../lib/event-loop-lag.ts'
import type { Level, ProcessLog } from '../../obs/log.ts'
import { createMetrics, type Metrics } from '../../obs/metrics.ts'
import { openCache } from '../cache.ts'
import { measureCache } from '../cache-metrics.ts'
import { lostOf } from '../call-log.ts'
import { countConnections, observing, seldom } from '../observing.ts'
import { loadParts } from '../parts.ts'
import { createRecorder } from '../prediction-log/recorder.ts'
import { measureSamples } from '../sample-metrics.ts'
import { LiveTls } from '../tls.ts'
import { takeBinding } from './bindings.ts'
import { DataWorker, type DataWorkerParts, TICK_MS } from './data-worker.ts'
import type { ToControl, ToWorker, WorkerStart } from './messages.ts'
import { shareOf } from './shared-state.ts'
import { ThreadRpc } from './thread-rpc.ts'
import { loadsOf } from './worker-loads.ts'

type ControlRpc = ThreadRpc<ToControl, ToWorker>

/** Timeout of calls to the control thread: longer than that one waits for a tier and for the backends' answers. */
const FACT_MS = 3_000
/** Longer than any call waits for a key of an issuer. */
const KEY_MS = 6_000
const REPORT_MS = 500
const COUNTED_MS = 2_000
const ALIVE_MS = 1_000

const clock = systemClock

async function run(port: MessagePort, start: WorkerStart): Promise<void> {
  const { worker: number, settings, poolDefaults, parts, shared } = start
  const control: ControlRpc = new ThreadRpc(port, clock)
  const log = remoteLog(control, settings.log.level)
  const metrics = createMetrics(number)
  const share = shareOf(shared, { worker: number, settings, clock })
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  const customParts = parts === undefined ? {} : (await loadParts(parts)).parts
  const tls = new LiveTls(start.tls)
  const cache = await openCache(settings, {
    tls,
    clock,
    log,
    observer: metrics,
    memory: share.memory,
    stalled: (now) => eventLoopLag.total(now),
    isFurther: true,
    customParts,
  })
  measureCache(metrics, cache)
  const facts = mirrored(control)
  let ownListeners: readonly HostPort[] = []
  const worker = new DataWorker({
    ...share,
    settings,
    poolDefaults,
    tls,
    customParts,
    cache,
    eventLoopLag,
    facts,
    observer: observerOf(control, { metrics, log }),
    ...countConnections(metrics),
    log,
    clock,
    random: Math.random,
    ownListeners: () => ownListeners,
    ...telling(control),
    recorder: recorderOf(control, metrics, shared.queuedPredictions),
    outbox: outboxOf(control, metrics, shared.queuedCalls),
  })
  worker.start()
  setInterval(() => Atomics.add(shared.beats, number, 1), TICK_MS).unref()
  report(control, worker, facts, metrics)
  setInterval(
    () => void metrics.snapshot().then((snapshot) => control.notify('counted', snapshot)),
    COUNTED_MS,
  ).unref()
  control.handle({
    ...handlers(worker, facts),
    ...listening(worker, start),
    ownListeners: (endpoints: readonly HostPort[]) => {
      ownListeners = endpoints
    },
    metrics: () => metrics.snapshot(),
    callTotals: () => metrics.callTotals(),
    tellUsage: () => tellUsage(control, worker),
  })
}

/** What calls show is told to the control thread, and what they ask of other workers goes through it. */
function telling(control: ControlRpc) {
  return {
    stated: (statement) => control.notify('stated', statement),
    redeployed: (pool, model) => control.call('redeployed', { pool, model }, FACT_MS).catch(() => {}),
    keyMissing: (jwks) => control.call('keyMissing', jwks, KEY_MS).catch(() => {}),
    split: (finding) => control.notify('split', finding),
    formShown: (shown) => control.notify('formShown', shown),
    requestRelay: (worker, request) => control.notify('relay', { worker, request }, [request.port]),
  } satisfies Partial<DataWorkerParts>
}

/** Counts and logs here, and tells the control thread who is alive. */
function observerOf(control: ControlRpc, { metrics, log }: { metrics: Metrics; log: ProcessLog }): Observer {
  const alive = seldom({ clock, everyMs: ALIVE_MS }, (pool, backend) =>
    control.notify('alive', { pool, backend }),
  )
  return observing({ metrics, log, clock, alive })
}

function recorderOf(control: ControlRpc, metrics: Metrics, queued: Int32Array) {
  const send = (batch: Uint8Array<ArrayBuffer>) => control.notify('predictions', batch, [batch.buffer])
  return createRecorder({ queued, send, metrics, clock })
}

function outboxOf(control: ControlRpc, metrics: Metrics, queued: Int32Array): CallOutbox {
  return new CallOutbox({
    queued,
    clock,
    lost: lostOf(metrics),
    send: (batch) => control.notify('calls', batch),
  })
}

type MirroredFacts = ReturnType<typeof mirrored>

function mirrored(control: ControlRpc) {
  return {
    epochs: new MirroredEpochs({ epochs: (names) => control.call('epochs', names, FACT_MS) }),
    deployments: new MirroredDeployments({
      deployment: (pool, model, withinMs) => control.call('deployment', { pool, model, withinMs }, FACT_MS),
    }),
  }
}

function handlers(worker: DataWorker, { epochs, deployments }: MirroredFacts) {
  const { plane } = worker
  return {
    apply: (view) => plane.pools.apply(view),
    reload: (settings) => worker.reload(settings),
    weigh: (change) => plane.weigh(change),
    secure: (tls) => worker.secure(tls),
    credentials: (credentials) => plane.credentials(credentials),
    authorize: (credentials) => plane.pools.authorize(credentials),
    epoch({ name, epoch }) {
      if (!epochs.update(name, epoch)) return
      plane.changed()
      plane.purged(name)
    },
    deployment({ pool, model, state }) {
      if (deployments.update(pool, model, state)) plane.changed()
    },
    declareForm: (form) => plane.declareForm(form),
    formShown: (shown) => plane.addShownForm(shown),
    split: (finding) => plane.addFinding(finding),
    sampled: ({ route, most }) => plane.samples.best(route, most),
    sampledRequests: ({ route, ids }) => plane.samples.requests(route, ids),
    forget: (digest) => plane.forget(digest),
    relay: (request) => plane.relay(request),
    // Messages are handled in order, so all earlier ones are done.
    sync: () => {},
    explain: (query) => plane.explain(query),
    stats: () => plane.stats(),
    leave: () => worker.leave(),
    drain: (timeoutMs) => worker.drain(timeoutMs),
    close: () => worker.close(),
  } satisfies Partial<Parameters<ControlRpc['handle']>[0]>
}

/** A worker that the drain does not know of must not bind the port. */
function listening(worker: DataWorker, { worker: number, shared }: WorkerStart) {
  return {
    listen: (at: Listening) => {
      if (!takeBinding(shared.bindings, number)) throw new Error('the gateway is going down')
      return worker.listen(at)
    },
  }
}

function tellUsage(control: ControlRpc, { plane }: DataWorker): void {
  const used = plane.usage.take()
  if (used.size > 0) control.notify('used', used)
  const mirrored = plane.takeMirrored()
  if (mirrored.length > 0) control.notify('mirrored', mirrored)
}

function report(
  control: ControlRpc,
  worker: DataWorker,
  { epochs, deployments }: MirroredFacts,
  metrics: Metrics,
): void {
  measureSamples(metrics, () => worker.plane.samples.sizes())
  const { plane } = worker
  const { pools } = plane
  setInterval(() => control.notify('loads', loadsOf(pools)), TICK_MS).unref()
  setInterval(() => {
    const traffic = new Map(
      pools.names().flatMap((pool) => {
        const measured = pools.traffic(pool)
        return measured ? [[pool, measured] as const] : []
      }),
    )
    control.notify('report', {
      traffic,
      stats: plane.stats(),
      calledModels: deployments.takeCalled(),
      usedEpochs: epochs.takeUsed(),
    })
    tellUsage(control, worker)
  }, REPORT_MS).unref()
}

const SEVERITY = { debug: 0, info: 1, warn: 2, error: 3 } as const

/** Forwards log lines to the control thread, which writes the log of the process. */
function remoteLog(control: ControlRpc, level: Level): ProcessLog {
  let least = level
  const write = (level: Level) => (event: string, fields?: Record<string, unknown>) => {
    if (SEVERITY[level] >= SEVERITY[least]) control.notify('log', { level, event, fields })
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    get level() {
      return least
    },
    // They are lost where they are written.
    lost: 0,
    setLevel(level) {
      least = level
    },
    // Those of a worker go to the control thread as calls.
    writeLines: (lines) => lines.length,
    close: async () => {},
  }
}

if (isMainThread || !parentPort) throw new Error('worker-thread is started by the gateway')
await run(parentPort, workerData as WorkerStart)
