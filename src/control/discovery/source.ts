/**
 * Where backends are learnt from, besides the settings and registration. A source tells all that it knows each
 * time; what its snapshots mean together is decided in `merge.ts`.
 */
import type { FoundBackend } from '../registry/registration.ts'

/** All that a source knows at one time. Frozen by agreement: nobody changes it. */
export type Snapshot = readonly FoundBackend[]

export interface DiscoverySource {
  /** For logs and labels: `dns:ranker.internal`. */
  readonly name: string
  /**
   * Calls `apply` with each snapshot from now on, equal ones included. While it cannot look, it says nothing.
   * Throws nothing and never calls `apply` before it returns or after `stop`.
   */
  start(apply: (snapshot: Snapshot) => void): void
  /** Looks again soon and applies what it finds, whatever it is: an empty snapshot is only believed when confirmed. */
  refresh(): void
  stop(): void
}
