/**
 * Facts that gateways share through a cache tier: purges, deployments, purged keys. Each is polled every second; a hint
 * that something has changed triggers a poll at once.
 */
import type { Settings } from '../config/schema.ts'
import type { Digest } from '../core/key.ts'
import type { Log } from '../core/log.ts'
import type { Tiered } from '../data/cache/tiered.ts'
import type { DeploymentState } from '../data/key/deployed.ts'
import { Deployments } from '../data/key/deployment.ts'
import { EVERYTHING, PURGED_KEYS } from '../data/key/epoch-names.ts'
import { type EpochState, Epochs } from '../data/key/epochs.ts'
import type { KeptDeployment, KeptEpoch } from '../data/key/kept-facts.ts'
import { PurgedKeys } from '../data/key/purged-keys.ts'
import type { Clock } from '../lib/clock.ts'

export interface SharedFactsParts {
  readonly settings: Settings
  readonly cache: Tiered
  readonly clock: Clock
  readonly log: Log
  /** Called with the first call to a model whose deployment is unknown. */
  readonly unknownModel: (pool: string, model: string) => void
  /** Called when stored answers may have become unreachable. */
  readonly changed: () => void
  /** Called with each epoch that was replaced. */
  readonly purged: (epoch: string) => void
  /** Called where another deployment has made the answers of a model unreachable. */
  readonly deployed: (pool: string, model: string) => void
  /** Makes the answer under a key unreachable in the whole process; false where a tier could not be reached. */
  readonly forget: (digest: Digest) => Promise<boolean>
  /** What keys cover of a process before this one, where gateways share nothing. */
  readonly kept?:
    | { readonly epochs: readonly KeptEpoch[]; readonly deployments: readonly KeptDeployment[] }
    | undefined
  /** What a file has of answers is void: after a purge, or a deployment of which no other gateway knows. */
  readonly voided?: (() => Promise<boolean>) | undefined
  /** Called with each change, for the workers' copies. */
  readonly copies?: {
    epoch(name: string, epoch: EpochState | undefined): void
    deployment(pool: string, model: string, state: DeploymentState | undefined): void
  }
}

/** Shortest pause between two polls that hints trigger, however many gateways purge. */
const HINT_PAUSE_MS = 20

export class SharedFacts {
  readonly epochs: Epochs
  readonly deployments: Deployments
  readonly purgedKeys: PurgedKeys
  readonly #parts: SharedFactsParts
  /** Hints to follow: 0 none, 1 in progress, 2 in progress and another one after it. */
  #hints = 0

  constructor(parts: SharedFactsParts) {
    this.#parts = parts
    const { settings, cache, clock, log, changed, copies, kept, voided } = parts
    const { tiers } = settings.cache
    const shared = tiers.some(({ type }) => type !== 'memory') ? cache : undefined
    const waitMs = Math.max(0, ...tiers.map((tier) => ('readTimeout' in tier ? tier.readTimeout : 0)))
    const isAlone = shared === undefined
    this.epochs = new Epochs({
      shared,
      clock,
      log,
      changed,
      onPurge: parts.purged,
      ...(kept && isAlone ? { kept: kept.epochs } : {}),
      ...(voided && isAlone ? { purged: voided } : {}),
      ...(copies ? { onState: copies.epoch } : {}),
    })
    this.deployments = new Deployments({
      shared,
      waitMs,
      clock,
      log,
      changed,
      unknown: parts.unknownModel,
      onDeployed: parts.deployed,
      ...(kept && isAlone ? { kept: kept.deployments } : {}),
      ...(voided && isAlone ? { renewed: () => void voided() } : {}),
      ...(copies ? { onState: copies.deployment } : {}),
    })
    this.purgedKeys = new PurgedKeys({
      shared,
      clock,
      log,
      forget: parts.forget,
      purged: () => this.epochs.purge([PURGED_KEYS]),
      overflow: () => this.epochs.purge([EVERYTHING]),
    })
    cache.listen(() => this.#hinted())
  }

  start(): void {
    this.epochs.start()
    this.deployments.start()
    this.purgedKeys.start()
  }

  stop(): void {
    this.epochs.stop()
    this.deployments.stop()
    this.purgedKeys.stop()
  }

  /** Hints that arrive during a poll cause one more poll after it. */
  #hinted(): void {
    this.#hints = Math.min(2, this.#hints + 1)
    if (this.#hints === 1) void this.#follow()
  }

  async #follow(): Promise<void> {
    const { log, clock } = this.#parts
    while (this.#hints > 0) {
      await Promise.all([this.epochs.poll(), this.purgedKeys.poll(), this.deployments.poll()]).catch(
        (error: unknown) => log.warn('hint.follow', { error: String(error) }),
      )
      await new Promise<void>((resolve) => void clock.after(HINT_PAUSE_MS, resolve))
      this.#hints--
    }
  }
}
