/** The mirrors that rollouts set for their comparisons, in place of those that routes have otherwise. */
import { type Compared, mirrorName } from '../../control/rollout/measures.ts'
import type { MirrorTotals } from '../../core/mirror.ts'
import type { RouteMirrors } from '../route-mirrors.ts'

interface Setting {
  readonly pool: string
  readonly share: number
}

type Mirrors = Pick<RouteMirrors, 'of' | 'change'>

export class Copies {
  readonly #mirrors: Mirrors
  /** What is set here, and what the route had before. */
  readonly #set = new Map<string, { readonly setting: Setting; readonly before: ReturnType<Mirrors['of']> }>()

  constructor(mirrors: Mirrors) {
    this.#mirrors = mirrors
  }

  /** Undefined: as it was before. */
  set(route: string, setting: Setting | undefined): void {
    const known = this.#set.get(route)
    if (setting && known?.setting.pool === setting.pool && known.setting.share === setting.share) return
    if (setting) {
      this.#set.set(route, { setting, before: known ? known.before : this.#mirrors.of(route) })
      this.#mirrors.change(route, { ...setting, compare: true })
    } else if (known) {
      this.#set.delete(route)
      const { pool, share, compare } = known.before ?? { ...known.setting, share: 0, compare: false }
      this.#mirrors.change(route, { pool, share, compare })
    }
  }
}

/** By route and pool. */
export function comparedIn(totals: readonly MirrorTotals[]): Record<string, Compared> {
  return Object.fromEntries(
    totals.map(({ route, pool, equal, different }) => [
      mirrorName(route, pool),
      { compared: equal + different, different },
    ]),
  )
}
