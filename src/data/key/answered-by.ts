/**
 * Which version gave an answer: what the answer itself says, else what the backend declared if it has one version
 * only. Kept with the entry, so that a purge by version finds it, and compared with what is deployed, so that an
 * answer is never kept as that of another version.
 */
import type { Backend } from '../../core/backend.ts'
import { type Target } from '../../core/call.ts'

/** Undefined: nobody says. */
export function answeredBy(
  target: Target,
  backend: Pick<Backend, 'models'>,
  stated?: string,
): string | undefined {
  if (stated !== undefined) return stated
  if (backend.models.length === 0) return undefined
  const offers = backend.models.filter(({ name }) => name === target.model)
  // One that serves several chooses by itself; the call may have named the version, but a label is none.
  const versions = new Set(offers.map(({ version }) => version))
  const [only] = versions
  return versions.size === 1 ? only : undefined
}
