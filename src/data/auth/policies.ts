/** What the tenants may have, by name. */
import type { TenantPolicy, TenantSettings } from '../../core/identity.ts'
import { shareOf, type TenantShare } from '../../core/tenant-share.ts'
import { glob } from '../route/glob.ts'

/** Tenants that the settings do not name, and whose shares are kept. */
const MAX_UNNAMED = 1_024

export class TenantPolicies {
  readonly #named: ReadonlyMap<string, TenantPolicy>
  readonly #shares = new Map<string, TenantShare>()
  readonly #unnamed = new Map<string, TenantShare>()

  constructor(tenants: Readonly<Record<string, TenantSettings>>) {
    const all = Object.entries(tenants)
    this.#named = new Map(all.map(([name, settings]) => [name, policyOf(name, settings)]))
    for (const [name, settings] of all) if (name !== '*') this.#shares.set(name, shareOf(name, settings))
  }

  /** The tenant's own, or that of all who are not named; undefined: it may have nothing. */
  of(tenant: string): TenantPolicy | undefined {
    return this.#named.get(tenant) ?? this.#named.get('*')
  }

  /**
   * The tenant's part of each pool, by its own name also where its policy is that of all who are not named. One that was
   * forgotten and made anew is the same to the pools, which know tenants by their names.
   */
  shareOf(tenant: string, policy: TenantPolicy): TenantShare {
    const known = this.#shares.get(tenant) ?? this.#unnamed.get(tenant)
    if (known) return known
    const share = shareOf(tenant, policy)
    if (this.#unnamed.size >= MAX_UNNAMED) this.#unnamed.delete(this.#unnamed.keys().next().value ?? tenant)
    this.#unnamed.set(tenant, share)
    return share
  }
}

function policyOf(name: string, { models, ...settings }: TenantSettings): TenantPolicy {
  if (!models) return { name, ...settings }
  const globs = models.map(glob)
  return { name, ...settings, mayUse: (model) => globs.some((pattern) => pattern.test(model)) }
}
