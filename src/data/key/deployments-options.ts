/** What `Deployments` needs, and whom it tells. */
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { DeploymentState } from './deployed.ts'
import type { FactStore } from './epochs.ts'
import type { KeptDeployment } from './kept-facts.ts'

export interface DeploymentsOptions {
  /** Undefined: this process is alone. */
  readonly shared: FactStore | undefined
  /** Milliseconds a call waits for the shared tier; after that the process uses a stamp of its own. Default 25. */
  readonly waitMs?: number
  readonly clock: Clock
  readonly log: Log
  /** Called whenever a token has changed. */
  readonly changed: () => void
  /** Called with each model's new state, undefined for one that is forgotten, so that workers can keep copies. */
  readonly onState?: (pool: string, model: string, state: DeploymentState | undefined) => void
  /** Called where what is deployed of a model that calls have named is another. */
  readonly onDeployed?: (pool: string, model: string) => void
  /** Called for a model without evidence when a call first names it. */
  readonly unknown?: (pool: string, model: string) => void
  /** Those of a process before this one, where it was as alone as this one. */
  readonly kept?: readonly KeptDeployment[]
  /** Called when a deployment has got another stamp, which is not one of those. */
  readonly renewed?: () => void
}
