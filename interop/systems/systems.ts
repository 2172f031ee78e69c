/** The systems that the suite knows, in the order in which they run. */
import type { System } from '../suite/session.ts'
import { kubernetes } from './kubernetes/kubernetes.ts'
import { mlserver } from './mlserver/mlserver.ts'
import { tiers } from './tiers/tiers.ts'

export const SYSTEMS: readonly System[] = [mlserver, kubernetes, tiers]
