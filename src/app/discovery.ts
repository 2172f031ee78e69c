/** Runs service discovery as the settings say: the sources of each pool, merged and passed to the registry. */
import type { PoolSettings, Settings } from '../config/schema.ts'
import { createConsulSource } from '../control/discovery/consul.ts'
import { createDnsSource } from '../control/discovery/dns.ts'
import { createFileSource } from '../control/discovery/file.ts'
import { inCluster } from '../control/discovery/in-cluster.ts'
import { createKubernetesSource } from '../control/discovery/kubernetes.ts'
import { Merge } from '../control/discovery/merge.ts'
import type { DiscoverySource } from '../control/discovery/source.ts'
import type { Registry } from '../control/registry/registry.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import { readBackendList } from './backend-list/backend-list.ts'
import { openCustomSource, type Parts } from './parts.ts'

export interface DiscoveryOptions {
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  /** Custom parts. */
  readonly customParts: Parts
}

type SourceSettings = PoolSettings['discovery'][number]

export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #merges = new Map<string, Merge>()

  constructor(options: DiscoveryOptions) {
    this.#options = options
  }

  /** Starts the sources that these settings add and stops those that they drop; the others continue. */
  follow({ pools }: Settings): void {
    for (const [pool, merge] of this.#merges) {
      if (pool in pools) continue
      merge.stop()
      this.#merges.delete(pool)
    }
    for (const [pool, { discovery }] of Object.entries(pools)) {
      if (discovery.length === 0 && !this.#merges.has(pool)) continue
      const sources = discovery.map(
        (source) => [JSON.stringify(source), () => this.#open(pool, source)] as const,
      )
      this.#merge(pool).follow(new Map(sources))
    }
  }

  stop(): void {
    for (const merge of this.#merges.values()) merge.stop()
    this.#merges.clear()
  }

  #merge(pool: string): Merge {
    const known = this.#merges.get(pool)
    if (known) return known
    const { registry, clock, log } = this.#options
    const merge = new Merge({ pool, clock, log, apply: (found) => registry.discovered(pool, found) })
    this.#merges.set(pool, merge)
    return merge
  }

  #open(pool: string, source: SourceSettings): DiscoverySource {
    const { clock, log, random, customParts } = this.#options
    switch (source.type) {
      case 'file':
        return createFileSource({ path: source.path, read: readBackendList, clock, log })
      case 'dns': {
        const { name, record, minInterval, port, grpcPort } = source
        const at = {
          ...(port === undefined ? {} : { port }),
          ...(grpcPort === undefined ? {} : { grpcPort }),
        }
        return createDnsSource({ name, record, minIntervalMs: minInterval, clock, log, random, ...at })
      }
      case 'kubernetes': {
        const { namespace, service, port, apiServer } = source
        const server = inCluster({ env: process.env, clock, ...(apiServer ? { url: apiServer } : {}) })
        return createKubernetesSource({ namespace, service, port, server, clock, log, random })
      }
      case 'consul': {
        const { address, service, token } = source
        return createConsulSource({ address, service, token, clock, log, random })
      }
      default:
        return openCustomSource(customParts, source, { pool, clock, log, random })
    }
  }
}
