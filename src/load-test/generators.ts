/** The load generators of a test, each in a thread of its own, as the command sees them: one phase after the other. */
import { Worker } from 'node:worker_threads'
import type { GeneratorOptions, GeneratorReport, GeneratorRequest, Phase, PhasePlan } from './messages.ts'
import { LoadTally } from './tally.ts'

const ENTRY = new URL(`./generator-thread${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
/** All generators begin a phase at the same time: by then they have got the message. */
const LEAD_MS = 50
/** How long a stopped call may take to end. */
const GRACE_MS = 1000
/** How long a thread may take to load its modules. */
const START_MS = 30_000

/** What a phase has counted, second by second. */
export interface PhaseCounts {
  readonly seconds: ReadonlyMap<number, LoadTally>
  /** The share of the time in which the busiest thread had work. */
  readonly busy: number
  /** From its beginning to the end of its last call. */
  readonly ms: number
}

export interface PhaseRequest {
  readonly side: number
  readonly plan: PhasePlan
}

interface RunningPhase {
  readonly id: number
  readonly seconds: Map<number, LoadTally>
  readonly onCounts: () => void
  left: number
  busy: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Generators {
  readonly #threads: readonly Worker[]
  #ready: Promise<unknown>
  #phases = 0
  #running: RunningPhase | undefined
  #isStopped = false

  constructor(options: readonly GeneratorOptions[]) {
    this.#threads = options.map(
      (workerData, i) => new Worker(ENTRY, { workerData, name: `load generator ${i}` }),
    )
    this.#ready = Promise.all(this.#threads.map((thread) => this.#started(thread)))
    // Whoever runs the first phase hears of it.
    this.#ready.catch(() => {})
  }

  /** Runs a phase to its end. `onCounts` hears of each second of which something is known. Rejects when a generator fails. */
  async run(
    request: PhaseRequest,
    onCounts: (seconds: ReadonlyMap<number, LoadTally>) => void,
  ): Promise<PhaseCounts> {
    await this.#ready
    const id = this.#phases++
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const seconds = new Map<number, LoadTally>()
    if (this.#isStopped) return { seconds, busy: 0, ms: 0 }
    const running = { id, seconds, left: this.#threads.length, busy: 0, resolve, reject }
    this.#running = { ...running, onCounts: () => onCounts(seconds) }
    const at = performance.timeOrigin + performance.now() + LEAD_MS
    this.#tellAll({ type: 'begin', phase: { id, at, ...request } satisfies Phase })
    await promise
    const ms = performance.timeOrigin + performance.now() - at
    return { seconds, busy: this.#running?.busy ?? 0, ms }
  }

  /** No more calls are made; the running phase ends with what was seen, and no further one begins. */
  stop(): void {
    this.#isStopped = true
    this.#tellAll({ type: 'stop', graceMs: GRACE_MS })
  }

  async close(): Promise<void> {
    this.#tellAll({ type: 'close' })
    await Promise.all(this.#threads.map((thread) => thread.terminate()))
  }

  #tellAll(request: GeneratorRequest): void {
    for (const thread of this.#threads) thread.postMessage(request)
  }

  #started(thread: Worker): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const late = setTimeout(() => reject(new Error('a load generator did not start in time')), START_MS)
    thread.on('message', (report: GeneratorReport) => {
      if (report.type === 'ready') resolve()
      else this.#heard(report)
    })
    const failed = (error: Error) => {
      reject(error)
      this.#running?.reject(error)
    }
    thread.on('error', failed)
    thread.on('exit', (code) => failed(new Error(`a load generator ended with ${code}`)))
    return promise.finally(() => clearTimeout(late))
  }

  #heard(report: Exclude<GeneratorReport, { type: 'ready' }>): void {
    const running = this.#running
    if (!running) return
    if (report.type === 'failed') return running.reject(new Error(report.message))
    if (report.phase !== running.id) return
    if (report.type === 'ended') {
      running.busy = Math.max(running.busy, report.busy)
      if (--running.left === 0) running.resolve()
      return
    }
    const { second, counts } = report
    const tally = running.seconds.get(second) ?? new LoadTally()
    tally.merge(counts)
    running.seconds.set(second, tally)
    running.onCounts()
  }
}
