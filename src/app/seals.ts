/** The seals over what gateways keep and tell each other at servers that others may write to. */
import type { Settings, TierSettings } from '../config/schema.ts'
import type { Log } from '../core/log.ts'
import type { TierSeals } from '../data/cache/tiers/sealed-tier.ts'
import type { TierObserver } from '../data/cache/tiers/tier-observer.ts'
import type { Clock } from '../lib/clock.ts'
import { createSeal } from '../lib/seal.ts'
import { Signer } from '../lib/signer.ts'

export type SharedTierSettings = Exclude<TierSettings, { type: 'memory' }>

export interface SealContext {
  readonly clock: Clock
  readonly log: Log
  readonly observer: TierObserver
}

/** Undefined: the settings have no secret for the tier. */
export function sealsOf(tier: SharedTierSettings, context: SealContext): TierSeals | undefined {
  const { secret: secrets, encrypt: isEncrypted } = tier
  if (!secrets) return undefined
  return {
    entries: createSeal({ secrets, purpose: purposeOf(tier, 'entries'), isEncrypted }),
    facts: createSeal({ secrets, purpose: purposeOf(tier, 'facts'), isEncrypted }),
    unverified: unverified(tier.name, context),
  }
}

/** For what gateways on one Redis tell each other of their backends; undefined: they do not sign it. */
export function backendsSigner({ cache }: Settings): Signer | undefined {
  const tier = cache.tiers.find(({ type }) => type === 'redis')
  if (tier?.type !== 'redis' || !tier.secret) return undefined
  return new Signer({ secrets: tier.secret, purpose: purposeOf(tier, 'backends') })
}

/** Systems that share a server, and by mistake a secret, do not believe each other: their prefixes differ. */
function purposeOf(tier: SharedTierSettings, what: string): string {
  return `infergate ${'prefix' in tier ? tier.prefix : ''} ${what}`
}

/** Whoever can write to the server can do so without end, so only some of it is logged. */
const LOGGED_MS = 60_000

function unverified(tier: string, { clock, log, observer }: SealContext): () => void {
  let loggedAt = Number.NEGATIVE_INFINITY
  let since = 0
  return () => {
    observer.unverified(tier)
    since++
    const now = clock.now()
    if (now - loggedAt < LOGGED_MS) return
    log.warn('tier.unverified', { tier, values: since })
    loggedAt = now
    since = 0
  }
}
