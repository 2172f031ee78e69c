/**
 * Runs the processes that serve embedded models: keeps the wanted number of them, restarts those that exit, and stops
 * all before the gateway ends. They register themselves like any other backend; no routing happens here.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'

export interface EmbeddedModel {
  readonly name: string
  readonly source: string
  readonly kind: 'tensors' | 'embedding'
  /** Further arguments of the command, which say how it is served. */
  readonly options: readonly string[]
  /** Processes to run from the start. */
  readonly replicas: number
  /** The most rows of waiting calls that one run takes. */
  readonly maxBatch: number
  /** Added to every run, for load experiments. */
  readonly delayMs: number
}

/** The processes of a model, for the scaler. */
export interface ProcessReport {
  /** The wanted processes, by the id they register under, with the milliseconds since their start was requested. */
  readonly wanted: readonly { readonly id: string; readonly ageMs: number }[]
  /** Processes that are shutting down. */
  readonly leaving: number
  /** How long each process took that became ready since the last report, milliseconds. */
  readonly startsMs: readonly number[]
}

export interface ProcessesOptions {
  /** The program and its first arguments; `model-server …` is appended. */
  readonly command: readonly [string, ...string[]]
  readonly adminUrl: () => string
  /** For the pool's registration; handed over in the environment, never on the command line. */
  readonly token: (pool: string) => string | undefined
  readonly clock: Clock
  readonly random: () => number
  readonly log: Log
  /** Called when a process ended that should have gone on. */
  readonly died: (model: string) => void
}

/** Most start times that are kept while nobody reads them. */
const MAX_STARTS = 32
const RESTART_MIN_MS = 500
const RESTART_MAX_MS = 30_000
/** How long a process may take to drain and answer its calls; then it is killed. */
const SHUTDOWN_MS = 45_000
/** A process that ran for this long had started well: the next exit is a first failure. */
const SETTLED_MS = 60_000

interface Replica {
  readonly model: EmbeddedModel
  readonly id: string
  /** When its start was first requested; a restart before it was ready does not reset it. */
  requestedAt: number
  wasReady: boolean
  child: ChildProcess | undefined
  failures: number
  stopping: boolean
  cancelRestart: (() => void) | undefined
}

export class ModelProcesses {
  readonly #options: ProcessesOptions
  readonly #models = new Map<string, EmbeddedModel>()
  readonly #starts = new Map<string, number[]>()
  /** In the order they were started. */
  readonly #replicas: Replica[] = []
  #stopped = false

  constructor(options: ProcessesOptions) {
    this.#options = options
  }

  start(models: readonly EmbeddedModel[]): void {
    for (const model of models) {
      this.#models.set(model.name, model)
      this.scaleTo(model.name, model.replicas)
    }
  }

  /**
   * Starts or stops processes of a model. The newest are stopped first, since they hold the least. They drain,
   * deregister and exit; a process that is stopping is not reused.
   */
  scaleTo(name: string, count: number): void {
    const model = this.#models.get(name)
    if (!model || this.#stopped) return
    const wanted = this.#wanted(name)
    for (const replica of wanted.slice(count)) this.#dismiss(replica)
    for (let n = wanted.length; n < count; n++) this.#hire(model)
  }

  report(name: string): ProcessReport {
    const now = this.#options.clock.now()
    const startsMs = this.#starts.get(name) ?? []
    this.#starts.delete(name)
    const wanted = this.#wanted(name)
    const all = this.#replicas.filter(({ model }) => model.name === name).length
    return {
      wanted: wanted.map(({ id, requestedAt: askedAt }) => ({ id, ageMs: now - askedAt })),
      leaving: all - wanted.length,
      startsMs,
    }
  }

  /** Running processes of a model. */
  running(model: string): number {
    return this.#replicas.filter((replica) => replica.model.name === model && replica.child !== undefined)
      .length
  }

  /** Asks every process to drain and go; those that have not after `timeoutMs` are killed. */
  async stop(timeoutMs: number): Promise<void> {
    this.#stopped = true
    await Promise.all(
      [...this.#replicas].map(async (replica) => {
        replica.stopping = true
        replica.cancelRestart?.()
        const { child } = replica
        if (!child) return
        const gone = new Promise((resolve) => child.once('exit', resolve))
        child.kill('SIGTERM')
        const cut = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
        await gone
        clearTimeout(cut)
      }),
    )
  }

