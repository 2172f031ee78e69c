/**
 * Asks calls again so that their answers are there before callers ask: of a route, in one of its pools, at a bounded rate, behind
 * the traffic of callers. What is there already is looked up and not asked. Whoever wants to know how far it is reads the
 * progress; whoever ends reading, or aborts, ends the warming.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { WarmFound, WarmRequest, WarmResult, WarmTarget } from '../../core/warm.ts'
import type { Clock } from '../../lib/clock.ts'
import { type PoolPressure, WarmPace } from './pace.ts'
import { type WarmProgress, WarmTally } from './progress.ts'
import { type SampleAccess, sampleOf, type WarmItem, type WarmSource } from './source.ts'

export interface WarmerParts extends SampleAccess {
  /** Looks a call up where it would be asked. */
  find(request: WarmRequest, target: WarmTarget): Promise<WarmFound>
  /** The pools that calls of the route may go to by its split; undefined: there is no such route. */
  poolsOf(route: string): readonly string[] | undefined
  pressure(pool: string): PoolPressure
  /** A call has ended; `outcome`: as in `WarmProgress`, or `skipped`. */
  counted(route: string, pool: string, outcome: string): void
  readonly clock: Clock
}

export interface WarmSpec extends WarmTarget {
  /** `sample`: the calls that the gateway keeps of the route (`routes[].warm`). */
  readonly source: 'sample' | WarmSource
  /** Only calls for this model; of a sample. */
  readonly model?: string | undefined
  /** Calls a second, at most. */
  readonly rate: number
  /** Calls that are looked at, at most. Default: 100,000. */
  readonly limit?: number | undefined
}

/** How much of what callers ask most a pool has the answers of. */
export interface WarmCoverage {
  /** Calls that were looked at, and how many of them are there. */
  readonly calls: number
  readonly present: number
  /** The same by how often they are asked. */
  readonly weight: number
  readonly presentWeight: number
  /** Calls that cannot be asked there, by reason. */
  readonly skipped: Readonly<Record<string, number>>
}

export const MAX_CALLS = 100_000
/** Calls that run at a time. */
const AT_ONCE = 8
/** For a call that another time may succeed. */
const MAX_TRIES = 3
/** Look-ups in a row, before other work has its turn. */
const LOOKS = 32
const PROGRESS_MS = 250

export class Warmer {
  readonly #parts: WarmerParts

  constructor(parts: WarmerParts) {
    this.#parts = parts
  }

