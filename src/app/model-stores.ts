/**
 * Follows the sources of embedded models that are not on this machine, and starts the processes of each once there is a
 * version to serve. Loaded only where there is such a source.
 */
import type { ModelSettings, Settings } from '../config/schema.ts'
import { localAddresses } from '../control/registry/addresses.ts'
import { addressRefusal, createAddressRules, type HostPort } from '../core/addresses.ts'
import type { Log } from '../core/log.ts'
import { readStoreUrl, type StoreUrl } from '../core/store-url.ts'
import type { Clock } from '../lib/clock.ts'
import type { Metrics } from '../obs/metrics.ts'
import { SourceFollower } from '../store/follower.ts'
import { LocalFiles } from '../store/local-files.ts'
import { LocalVersions } from '../store/local-versions.ts'
import { openModelStore } from '../store/open-store.ts'
import { storeFolder } from './store-folder.ts'

export interface ModelStoresOptions {
  readonly settings: Settings
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly metrics: Metrics
  readonly ownListeners: () => readonly HostPort[]
  /** Called once a model, as soon as it has a version; `path` is the folder of its versions. */
  readonly ready: (model: string, path: string) => void
}

/** A look may take some answers: a listing, and the status of each version. */
const ANSWERS_A_LOOK = 3

export class ModelStores {
  readonly #options: ModelStoresOptions
  readonly #followers = new Map<string, SourceFollower>()

  constructor(options: ModelStoresOptions) {
    this.#options = options
    options.metrics.gauge('infergate_model_store_up', () =>
      [...this.#followers].map(([model, { isAway }]) => ({ labels: { model }, value: isAway ? 0 : 1 })),
    )
  }

  /** Rejects with an Error that names the fix where the folder cannot be made. Does not wait for any store. */
  async start(): Promise<void> {
    const { stores, models } = this.#options.settings
    const files = await LocalFiles.open({
      dir: storeFolder(this.#options.settings),
      maxBytes: stores.maxSize,
      maxFileBytes: stores.maxModelSize,
    })
    for (const model of models) {
      const url = readStoreUrl(model.source)
      if (url && !('problem' in url)) await this.#follow(model, url, files)
    }
  }

  /** What keeps models from being fetched, for /readyz: at most one sentence a model. */
  problems(): string[] {
    return [...this.#followers].flatMap(([model, follower]) => {
      const problem = follower.problem()
      return problem === undefined ? [] : [`model ${model}: ${problem}`]
    })
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#followers.values()].map((follower) => follower.stop()))
  }

  async #follow(model: ModelSettings, url: StoreUrl, files: LocalFiles): Promise<void> {
    const { settings, clock, log, random, metrics, ready } = this.#options
    const { stores } = settings
    const { name, source } = model
    const local = new LocalVersions(files, { name, source })
    const follower = new SourceFollower({
      model: name,
      store: await openModelStore(url, stores, (address, port) => this.#refuse(address, port)),
      files,
      local,
      pollMs: model.poll,
      lookMs: stores.timeout * ANSWERS_A_LOOK,
      fetchMs: stores.fetchTimeout,
      clock,
      log,
      random,
      ready: () => ready(name, local.path),
      counted: (operation, outcome) =>
        metrics.count('infergate_model_store_operations_total', { model: name, operation, outcome }),
    })
    this.#followers.set(name, follower)
    follower.start()
  }

  #refuse(address: string, port: number): string | undefined {
    const { settings, ownListeners } = this.#options
    const { allowAddresses: allow } = settings.stores
    const rules = createAddressRules({ allow, ownListeners: ownListeners(), localAddresses })
    return addressRefusal(address, port, rules)
  }
}
