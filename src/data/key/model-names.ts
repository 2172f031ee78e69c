/** A model of a pool in its present deployment, as one text: what is learnt of it is kept under that, and ends with it. */
import type { Matched } from '../route/routes.ts'

export type ModelNames = (matched: Matched) => string

/** `token`: of the deployment that answers. */
export function createModelNames(token: (matched: Matched) => string): ModelNames {
  /** Asked with every call, and a new text would have to be hashed each time. */
  const names = new WeakMap<Matched, { readonly token: string; readonly name: string }>()
  return (matched) => {
    const present = token(matched)
    const known = names.get(matched)
    if (known?.token === present) return known.name
    const { route, target } = matched
    const name = `${route.pool}/${target.model ?? ''}@${present}`
    names.set(matched, { token: present, name })
    return name
  }
}