  /** Yields the progress four times a second, and once at the end. Ends early where `signal` is aborted. */
  async *warm(spec: WarmSpec, signal: AbortSignal): AsyncGenerator<WarmProgress, void> {
    const { clock } = this.#parts
    const left = new AbortController()
    const either = AbortSignal.any([signal, left.signal])
    const source = await this.#source(spec)
    const tally = new WarmTally()
    const pace = new WarmPace({ rate: spec.rate, clock, pressure: () => this.#pressure(spec) })
    const progress = () => {
      const { total } = source
      const { pause, rate } = pace
      return tally.progress({ ...(total !== undefined && { total }), ...(pause && { paused: pause }), rate })
    }
    const running = this.#run(spec, { source, tally, pace, signal: either }).then(() => true)
    // Awaited below; it must not be unhandled until then.
    running.catch(() => {})
    try {
      for (;;) {
        const isOver = await Promise.race([running, this.#wait(PROGRESS_MS, either).then(() => false)])
        if (isOver || either.aborted) break
        yield progress()
      }
      await running
      yield progress()
    } finally {
      left.abort()
      await running.catch(() => {})
    }
  }

  /** Looks the calls of the sample up in a pool, and asks nobody. */
  async coverage({
    limit = MAX_CALLS,
    ...target
  }: WarmTarget & { readonly limit?: number }): Promise<WarmCoverage> {
    const source = await sampleOf(this.#parts, { route: target.route, limit })
    const tally = new WarmTally()
    let looks = 0
    for await (const { request, weight } of source.items(new AbortController().signal)) {
      const found = await this.#parts.find(request, target)
      if (++looks % LOOKS === 0) await turn()
      if ('skipped' in found) tally.add(found, weight)
      else tally.add({ outcome: found.isPresent ? 'present' : 'unstored' }, weight)
    }
    const { present, unstored, weight, warm, skipped } = tally.progress({ rate: 0 })
    return { calls: present + unstored, present, weight, presentWeight: warm, skipped }
  }

  async #source({ source, route, model, limit = MAX_CALLS }: WarmSpec): Promise<WarmSource> {
    return source === 'sample' ? sampleOf(this.#parts, { route, model, limit }) : source
  }

  async #run(spec: WarmSpec, run: Run): Promise<void> {
    const { source, tally, pace, signal } = run
    const { limit = MAX_CALLS } = spec
    const running = new Set<Promise<void>>()
    let looks = 0
    for await (const item of source.items(signal)) {
      if (looks++ >= limit) break
      const found = await this.#find(item, spec)
      if (looks % LOOKS === 0) await turn()
      if ('skipped' in found || found.isPresent) {
        this.#ended(spec, run, item, 'skipped' in found ? found : { outcome: 'present' })
        continue
      }
      while (running.size >= AT_ONCE) await Promise.race(running)
      if (!(await this.#turn(pace, signal))) break
      tally.asked++
      const asking = this.#ask(spec, run, item, found).finally(() => running.delete(asking))
      running.add(asking)
    }
    await Promise.all(running)
  }

  async #ask(spec: WarmSpec, run: Run, item: WarmItem, first: WarmFound): Promise<void> {
    const { pace, signal } = run
    let found = first
    let result: WarmResult | undefined
    for (let tries = 1; ; tries++) {
      if ('skipped' in found) result = found
      else result = found.isPresent ? { outcome: 'present' } : await found.ask(signal)
      if (signal.aborted && 'outcome' in result && result.outcome === 'failed') return
      const mayPass = 'isPassing' in result && result.isPassing && tries < MAX_TRIES
      if (!mayPass || !(await this.#turn(pace, signal))) break
      found = await this.#find(item, spec)
    }
    this.#ended(spec, run, item, result)
  }

  async #find({ request }: WarmItem, { route, pool, only }: WarmSpec): Promise<WarmFound> {
    return this.#parts.find(request, { route, pool, only })
  }

  #ended({ route, pool = '' }: WarmSpec, { tally }: Run, { weight }: WarmItem, result: WarmResult): void {
    tally.add(result, weight)
    this.#parts.counted(route, pool, 'skipped' in result ? 'skipped' : result.outcome)
  }

  /** False: it was aborted while it waited. */
  async #turn(pace: WarmPace, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      if (signal.aborted) return false
      const waitMs = pace.take()
      if (waitMs === 0) return true
      await this.#wait(waitMs, signal)
    }
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        cancel()
        signal.removeEventListener('abort', end)
        resolve()
      }
      const cancel = this.#parts.clock.after(ms, end)
      signal.addEventListener('abort', end, { once: true })
      if (signal.aborted) end()
    })
  }

  /** Of several pools the worst of each. */
  #pressure({ route, pool }: WarmSpec): PoolPressure {
    const pools = pool === undefined ? (this.#parts.poolsOf(route) ?? []) : [pool]
    const all = pools.map((name) => this.#parts.pressure(name))
    const fullest = all.reduce((a, b) => (fullness(b) > fullness(a) ? b : a), all[0] ?? NOTHING)
    const latencies = all.flatMap(({ latencyMs }) => latencyMs ?? [])
    return {
      ready: all.some(({ ready }) => ready > 0) ? fullest.ready || 1 : 0,
      queued: all.reduce((sum, { queued }) => sum + queued, 0),
      inflight: fullest.inflight,
      limit: fullest.limit,
      latencyMs: latencies.length > 0 ? Math.max(...latencies) : undefined,
    }
  }
}

interface Run {
  readonly source: WarmSource
  readonly tally: WarmTally
  readonly pace: WarmPace
  readonly signal: AbortSignal
}

const NOTHING: PoolPressure = { ready: 0, queued: 0, inflight: 0, limit: undefined, latencyMs: undefined }

function fullness({ inflight, limit = Number.POSITIVE_INFINITY }: PoolPressure): number {
  return inflight / limit
}
