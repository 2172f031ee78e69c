/** What gateways on one Redis share of their backends, of scaling and of the limits of tenants. */
import { randomBytes, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Settings } from '../config/schema.ts'
import type { Registry } from '../control/registry/registry.ts'
import { Shared } from '../control/registry/shared.ts'
import { SharedScaleGroup } from '../control/scale/scale-group.ts'
import { createScaleGroupStore } from '../control/scale/scale-group-store.ts'
import type { Log } from '../core/log.ts'
import type { SharedStore } from '../core/shared.ts'
import type { Clock } from '../lib/clock.ts'
import { openStore } from './parts.ts'
import { backendsSigner } from './seals.ts'
import { SharedLimits } from './shared-limits.ts'
import type { LiveTls } from './tls.ts'
import type { DataPlanes } from './workers/data-planes.ts'

interface PeerParts {
  readonly clock: Clock
  readonly log: Log
}

/** Opens the store for backends and scaling; undefined: there is none, or they are not shared. */
export async function openPeers(settings: Settings, tls: LiveTls): Promise<SharedStore | undefined> {
  return settings.admin.shareBackends ? openStore(settings, tls) : undefined
}

export function createScaleGroup(shared: SharedStore, { clock, log }: PeerParts): SharedScaleGroup {
  const store = createScaleGroupStore(shared)
  const instance = `${hostname()}-${process.pid}-${randomBytes(6).toString('hex')}`
  return new SharedScaleGroup({ store, instance, clock, log })
}

interface SharedParts extends PeerParts {
  readonly registry: Registry
  readonly data: DataPlanes
  /** Not the pools of embedded models: their processes belong to this gateway alone. */
  readonly pools: () => readonly string[]
  readonly settings: Settings
}

export function createShared(store: SharedStore, { data, settings, ...parts }: SharedParts): Shared {
  return new Shared({
    ...parts,
    store,
    signer: backendsSigner(settings),
    instance: randomUUID(),
    machine: hostname(),
    inflight: (slot) => data.inflight(slot),
    peers: (slot, calls) => data.peers(slot, calls),
    isHurried: () => data.demands.isDividing,
  })
}

interface PeerLimitsParts extends PeerParts {
  readonly settings: Settings
  readonly data: DataPlanes
  readonly tls: LiveTls
}

/** They have a connection of their own, which is opened with the first tenant. */
export function createSharedLimits({ settings, data, tls, clock, log }: PeerLimitsParts): SharedLimits {
  const { limits, quotas, shares, demands } = data
  return new SharedLimits({
    limits,
    quotas,
    shares,
    demands,
    openStore: () => openStore(settings, tls),
    clock,
    log,
  })
}
