/**
 * Where copies of the routes' calls go, as it was changed while the gateway runs. It holds over reloads of the YAML, until that
 * says another `mirror` for the route than it did when it was changed.
 */
import { isDeepStrictEqual } from 'node:util'
import { poolsNamedBy } from '../config/route-pools.ts'
import type { RouteSettings, Settings } from '../config/schema.ts'
import type { MirrorPatch, RouteMirrorView } from '../control/admin/contract.ts'
import { GatewayError } from '../core/errors.ts'
import type { MirrorSetting } from '../data/route/route-mirror.ts'

/** The whole of a route's mirror. */
export interface MirrorChange {
  readonly route: string
  readonly mirror: MirrorSetting
}

interface ChangedMirror {
  readonly mirror: MirrorSetting
  /** The mirror of the YAML at that time, and the pools that the route named. */
  readonly written: unknown
}

export interface RouteMirrorsOptions {
  readonly settings: Settings
  readonly data: { weigh(change: MirrorChange): void }
}

export class RouteMirrors {
  readonly #data: RouteMirrorsOptions['data']
  readonly #changed = new Map<string, ChangedMirror>()
  #settings: Settings

  constructor({ settings, data }: RouteMirrorsOptions) {
    this.#settings = settings
    this.#data = data
  }

  /** Takes over the settings of a reload, and forgets the mirrors that no longer hold. */
  follow(settings: Settings): void {
    this.#settings = settings
    for (const [name, { written }] of this.#changed) {
      const route = this.#find(name)
      if (!route || !isDeepStrictEqual(writtenIn(route), written)) this.#changed.delete(name)
    }
  }

  /** The settings with the mirrors that still hold. */
  onto(settings: Settings): Settings {
    const changes = [...this.#changed].map(([route, { mirror }]) => ({ route, mirror }))
    return changes.reduce(withMirror, settings)
  }

  /** Undefined: the route has no mirror, or there is no such route. */
  of(name: string): RouteMirrorView | undefined {
    const configured = this.#find(name)?.mirror
    const mirror = this.#changed.get(name)?.mirror ?? configured
    return mirror && { ...mirror, ...(configured && { configured }) }
  }

  /** The mirror as it will be; undefined: there is no such route. Throws `badRequest`, with what is wrong with it. */
  check(name: string, { pool, share, compare }: MirrorPatch): MirrorSetting | undefined {
    const route = this.#find(name)
    if (!route) return undefined
    const known = this.#changed.get(name)?.mirror ?? route.mirror
    const to = pool ?? known?.pool
    if (to === undefined) throw refused(`the route "${name}" has no mirror: say which pool gets the copies`)
    const named = poolsNamedBy(route)
    if (!route.mirror && !route.split)
      throw refused(`the route "${name}" has one pool: give it a mirror or a split in the YAML`)
    if (!named.includes(to))
      throw refused(`the route "${name}" names no pool "${to}"; it names ${named.join(', ')}`)
    if (to === route.pool) throw refused(`the pool "${to}" answers the calls of the route "${name}" already`)
    return { pool: to, share: share ?? known?.share ?? 1, compare: compare ?? known?.compare ?? false }
  }

  /** As `check` says; in force in this worker at once. */
  change(name: string, patch: MirrorPatch): void {
    const route = this.#find(name)
    const mirror = this.check(name, patch)
    if (!route || !mirror) return
    this.#changed.set(name, { mirror, written: writtenIn(route) })
    this.#data.weigh({ route: name, mirror })
  }

  #find(name: string): RouteSettings | undefined {
    return this.#settings.routes.find((route) => route.name === name)
  }
}

function writtenIn(route: RouteSettings): unknown {
  return { mirror: route.mirror, pools: poolsNamedBy(route) }
}

function refused(why: string): GatewayError {
  return new GatewayError('badRequest', why)
}

/** The settings with this mirror in the route. */
export function withMirror(settings: Settings, { route: name, mirror }: MirrorChange): Settings {
  const routes = settings.routes.map((route) => (route.name === name ? { ...route, mirror } : route))
  return { ...settings, routes }
}
