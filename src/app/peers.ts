/** What gateways on one Redis share of their backends and of scaling. */
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
import { backendsSigner } from './seals.ts'
import type { DataPlanes } from './workers/data-planes.ts'

interface PeerParts {
  readonly clock: Clock
  readonly log: Log
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
  })
}
