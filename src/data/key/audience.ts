/** Who may have each other's answers: the part of a key that `cache.scope` decides. */
import type { Call } from '../../core/call.ts'
import type { RouteCache } from '../route/routes.ts'

/**
 * Callers with the same audience may have each other's answers. Who has no tenant, because the route asks nobody or the caller is
 * anonymous, is a caller like any other: `scope: tenant` must not make one tenant of all whose credentials only the backend reads.
 */
export function audienceOf(
  { principal, identity }: Pick<Call, 'principal'> & Partial<Pick<Call, 'identity'>>,
  scope: RouteCache['scope'] | undefined,
): readonly [kind: 'all' | 'tenant' | 'caller', name: string] {
  if (scope === 'shared') return ['all', '']
  const tenant = identity?.tenant ?? ''
  return scope === 'tenant' && tenant !== '' ? ['tenant', tenant] : ['caller', principal]
}
