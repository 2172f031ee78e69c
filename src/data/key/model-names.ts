/** Names a model of a pool in its present deployment. What is learnt of the model is filed under that name, and ends with it. */
import type { Matched } from '../route/routes.ts'

export type ModelNames = (matched: Matched) => string

/** `token`: the token of the deployment that answers. */
export function createModelNames(token: (matched: Matched) => string): ModelNames {
  /** Every call needs its name, and a new string would have to be hashed each time. */
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
