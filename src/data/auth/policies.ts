/** What the tenants may have, by name. */
import type { TenantPolicy, TenantSettings } from '../../core/identity.ts'
import { glob } from '../route/glob.ts'

export class TenantPolicies {
  readonly #named: ReadonlyMap<string, TenantPolicy>

  constructor(tenants: Readonly<Record<string, TenantSettings>>) {
    this.#named = new Map(Object.entries(tenants).map(([name, settings]) => [name, policyOf(name, settings)]))
  }

  /** The tenant's own, or that of all who are not named; undefined: it may have nothing. */
  of(tenant: string): TenantPolicy | undefined {
    return this.#named.get(tenant) ?? this.#named.get('*')
  }
}

function policyOf(name: string, { models, ...settings }: TenantSettings): TenantPolicy {
  if (!models) return { name, ...settings }
  const globs = models.map(glob)
  return { name, ...settings, mayUse: (model) => globs.some((pattern) => pattern.test(model)) }
}
