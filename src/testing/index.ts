/**
 * The contract suites, for parts of one's own: each is called in a test file of vitest with a way to open the part, and says
 * whether it keeps what the gateway relies on.
 */
export { leaseTierContract } from './lease-tier.ts'
export { type OpenPolicy, policyContract } from './policy.ts'
export { type ProtocolSample, protocolContract } from './protocol.ts'
export { tierContract } from './tier.ts'
