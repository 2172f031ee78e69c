/** To which second pool copies of a route's calls go, and how many: it may change while calls run. */

export interface MirrorSetting {
  readonly pool: string
  /** Of the calls that go to a backend, from 0 to 1. */
  readonly share: number
  /** The two answers to a call are compared. */
  readonly compare: boolean
}

/** `R`: a route. */
export class RouteMirror<R extends { readonly pool: string }> {
  readonly #routes: ReadonlyMap<string, R>
  #setting: MirrorSetting | undefined
  #to: R | undefined

  /** `routes`: the route as it is for copies to each pool that they may go to, by the pool's name. */
  constructor(routes: ReadonlyMap<string, R>, setting: MirrorSetting | undefined) {
    this.#routes = routes
    this.change(setting)
  }

  /** Undefined, or a share of 0: there are no copies. */
  change(setting: MirrorSetting | undefined): void {
    this.#setting = setting
    this.#to = setting && setting.share > 0 ? this.#routes.get(setting.pool) : undefined
  }

  /** The route for a copy of a call that goes to `pool`; undefined: none is to be sent. */
  draw(pool: string, random: () => number): R | undefined {
    const to = this.#to
    // Whoever has the call already is not asked twice.
    if (to === undefined || to.pool === pool) return undefined
    const { share = 0 } = this.#setting ?? {}
    return share >= 1 || random() < share ? to : undefined
  }

  get setting(): MirrorSetting | undefined {
    return this.#setting
  }

  get compares(): boolean {
    return this.#setting?.compare === true
  }
}
