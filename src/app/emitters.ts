/** Opens the emitters of scale signals that the settings name. */
import { hostname } from 'node:os'
import type { PoolSettings } from '../config/schema.ts'
import { inCluster } from '../control/discovery/in-cluster.ts'
import type { KedaScaler } from '../control/scale/keda.ts'
import { createKubernetesScale } from '../control/scale/kubernetes.ts'
import type { Emitter } from '../control/scale/signal.ts'
import { createWebhook } from '../control/scale/webhook.ts'
import type { Log } from '../core/log.ts'
import type { Clock } from '../lib/clock.ts'
import { requirePackages } from '../lib/optional-packages.ts'
import { openCustomEmitter, type Parts } from './parts.ts'
import type { LiveTls } from './tls.ts'

export type EmitSettings = NonNullable<PoolSettings['scale']>['emit'][number]

export interface EmitterParts {
  readonly clock: Clock
  readonly log: Log
  readonly random: () => number
  readonly tls: LiveTls
  /** Custom parts. */
  readonly customParts: Parts
}

/** External scalers by address: pools that name the same address share one. */
const scalers = new Map<string, Promise<KedaScaler>>()

/**
 * Rejects with the reason where the emitter cannot be opened.
 * @param pool the pool whose signals it emits
 */
export async function openEmitter(
  pool: string,
  settings: EmitSettings,
  { clock, log, random, tls, customParts }: EmitterParts,
): Promise<Emitter> {
  switch (settings.type) {
    case 'webhook':
      return createWebhook({
        url: settings.url,
        ...(settings.secret === undefined ? {} : { secret: settings.secret }),
        source: `/gateways/${hostname()}`,
        clock,
        onAttempt: ({ pool, id, problem }) => {
          if (problem !== undefined) log.warn('scale.webhook', { pool, id, problem })
        },
      })
    case 'keda':
      return openKeda(pool, settings.listen, { clock, tls })
    case 'kubernetes': {
      const { kind, namespace, name, apiServer } = settings
      const server = inCluster({ env: process.env, clock, ...(apiServer ? { url: apiServer } : {}) })
      return createKubernetesScale({ kind, namespace, name, server, clock, log, random })
    }
    default:
      return openCustomEmitter(customParts, settings, { pool, clock, log, random })
  }
}

/** Hands changed certificates to the external scalers. */
export function secureScalers(tls: LiveTls): void {
  // One that could not be opened has nothing to secure.
  for (const [listen, scaler] of scalers)
    scaler.then(({ secure }) => secure(tls.keda(listen))).catch(() => {})
}

type KedaParts = Pick<EmitterParts, 'clock' | 'tls'>

async function openKeda(pool: string, listen: string, parts: KedaParts): Promise<Emitter> {
  const known = scalers.get(listen) ?? startKeda(listen, parts)
  scalers.set(listen, known)
  try {
    return (await known).pool(pool, () => scalers.delete(listen))
  } catch (error) {
    scalers.delete(listen)
    throw error
  }
}

/** gRPC is loaded with the first setting that names it. */
async function startKeda(listen: string, { clock, tls }: KedaParts): Promise<KedaScaler> {
  requirePackages('keda')
  const { openKedaScaler } = await import('../control/scale/keda.ts')
  const colon = listen.lastIndexOf(':')
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, '')
  return openKedaScaler({ host, port: Number(listen.slice(colon + 1)), tls: tls.keda(listen), clock })
}
