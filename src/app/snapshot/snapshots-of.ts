/** Opens the snapshot that the settings name, if they name one. */
import type { Settings } from '../../config/schema.ts'
import { createSeal, type Seal } from '../../lib/seal.ts'
import { longestEntry } from '../cache.ts'
import type { DataPlanesParts } from '../workers/data-planes-parts.ts'
import { measureSnapshots } from './snapshot-metrics.ts'
import { openSnapshots, type Snapshots, type SnapshotsParts } from './snapshots.ts'

type Around = Pick<DataPlanesParts, 'settings' | 'clock' | 'log' | 'random' | 'metrics'> & {
  readonly memory: SnapshotsParts['memory'] | undefined
}

const EVERY_MS = 300_000

/** Undefined: there is none. */
export async function snapshotsOf({ memory, metrics, ...parts }: Around): Promise<Snapshots | undefined> {
  const { settings } = parts
  const [tier] = settings.cache.tiers
  if (tier?.type !== 'memory' || tier.snapshot === undefined || !memory) return undefined
  return openSnapshots({
    ...parts,
    memory,
    maxValueBytes: longestEntry(settings),
    counts: measureSnapshots(metrics),
    snapshot: {
      file: tier.snapshot,
      everyMs: tier.snapshotEvery ?? EVERY_MS,
      maxBytes: tier.snapshotBytes ?? tier.maxBytes,
      seal: snapshotSeal(settings),
      isShared: settings.cache.tiers.length > 1,
    },
  })
}

/** Its own secret, or else that of the first tier that has one: what is sealed there does not lie open here. */
function snapshotSeal({ cache }: Settings): Seal | undefined {
  for (const tier of cache.tiers) {
    if (!('secret' in tier) || !tier.secret) continue
    return createSeal({
      secrets: tier.secret,
      purpose: 'infergate snapshot',
      isEncrypted: tier.encrypt ?? false,
    })
  }
  return undefined
}