  #wanted(name: string): Replica[] {
    return this.#replicas.filter(({ model, stopping }) => model.name === name && !stopping)
  }

  #hire(model: EmbeddedModel): void {
    // The id of a process that is still stopping must not be reused.
    const usedIds = new Set(this.#replicas.map(({ id }) => id))
    let n = 0
    while (usedIds.has(`${model.name}-${n}`)) n++
    const replica: Replica = {
      model,
      id: `${model.name}-${n}`,
      requestedAt: this.#options.clock.now(),
      wasReady: false,
      child: undefined,
      failures: 0,
      stopping: false,
      cancelRestart: undefined,
    }
    this.#replicas.push(replica)
    this.#spawn(replica)
  }

  #dismiss(replica: Replica): void {
    replica.stopping = true
    replica.cancelRestart?.()
    const { child, model, id } = replica
    this.#options.log.info('model.leaving', { model: model.name, id })
    if (!child) return this.#forget(replica)
    child.kill('SIGTERM')
    const cancel = this.#options.clock.after(SHUTDOWN_MS, () => child.kill('SIGKILL'))
    child.once('close', cancel)
  }

  #forget(replica: Replica): void {
    const at = this.#replicas.indexOf(replica)
    if (at >= 0) this.#replicas.splice(at, 1)
  }

  #spawn(replica: Replica): void {
    const { command, adminUrl, token, clock, log } = this.#options
    const { model, id } = replica
    const [program, ...first] = command
    const args = [
      ...first,
      'model-server',
      model.kind === 'embedding' ? '--embedding-model' : '--model',
      `${model.name}=${model.source}`,
      '--register',
      adminUrl(),
      '--max-batch',
      `${model.maxBatch}`,
      '--delay',
      `${model.delayMs}`,
      ...model.options,
    ]
    const secret = token(model.name)
    const began = clock.now()
    const child = spawn(program, [...args, '--pool', model.name, '--id', id, '--parent-watch'], {
      // Its own process group: an interrupt from the terminal reaches the gateway, which drains it in order.
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ...(secret === undefined ? {} : { INFERGATE_TOKEN: secret }) },
    })
    replica.child = child
    child.once('error', (error) => log.error('model.spawn', { model: model.name, error: error.message }))
    child.on('message', (message: unknown) => {
      if (!isReady(message)) return
      const ms = clock.now() - began
      log.info('model.ready', { model: model.name, id, ms: Math.round(ms) })
      this.#starts.set(model.name, [...(this.#starts.get(model.name) ?? []), ms].slice(-MAX_STARTS))
      replica.wasReady = true
    })
    child.once('close', (code, signal) => {
      replica.child = undefined
      if (replica.stopping) return this.#forget(replica)
      this.#options.died(model.name)
      if (replica.wasReady) replica.requestedAt = clock.now()
      replica.wasReady = false
      replica.failures = clock.now() - began > SETTLED_MS ? 1 : replica.failures + 1
      const ms = this.#delay(replica.failures)
      log.warn('model.exit', { model: model.name, id, code, signal, restartMs: Math.round(ms) })
      replica.cancelRestart = clock.after(ms, () => this.#spawn(replica))
    })
  }

  #delay(failures: number): number {
    const ceiling = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** (failures - 1))
    return ceiling * (0.5 + this.#options.random() / 2)
  }
}

function isReady(message: unknown): boolean {
  return typeof message === 'object' && message !== null && 'type' in message && message.type === 'ready'
}
