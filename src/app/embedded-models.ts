/**
 * The models that this gateway serves by processes of its own: those of files on this machine start at once, those of
 * other places when a version was fetched.
 */
import type { Settings } from '../config/schema.ts'
import { ModelProcesses } from '../control/processes.ts'
import type { HostPort } from '../core/addresses.ts'
import { isStoreUrl } from '../core/store-url.ts'
import type { Clock } from '../lib/clock.ts'
import type { ProcessLog } from '../obs/log.ts'
import type { Metrics } from '../obs/metrics.ts'
import type { ModelStores } from './model-stores.ts'
import { urlOf } from './ports.ts'
import { embeddedModels } from './settings-mapping.ts'

interface EmbeddedModelsOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly log: ProcessLog
  readonly metrics: Metrics
  /** The program that serves a model, with its first arguments. */
  readonly modelServer: readonly [string, ...string[]]
  /** The first is the admin API's. */
  readonly ownListeners: () => readonly HostPort[]
  /** By which the processes register; undefined: no token is needed. */
  readonly token: () => string | undefined
}

const STOP_MS = 10_000

export class EmbeddedModels {
  readonly processes: ModelProcesses
  readonly #options: EmbeddedModelsOptions
  /** Undefined where every model is a file of this machine. */
  #stores: ModelStores | undefined

  constructor(options: EmbeddedModelsOptions) {
    this.#options = options
    const { modelServer, ownListeners, token, metrics, clock, random, log } = options
    this.processes = new ModelProcesses({
      command: modelServer,
      adminUrl: () => urlOf(ownListeners()[0] as HostPort),
      token,
      clock,
      random,
      log,
      died: (model) => metrics.count('infergate_model_process_exits_total', { model }),
    })
  }

  /** Rejects with an Error that names the fix where the folder for fetched models cannot be made. */
  async start(settings: Settings): Promise<void> {
    const models = embeddedModels(settings)
    this.processes.start(models.filter(({ source }) => !isStoreUrl(source)))
    if (!models.some(({ source }) => isStoreUrl(source))) return
    const { ModelStores } = await import('./model-stores.ts')
    this.#stores = new ModelStores({
      ...this.#options,
      settings,
      ready: (name, path) => {
        const found = models.filter((model) => model.name === name)
        this.processes.start(found.map((model) => ({ ...model, source: path })))
      },
    })
    await this.#stores.start()
  }

  /** What keeps models from being fetched, for /readyz. */
  problems(): readonly string[] {
    return this.#stores?.problems() ?? []
  }

  async stop(): Promise<void> {
    await this.#stores?.stop()
    await this.processes.stop(STOP_MS)
  }
}
