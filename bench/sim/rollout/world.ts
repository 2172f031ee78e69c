/**
 * One route over two pools on virtual time: callers whose keys follow Zipf's law, a cache that each pool's answers are kept in, misses that
 * go to the pools' replicas, and the rollout that moves them. The judge, the plan, the rollout's rules, the scaler and its meter are the production's.
 */
import { advance } from '../../../src/control/rollout/advance.ts'
import { startRollout } from '../../../src/control/rollout/commands.ts'
import { DEFAULT_STEPS } from '../../../src/control/rollout/plan.ts'
import { effectsOf, isOver, type Rollout, type RolloutOptions } from '../../../src/control/rollout/state.ts'
import type { Scaler } from '../../../src/control/scale/scaler.ts'
import {
  addTimes,
  bucketEndMs,
  type SparseTimes,
  TIMES_SIZE,
  timeBucket,
} from '../../../src/lib/fine-times.ts'
import { createRandom, exponential, type Random } from '../../../src/lib/seeded-random.ts'
import { Engine } from '../engine.ts'
import { lognormal } from '../service.ts'
import { type Sample, ZipfKeys } from './keys.ts'
import { SimulatedPool, scale } from './pool.ts'

export interface Setting {
  readonly seed: number
  /** Keys that callers ask for, and how many of them the cache of the old pool has at the beginning. */
  readonly keys: number
  readonly rows: number
  readonly perSecond: number
  /** Calls that the sample has seen, and keys that it keeps. */
  readonly sampled: number
  readonly kept: number
  /** Keys a second that are warmed; 0: none. */
  readonly warmPerSecond: number
  readonly service: { readonly meanMs: number; readonly scv: number }
  readonly replica: { readonly slots: number; readonly startMs: number; readonly sloMs: number }
  /** Share of calls that fail in both pools. */
  readonly failing: number
  /** What is worse in the new pool. */
  readonly bad: { readonly failing?: number; readonly slower?: number; readonly differing?: number }
  /** `rollout`: in steps; `switch`: all calls at once, after the warming where there is any. */
  readonly how: 'rollout' | 'switch'
  readonly options: Omit<RolloutOptions, 'warm'>
  /** When it begins, and when the simulation ends, milliseconds. */
  readonly startMs: number
  readonly untilMs: number
}

export const SETTING: Setting = {
  seed: 1,
  keys: 2_000_000,
  rows: 1_000_000,
  perSecond: 2_000,
  sampled: 6_000_000,
  kept: 700_000,
  warmPerSecond: 1_000,
  service: { meanMs: 10, scv: 0.2 },
  replica: { slots: 4, startMs: 10_000, sloMs: 60 },
  failing: 0.001,
  bad: {},
  how: 'rollout',
  options: {
    steps: DEFAULT_STEPS,
    holdMs: 60_000,
    limits: { maxErrors: 0.005, maxLatency: 1.2, maxDifferences: 0.001 },
    compare: 0.2,
  },
  startMs: 120_000,
  untilMs: 40 * 60_000,
}

/** What happened in one second. */
export interface Second {
  readonly calls: number
  readonly misses: number
  readonly failed: number
  readonly p99Ms: number
  readonly share: number
  readonly oldReplicas: number
  readonly newReplicas: number
}

export interface Told {
  readonly seconds: readonly Second[]
  readonly rollout: Rollout
  /** Replicas of the new pool that were foreseen for each second. */
  readonly foreseen: number
  /** When the calls were switched, or the first moved; and when it was over. */
  readonly switchedAt: number
  readonly endedAt: number
}

const HIT_MS = 0.2
const [OLD, NEW] = ['v1', 'v2']

/** Plays one setting. `drawn`: keys, cache and sample, which many settings may share. */
export function play(setting: Setting, drawn = draw(setting)): Told {
  return new World(setting, drawn).play()
}

export interface Drawn {
  readonly keys: ZipfKeys
  readonly cached: Uint8Array
  readonly sample: Sample
}

export function draw({ seed, keys: count, rows, sampled, kept }: Setting): Drawn {
  const keys = new ZipfKeys(count)
  const cached = keys.used(rows, createRandom(seed, 'cache'))
  return { keys, cached, sample: keys.sample(sampled, kept, createRandom(seed, 'sample')) }
}

class World {
  readonly #setting: Setting
  readonly #drawn: Drawn
  readonly #engine = new Engine()
  readonly #random: Random
  readonly #pools: { readonly old: SimulatedPool; readonly new: SimulatedPool }
  readonly #caches: { readonly old: Uint8Array; readonly new: Uint8Array }
  readonly #flights = { old: new Map<number, number[]>(), new: new Map<number, number[]>() }
  /** A key's place among the pools, as the hash of its input: it moves when the share passes it. */
  readonly #places: Float32Array
  readonly #scaler: Scaler
  #rollout: Rollout
  #share = 0
  #mirrored = 0
  #warmed = 0
  #warming = 0
  #foreseen = 0
  #switchedAt = Infinity
  #endedAt = Infinity
  #deeds = { old: fresh(), new: fresh(), compared: 0, different: 0 }
  #now = second()
  readonly #seconds: Second[] = []

