/**
 * The interface of service discovery. A source reports all backends it knows each time; `merge.ts` combines the
 * snapshots.
 */
import type { FoundBackend } from '../registry/registration.ts'

/** All backends that a source knows at one time. Must not be modified. */
export type Snapshot = readonly FoundBackend[]

export interface DiscoverySource {
  /** For logs and labels: `dns:ranker.internal`. */
  readonly name: string
  /**
   * Calls `apply` with each snapshot from now on, unchanged ones included, and not at all while the source is
   * unreachable. Never throws, and never calls `apply` before it returns or after `stop`.
   */
  start(apply: (snapshot: Snapshot) => void): void
  /** Reads again soon and applies the result even if it is unchanged: an empty snapshot needs confirmation. */
  refresh(): void
  stop(): void
}
