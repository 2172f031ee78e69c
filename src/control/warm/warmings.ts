/**
 * The warmings that operators have started: how far each is, until it is over and a while longer. Their calls come from a route's
 * sample, or are sent by whoever has started it, a few at a time.
 */
import { GatewayError } from '../../core/errors.ts'
import type { Clock } from '../../lib/clock.ts'
import { sentenceOf, type WarmProgress, WarmTally } from './progress.ts'
import { FedSource, type WarmItem } from './source.ts'
import type { Warmer } from './warmer.ts'

export interface WarmingSpec {
  readonly route: string
  /** Left out: the pool that each call would go to. */
  readonly pool?: string | undefined
  /** `requests`: they are sent with `feed`. */
  readonly source: 'sample' | 'requests'
  readonly model?: string | undefined
  /** Calls a second. */
  readonly rate?: number | undefined
  readonly limit?: number | undefined
}

/** A warming as operators see it. */
export interface WarmingView {
  readonly id: string
  readonly route: string
  readonly pool?: string
  readonly source: string
  readonly state: 'running' | 'done' | 'stopped' | 'failed'
  readonly since: string
  readonly progress: WarmProgress
  /** The result so far, in a sentence. */
  readonly said: string
}

/** What became of calls that were sent. */
export interface WarmFeeding {
  /** So many were taken, from the first on; the others are to be sent again. */
  readonly accepted: number
  readonly warming: WarmingView
}

export interface WarmingsParts {
  readonly warmer: Pick<Warmer, 'warm'>
  /** The pools of a route; undefined: there is no such route. */
  readonly poolsOf: (route: string) => readonly string[] | undefined
  /** Whether a route keeps a sample. */
  readonly isSampled: (route: string) => boolean
  readonly clock: Clock
}

export const DEFAULT_RATE = 50
const MAX_RUNNING = 4
const MAX_KEPT = 16
/** What waits to be looked at, of one warming. */
const MOST_WAITING = { calls: 512, bytes: 16 << 20 }
/** A warming to which nobody sends anything ends after this. */
const IDLE_MS = 60_000

interface Warming {
  readonly spec: WarmingSpec
  readonly since: string
  readonly stop: AbortController
  readonly fed: FedSource | undefined
  state: WarmingView['state']
  progress: WarmProgress
  fedAt: number
  error?: string
}

export class Warmings {
  readonly #parts: WarmingsParts
  readonly #warmings = new Map<string, Warming>()
  #last = 0

  constructor(parts: WarmingsParts) {
    this.#parts = parts
  }

  /** Throws a GatewayError that says what is wrong. */
  start(spec: WarmingSpec): WarmingView {
    this.#check(spec)
    const warming: Warming = {
      spec,
      since: new Date(this.#parts.clock.wall()).toISOString(),
      stop: new AbortController(),
      fed: spec.source === 'requests' ? new FedSource(MOST_WAITING) : undefined,
      state: 'running',
      progress: new WarmTally().progress({ rate: 0 }),
      fedAt: this.#parts.clock.now(),
    }
    const id = `w${++this.#last}`
    this.#warmings.set(id, warming)
    this.#forget()
    void this.#run(warming)
    return viewOf(id, warming)
  }

  list(): readonly WarmingView[] {
    return [...this.#warmings].map(([id, warming]) => viewOf(id, warming))
  }

  find(id: string): WarmingView | undefined {
    const warming = this.#warmings.get(id)
    return warming && viewOf(id, warming)
  }

  /** Undefined: there is none of this id. What is over stays as it was. */
  stop(id: string): WarmingView | undefined {
    const warming = this.#warmings.get(id)
    if (!warming) return undefined
    if (warming.state === 'running') warming.state = 'stopped'
    warming.stop.abort()
    return viewOf(id, warming)
  }

  /** Takes calls as far as there is room. Undefined: there is no warming of this id. Throws where it takes none. */
  feed(id: string, calls: readonly WarmItem[], isEnd: boolean): WarmFeeding | undefined {
    const warming = this.#warmings.get(id)
    if (!warming) return undefined
    const { fed } = warming
    if (!fed || warming.state !== 'running')
      throw new GatewayError('badRequest', `the warming ${id} takes no calls: it is ${warming.state}`)
    warming.fedAt = this.#parts.clock.now()
    const accepted = fed.add(calls)
    if (isEnd && accepted === calls.length) fed.end()
    return { accepted, warming: viewOf(id, warming) }
  }

  close(): void {
    for (const { stop } of this.#warmings.values()) stop.abort()
  }

  #check({ route, pool, source }: WarmingSpec): void {
    const pools = this.#parts.poolsOf(route)
    if (!pools) throw new GatewayError('unknownRoute', `the settings have no route "${route}"`)
    if (pool !== undefined && !pools.includes(pool))
      throw refused(`the route "${route}" has no pool "${pool}"; it has ${pools.join(', ')}`)
    if (source === 'sample' && !this.#parts.isSampled(route))
      throw refused(`the route "${route}" keeps no sample: give it "warm: {}" in the YAML, or send calls`)
    const running = [...this.#warmings].filter(([, { state }]) => state === 'running')
    const same = running.find(([, { spec }]) => spec.route === route && spec.pool === pool)
    if (same) throw refused(`the route "${route}" is being warmed already (${same[0]}): stop that first`)
    if (running.length >= MAX_RUNNING)
      throw refused(`${MAX_RUNNING} warmings run already: wait for one of them, or stop it`)
  }

  async #run(warming: Warming): Promise<void> {
    const { spec, fed, stop } = warming
    const { rate = DEFAULT_RATE } = spec
    const source = fed ?? 'sample'
    try {
      for await (const progress of this.#parts.warmer.warm({ ...spec, source, rate }, stop.signal)) {
        warming.progress = progress
        if (fed && this.#isForsaken(warming, fed)) fed.end()
      }
      if (warming.state === 'running') warming.state = stop.signal.aborted ? 'stopped' : 'done'
    } catch (error) {
      warming.state = 'failed'
      warming.error = String(error)
    }
  }

  #isForsaken({ fedAt }: Warming, fed: FedSource): boolean {
    return fed.waiting === 0 && this.#parts.clock.now() - fedAt > IDLE_MS
  }

  /** The oldest that are over. */
  #forget(): void {
    for (const [id, { state }] of this.#warmings) {
      if (this.#warmings.size <= MAX_KEPT) return
      if (state !== 'running') this.#warmings.delete(id)
    }
  }
}

function viewOf(id: string, { spec, since, state, progress, error }: Warming): WarmingView {
  const { route, pool, source } = spec
  const said = error ?? sentenceOf(progress, pool, state === 'stopped')
  return { id, route, ...(pool !== undefined && { pool }), source, state, since, progress, said }
}

function refused(why: string): GatewayError {
  return new GatewayError('badRequest', why)
}
