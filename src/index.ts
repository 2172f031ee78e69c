/** The library: a gateway inside another program, and what a part of one's own is made against. */
export { Gateway, type GatewayOptions } from './app/gateway.ts'
export { type LoadedSettings as Loaded, loadSettings, parseSettings } from './config/load.ts'
export type { Settings } from './config/schema.ts'
export { FAULTS, type Fault, type FaultCode, GatewayError } from './core/errors.ts'
export type { Policy } from './data/balance/policies/policy.ts'
export type { Tier } from './data/cache/tiers/tier.ts'
export { createLog, type ProcessLog } from './obs/log.ts'
export type { Protocol } from './protocol/protocol.ts'
