/** The systems that the suite knows, in the order in which they run. */
import type { System } from '../suite/session.ts'
import { mlserver } from './mlserver/mlserver.ts'

export const SYSTEMS: readonly System[] = [mlserver]
