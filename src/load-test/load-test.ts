/** A load test from its warm-up to its end: which phases the generators run, against one server or against two in turn. */
import type { ClientTls } from '../lib/tls/material.ts'
import type { DialectOptions } from './dialects/dialect.ts'
import { Generators, type PhaseCounts } from './generators.ts'
import type { GeneratorOptions, PhasePlan } from './messages.ts'
import { flat, lengthOf } from './profile.ts'
import { LoadTally } from './tally.ts'

export interface LoadTestOptions {
  /** One server, or two that are compared. */
  readonly urls: readonly string[]
  readonly plan: PhasePlan
  /** Calls at a time, of all generators. */
  readonly connections: number
  readonly threads: number
  /** Milliseconds before the test, which are not counted. */
  readonly warmUpMs: number
  /** How often each of two servers has its turn. */
  readonly rounds: number
  readonly dialect: DialectOptions
  readonly keys: number
  readonly exponent: number
  readonly seed: number
  readonly timeoutMs: number
  readonly tls: ClientTls | undefined
  readonly streams: number
  readonly driver: GeneratorOptions['driver']
}

/** What one server did in one phase, or in all of them. */
export interface Seen {
  /** By the second of the test. */
  readonly seconds: ReadonlyMap<number, LoadTally>
  readonly total: LoadTally
  /** For which calls were made, milliseconds. */
  readonly ms: number
  /** The share of the time in which the busiest generator had work. */
  readonly busy: number
}

export interface LoadTestResult {
  /** In the order of the URLs: what each server did in all rounds. */
  readonly sides: readonly Seen[]
  /** Of a comparison: what each server did in each round. */
  readonly rounds: readonly (readonly Seen[])[]
}

export interface LoadTestListener {
  /** The warm-up is over. */
  began(): void
  /** More is known: what the server that is asked has done by now. */
  progressed(seconds: ReadonlyMap<number, LoadTally>): void
}

export class LoadTest {
  readonly #options: LoadTestOptions
  readonly #generators: Generators
  #isStopped = false

  constructor(options: LoadTestOptions) {
    this.#options = options
    this.#generators = new Generators(partsOf(options))
  }

  /** No more calls are made; `run` ends with what was seen. */
  stop(): void {
    this.#isStopped = true
    this.#generators.stop()
  }

  /** Rejects when a generator fails. */
  async run(listener: LoadTestListener): Promise<LoadTestResult> {
    try {
      await this.#warmUp()
      listener.began()
      return this.#options.urls.length > 1 ? await this.#compare(listener) : await this.#single(listener)
    } finally {
      await this.#generators.close()
    }
  }

  async #warmUp(): Promise<void> {
    const plan = warmUpOf(this.#options)
    if (!plan) return
    for (const side of this.#options.urls.keys()) await this.#generators.run({ side, plan }, () => {})
  }

  async #single(listener: LoadTestListener): Promise<LoadTestResult> {
    const { plan } = this.#options
    const counts = await this.#generators.run({ side: 0, plan }, (seconds) => listener.progressed(seconds))
    return { sides: [this.#seenIn(counts, plan)], rounds: [] }
  }

  /** The servers in turn; who is first changes from round to round, so that neither is always behind the other. */
  async #compare(listener: LoadTestListener): Promise<LoadTestResult> {
    const { urls, plan, rounds } = this.#options
    const slice = sliceOf(plan, rounds)
    const seen: Seen[][] = []
    for (let round = 0; round < rounds && !this.#isStopped; round++) {
      const order = [...urls.keys()]
      if (round % 2 === 1) order.reverse()
      const inRound = new Array<Seen>(urls.length)
      for (const side of order) {
        const counts = await this.#generators.run({ side, plan: slice }, (seconds) =>
          listener.progressed(seconds),
        )
        inRound[side] = this.#seenIn(counts, slice)
      }
      seen.push(inRound)
    }
    return { sides: urls.map((_, side) => joined(seen.map((round) => round[side] as Seen))), rounds: seen }
  }

  /** The last call of a rate may be answered before its time is over; a replay takes as long as it takes. */
  #seenIn({ seconds, busy, ms }: PhaseCounts, plan: PhasePlan): Seen {
    const planned = plan.kind === 'replay' ? ms : plannedMs(plan)
    const made = this.#isStopped ? Math.min(ms, planned) : planned
    return { seconds, total: totalOf(seconds.values()), ms: made, busy }
  }
}

/** Each generator's share of the calls at a time. */
function partsOf(options: LoadTestOptions): GeneratorOptions[] {
  const { urls, dialect, keys, exponent, seed, timeoutMs, tls, streams, driver, connections } = options
  const of = Math.min(options.threads, connections)
  return Array.from({ length: of }, (_, index) => {
    const callers = Math.floor(connections / of) + (index < connections % of ? 1 : 0)
    const common = { urls, dialect, keys, exponent, seed, timeoutMs, tls, streams, driver }
    return { ...common, index, of, callers }
  })
}

/** The same load as at the beginning; undefined: there is none. */
function warmUpOf({ plan, warmUpMs }: LoadTestOptions): PhasePlan | undefined {
  if (warmUpMs === 0 || plan.kind === 'replay') return undefined
  if (plan.kind === 'closed') return { kind: 'closed', durationMs: warmUpMs }
  const rate = plan.stages[0]?.from ?? 0
  return rate > 0 ? { ...plan, stages: [flat(rate, warmUpMs)] } : undefined
}

function sliceOf(plan: PhasePlan, rounds: number): PhasePlan {
  if (plan.kind === 'open')
    return { ...plan, stages: plan.stages.map((stage) => ({ ...stage, ms: stage.ms / rounds })) }
  return { ...plan, durationMs: plan.durationMs / rounds }
}

export function plannedMs(plan: PhasePlan): number {
  return plan.kind === 'open' ? lengthOf(plan.stages) : plan.durationMs
}

function totalOf(tallies: Iterable<LoadTally>): LoadTally {
  const total = new LoadTally()
  for (const tally of tallies) total.merge(tally.counts())
  return total
}

/** The phases of one server, one behind the other. */
function joined(parts: readonly Seen[]): Seen {
  const seconds = new Map<number, LoadTally>()
  let from = 0
  for (const part of parts) {
    for (const [second, tally] of part.seconds) seconds.set(from + second, tally)
    from += Math.max(0, ...part.seconds.keys()) + 1
  }
  return {
    seconds,
    total: totalOf(parts.map(({ total }) => total)),
    ms: parts.reduce((sum, { ms }) => sum + ms, 0),
    busy: Math.max(0, ...parts.map(({ busy }) => busy)),
  }
}
