/**
 * Which version of a model gave an answer: the one that the answer states, else the one that the backend declared, if it
 * declared exactly one. The version is stored with the entry, so that a purge by version finds it, and compared with what
 * is deployed, so that an answer is never stored as one of another version.
 */
import type { Backend } from '../../core/backend.ts'
import { type Target } from '../../core/call.ts'

/** Undefined: neither the answer nor the backend says. */
export function answeredBy(
  target: Target,
  backend: Pick<Backend, 'models'>,
  stated?: string,
): string | undefined {
  if (stated !== undefined) return stated
  if (backend.models.length === 0) return undefined
  const offers = backend.models.filter(({ name }) => name === target.model)
  // A backend that serves several versions chooses by itself. The call may name a version, but a label is none.
  const versions = new Set(offers.map(({ version }) => version))
  const [only] = versions
  return versions.size === 1 ? only : undefined
}