  constructor(setting: Setting, drawn: Drawn) {
    this.#setting = setting
    this.#drawn = drawn
    this.#random = createRandom(setting.seed, 'calls')
    const { old, bad } = { old: setting.failing, bad: setting.bad }
    this.#pools = {
      old: this.#pool(OLD ?? '', 1, old),
      new: this.#pool(NEW ?? '', bad.slower ?? 1, old + (bad.failing ?? 0)),
    }
    this.#caches = { old: drawn.cached.slice(), new: new Uint8Array(setting.keys) }
    const places = createRandom(setting.seed, 'places')
    this.#places = Float32Array.from({ length: setting.keys }, () => 100 * places())
    this.#scaler = scale(this.#engine, [this.#pools.old, this.#pools.new])
    const split = {
      pools: [
        { pool: OLD ?? '', weight: 100 },
        { pool: NEW ?? '', weight: 0 },
      ],
      written: '',
    }
    const options = { ...setting.options, warm: setting.warmPerSecond > 0 }
    const begun = startRollout(
      { route: 'ranker', to: NEW ?? '', options },
      split,
      this.#engine.wall() + setting.startMs,
    )
    if ('refused' in begun) throw new Error(begun.refused)
    this.#rollout = begun
  }

  play(): Told {
    const { untilMs, startMs, how } = this.#setting
    this.#engine.at(0, () => this.#call())
    this.#engine.every(1_000, () => this.#second())
    if (how === 'switch') this.#engine.at(startMs, () => this.#prepareSwitch())
    this.#engine.run(untilMs)
    return {
      seconds: this.#seconds,
      rollout: this.#rollout,
      foreseen: this.#foreseen,
      switchedAt: this.#switchedAt,
      endedAt: this.#endedAt,
    }
  }

  #pool(name: string, slower: number, failing: number): SimulatedPool {
    const { service, replica, seed } = this.#setting
    const times = createRandom(seed, `service ${name}`)
    const faults = createRandom(seed, `faults ${name}`)
    const draws = lognormal(service, times)
    return new SimulatedPool(this.#engine, {
      ...replica,
      name,
      replicas: 1,
      max: 20,
      service: () => slower * draws(),
      fails: () => faults() < failing,
    })
  }

  #call(): void {
    const { perSecond } = this.#setting
    this.#engine.after(exponential(this.#random, 1000 / perSecond), () => this.#call())
    const key = this.#drawn.keys.draw(this.#random)
    const which = (this.#places[key] ?? 0) < this.#share ? 'new' : 'old'
    this.#now.calls++
    if (this.#caches[which][key] === 1) {
      this.#pools[which].meter.answered(false)
      return this.#took(HIT_MS)
    }
    const waiting = this.#flights[which].get(key)
    if (waiting) {
      this.#pools[which].meter.answered(false)
      return void waiting.push(this.#engine.now())
    }
    this.#now.misses++
    this.#miss(which, key, [this.#engine.now()])
    if (which === 'old' && this.#mirrored > 0 && this.#random() < this.#mirrored) this.#mirror()
  }

  #miss(which: 'old' | 'new', key: number, waiting: number[]): void {
    this.#flights[which].set(key, waiting)
    this.#pools[which].ask(({ isFailed, serviceMs }) => {
      this.#flights[which].delete(key)
      this.#note(which, isFailed, serviceMs)
      if (!isFailed) this.#caches[which][key] = 1
      else this.#now.failed += waiting.length
      for (const since of waiting) this.#took(this.#engine.now() - since)
    })
  }

  /** The new pool answers a miss as well; what it says is only compared. */
  #mirror(): void {
    this.#pools.new.ask(({ isFailed, serviceMs }) => {
      this.#note('new', isFailed, serviceMs)
      if (isFailed) return
      this.#deeds.compared++
      if (this.#random() < (this.#setting.bad.differing ?? 0)) this.#deeds.different++
    })
  }

  #note(which: 'old' | 'new', isFailed: boolean, serviceMs: number): void {
    const deed = this.#deeds[which]
    deed.calls++
    if (isFailed) deed.bad++
    else deed.times.push(timeBucket(serviceMs), 1)
  }

  #took(ms: number): void {
    const bucket = timeBucket(ms)
    this.#now.times[bucket] = (this.#now.times[bucket] ?? 0) + 1
  }

  #second(): void {
    this.#record()
    if (this.#setting.how === 'rollout' && this.#engine.now() >= this.#setting.startMs) this.#advance()
  }

  #record(): void {
    const { calls, misses, failed, times } = this.#now
    this.#seconds.push({
      calls,
      misses,
      failed,
      p99Ms: quantile(times, 0.99),
      share: this.#share,
      oldReplicas: this.#pools.old.ready,
      newReplicas: this.#pools.new.ready,
    })
    this.#last = { calls, misses }
    this.#now = second()
  }

  #last = { calls: 0, misses: 0 }

  #advance(): void {
    const deeds = this.#deeds
    this.#deeds = { old: fresh(), new: fresh(), compared: 0, different: 0 }
    if (isOver(this.#rollout)) return
    const wanted = this.#scaler.status(NEW ?? '')?.signal.decision.desired
    this.#rollout = advance(this.#rollout, {
      now: this.#engine.wall(),
      sinceMs: 1_000,
      deeds: { ...deeds, old: tidy(deeds.old), new: tidy(deeds.new) },
      route: this.#last,
      replicas: { ready: this.#pools.new.ready, wanted },
      warm: this.#setting.warmPerSecond > 0 ? this.#warm() : undefined,
      canCompare: true,
    })
    this.#apply()
  }

  #apply(): void {
    const { weights, warms, mirrored, expected } = effectsOf(this.#rollout)
    const share = weights[NEW ?? ''] ?? 0
    if (share > this.#share) this.#switchedAt = Math.min(this.#switchedAt, this.#engine.now())
    this.#share = share
    this.#mirrored = mirrored
    if (isOver(this.#rollout)) this.#endedAt = Math.min(this.#endedAt, this.#engine.now())
    for (const pool of [OLD ?? '', NEW ?? '']) this.#expect(pool, expected[pool] ?? 0)
    if (warms && this.#warming === 0) this.#warmOn()
    this.#warming = warms ? 1 : 0
  }

  #expect(pool: string, perSecond: number): void {
    this.#scaler.expect(pool, perSecond > 0 ? { perSecond, like: OLD ?? '' } : undefined)
    const needed = this.#scaler.replicasFor(OLD ?? '', perSecond) ?? 1
    if (pool === NEW) this.#foreseen = Math.max(this.#foreseen, needed)
  }

  #warm() {
    const { keys, share } = this.#drawn.sample
    const part = this.#warmed / Math.max(1, keys.length)
    const hits = 1 - (this.#last.misses + 1) / (this.#last.calls + 1)
    return {
      isDone: this.#warmed >= keys.length,
      coverage: Math.min(1, (part * share) / hits),
      perSecond: this.#setting.warmPerSecond,
      sentence: `${this.#warmed} of ${keys.length} hot keys are there`,
    }
  }

  /** The next hot key, and after it another one, at the bounded rate. */
  #warmOn(): void {
    const { keys } = this.#drawn.sample
    const key = keys[this.#warmed]
    if (key === undefined) return
    this.#engine.after(1000 / this.#setting.warmPerSecond, () => {
      if (this.#warming === 1 || this.#setting.how === 'switch') this.#warmOn()
    })
    this.#warmed++
    if (this.#caches.new[key] === 1 || this.#flights.new.has(key)) return
    this.#flights.new.set(key, [])
    const waiting: number[] = []
    this.#miss('new', key, waiting)
  }

  /** All calls at once: what a deployment does without a rollout. The scaler is told, as it is by the gateway. */
  #prepareSwitch(): void {
    if (this.#setting.warmPerSecond > 0) this.#warmOn()
    const { keys } = this.#drawn.sample
    const warmMs = this.#setting.warmPerSecond > 0 ? (1000 * keys.length) / this.#setting.warmPerSecond : 0
    this.#engine.after(warmMs, () => {
      this.#share = 100
      this.#switchedAt = this.#engine.now()
      this.#scaler.cacheLost('deployment', NEW)
    })
  }
}

function second() {
  return { calls: 0, misses: 0, failed: 0, times: new Uint32Array(TIMES_SIZE) }
}

function fresh(): { calls: number; bad: number; times: number[] } {
  return { calls: 0, bad: 0, times: [] }
}

function tidy(deed: ReturnType<typeof fresh>): { calls: number; bad: number; times: SparseTimes } {
  return { ...deed, times: addTimes([], deed.times) }
}

export function quantile(times: ArrayLike<number>, q: number): number {
  let total = 0
  for (let i = 0; i < times.length; i++) total += times[i] ?? 0
  let rest = q * total
  for (let i = 0; i < times.length; i++) {
    rest -= times[i] ?? 0
    if (total > 0 && rest <= 0) return bucketEndMs(i)
  }
  return 0
}
