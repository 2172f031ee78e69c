/**
 * A data worker in a thread of its own. What it needs beyond its calls it asks of the control thread, and tells it what
 * it sees.
 */
import { isMainThread, type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { HostPort } from '../../core/addresses.ts'
import { MirroredDeployments, MirroredEpochs } from '../../data/key/mirror.ts'
import { systemClock } from '../../lib/clock.ts'
import { EventLoopLag } from '../../lib/event-loop-lag.ts'
import type { Level, ProcessLog } from '../../obs/log.ts'
import { createMetrics } from '../../obs/metrics.ts'
import { openCache } from '../cache.ts'
import { observing, seldom } from '../observing.ts'
import { loadParts } from '../parts.ts'
import { DataWorker, TICK_MS } from './data-worker.ts'
import type { ToControl, ToWorker, WorkerStart } from './messages.ts'
import { shareOf } from './shared-state.ts'
import { ThreadRpc } from './thread-rpc.ts'
import { loadsOf } from './worker-loads.ts'

type Up = ThreadRpc<ToControl, ToWorker>

/** Longer than the control thread waits for a tier, and for what the backends have. */
const FACT_MS = 3_000
const REPORT_MS = 500
const COUNTED_MS = 2_000
const ALIVE_MS = 1_000

const clock = systemClock

async function run(port: MessagePort, start: WorkerStart): Promise<void> {
  const { worker: number, settings, poolDefaults, parts, shared } = start
  const up: Up = new ThreadRpc(port, clock)
  const log = remoteLog(up, settings.log.level)
  const metrics = createMetrics(number)
  const share = shareOf(shared, { worker: number, settings, clock })
  const eventLoopLag = new EventLoopLag(clock)
  eventLoopLag.start()
  const ownParts = parts === undefined ? {} : (await loadParts(parts)).parts
  const cache = await openCache(settings, {
    clock,
    log,
    observer: metrics,
    memory: share.memory,
    stalled: (now) => eventLoopLag.total(now),
    isFurther: true,
    ownParts,
  })
  const facts = mirrored(up)
  let own: readonly HostPort[] = []
  const worker = new DataWorker({
    ...share,
    settings,
    poolDefaults,
    ownParts,
    cache,
    eventLoopLag,
    facts,
    observer: observing({
      metrics,
      log,
      clock,
      alive: seldom({ clock, everyMs: ALIVE_MS }, (pool, backend) => up.tell('alive', { pool, backend })),
    }),
    log,
    clock,
    random: Math.random,
    own: () => own,
    stated: (statement) => up.tell('stated', statement),
    redeployed: (pool, model) => up.ask('redeployed', { pool, model }, FACT_MS).catch(() => {}),
    split: (found) => up.tell('split', found),
  })
  worker.start()
  setInterval(() => Atomics.add(shared.beats, number, 1), TICK_MS).unref()
  report(up, worker, facts)
  setInterval(
    () => void metrics.snapshot().then((snapshot) => up.tell('counted', snapshot)),
    COUNTED_MS,
  ).unref()
  up.offer({
    ...offers(worker, facts),
    own: (endpoints: readonly HostPort[]) => {
      own = endpoints
    },
    metrics: () => metrics.snapshot(),
  })
}

type MirroredFacts = ReturnType<typeof mirrored>

function mirrored(up: Up) {
  return {
    epochs: new MirroredEpochs({ epochs: (names) => up.ask('epochs', names, FACT_MS) }),
    deployments: new MirroredDeployments({
      deployment: (pool, model, withinMs) => up.ask('deployment', { pool, model, withinMs }, FACT_MS),
    }),
  }
}

function offers(worker: DataWorker, { epochs, deployments }: MirroredFacts) {
  const { plane } = worker
  return {
    listen: (at) => worker.listen(at),
    apply: (view) => plane.pools.apply(view),
    reload: (settings) => worker.reload(settings),
    epoch({ name, epoch }) {
      if (epochs.update(name, epoch)) plane.changed()
    },
    deployment({ pool, model, state }) {
      if (deployments.update(pool, model, state)) plane.changed()
    },
    said: (said) => plane.said(said),
    split: (found) => plane.heardOf(found),
    forget: (digest) => plane.forget(digest),
    // Messages are taken in their order: what was told before has been done.
    heard: () => {},
    explain: (asked) => plane.explain(asked),
    stats: () => plane.stats(),
    leave: () => worker.leave(),
    drain: (timeoutMs) => worker.drain(timeoutMs),
    close: () => worker.close(),
  } satisfies Partial<Parameters<Up['offer']>[0]>
}

function report(up: Up, { plane }: DataWorker, { epochs, deployments }: MirroredFacts): void {
  const { pools } = plane
  setInterval(() => up.tell('loads', loadsOf(pools)), TICK_MS).unref()
  setInterval(() => {
    const traffic = new Map(
      pools.names().flatMap((pool) => {
        const found = pools.traffic(pool)
        return found ? [[pool, found] as const] : []
      }),
    )
    up.tell('report', {
      traffic,
      stats: plane.stats(),
      asked: deployments.takeCalled(),
      used: epochs.takeUsed(),
    })
  }, REPORT_MS).unref()
}

const SEVERITY = { debug: 0, info: 1, warn: 2, error: 3 } as const

/** The log of the process, written by the control thread. */
function remoteLog(up: Up, level: Level): ProcessLog {
  let least = level
  const say = (level: Level) => (event: string, fields?: Record<string, unknown>) => {
    if (SEVERITY[level] >= SEVERITY[least]) up.tell('log', { level, event, fields })
  }
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    get level() {
      return least
    },
    setLevel(level) {
      least = level
    },
    close: async () => {},
  }
}

if (isMainThread || !parentPort) throw new Error('worker-thread is started by the gateway')
await run(parentPort, workerData as WorkerStart)
