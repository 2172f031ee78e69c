// The scaler over a pool whose load the test makes: what it says, to whom, and when.
import { expect, it } from 'vitest'
import { ALONE } from '../../../../src/control/scale/alone.ts'
import { SCALE_DEFAULTS } from '../../../../src/control/scale/demand.ts'
import { describeScale } from '../../../../src/control/scale/describe.ts'
import { type PoolSample, type ScaleGroup, Scaler } from '../../../../src/control/scale/scaler.ts'
import type { ScaleSignal } from '../../../../src/control/scale/signal.ts'
import type { LoadReport } from '../../../../src/core/load.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { bucketOf, HISTOGRAM_SIZE } from '../../../../src/lib/log-histogram.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

interface Load {
  /** Misses a second. */
  misses: number
  hits: number
  /** Of the hits, those of a shared tier, 0 to 1. */
  shared: number
  serviceMs: number
}

/** A pool whose replicas come `startMs` after they were asked for, if anybody asks. */
class Scene {
  readonly clock = new FakeClock()
  readonly load: Load = { misses: 0, hits: 0, shared: 0, serviceMs: 50 }
  readonly signals: ScaleSignal[] = []
  readonly scaler: Scaler
  /** Which of the signals are carried out: by their number. */
  carries: (n: number) => boolean = () => true
  carryMs = 0
  startMs = 2_000
  replicas = 1
  isTierDown = false
  #readAt = this.clock.now()

  constructor(options: { sloMs?: number; crew?: ScaleGroup; settleMs?: number } = {}) {
    const { sloMs = 200, crew = ALONE, settleMs = 0 } = options
    this.scaler = new Scaler({
      clock: this.clock,
      log: silentLog,
      sample: () => this.#look(),
      isTierDown: () => this.isTierDown,
      group: crew,
      settleMs,
    })
    const emitter = { name: 'test', emit: (signal: ScaleSignal) => this.#hear(signal), close: () => {} }
    const windows = { fastMs: 6_000, stableMs: 20_000, downMs: 20_000 }
    this.scaler.follow([
      {
        name: 'ranker',
        options: { ...SCALE_DEFAULTS, ...windows, min: 1, max: 20, sloMs, slots: 1, startMs: 2_000 },
        emitters: [emitter],
        isEmbedded: false,
      },
    ])
  }

  run(ms: number): void {
    for (let t = 0; t < ms; t += 100) {
      this.clock.advance(100)
      this.scaler.tick()
    }
  }

  get said() {
    const status = this.scaler.status('ranker')
    if (!status) throw new Error('nothing was decided')
    return status
  }

  #hear(signal: ScaleSignal): void {
    this.signals.push(signal)
    if (!this.carries(this.signals.length)) return
    const { desired } = signal.decision
    this.clock.after(this.carryMs + (desired > this.replicas ? this.startMs : 0), () => {
      this.replicas = desired
    })
  }

  #look(): PoolSample {
    const busy = (this.load.misses * this.load.serviceMs) / 1000
    return {
      level: busy,
      ready: this.replicas,
      slow: 0,
      draining: 0,
      slots: undefined,
      read: () => this.#report(busy),
    }
  }

  #report(busy: number): LoadReport {
    const now = this.clock.now()
    const count = Math.round((now - this.#readAt) / 100)
    this.#readAt = now
    const { misses, hits, shared, serviceMs } = this.load
    const calls = (misses / 10) * count
    const histogram = new Float64Array(HISTOGRAM_SIZE)
    histogram[bucketOf(serviceMs)] = calls
    const service = [
      {
        inflight: 1,
        count: calls,
        sumMs: calls * serviceMs,
        sumSquaresMs: calls * serviceMs ** 2,
        histogram,
      },
    ]
    const bucket = { offered: misses / 10, answered: hits / 10, concurrency: busy, rise: 0 }
    return {
      at: now,
      buckets: Array.from({ length: count }, () => bucket),
      queue: 0,
      inflight: Math.round(busy),
      oldestWaitMs: 0,
      service: calls > 0 ? service : [],
      latency: histogram,
      answeredShared: (hits / 10) * count * shared,
    }
  }
}

it('a tenfold step is said within a second, with a sentence and an id of its own', () => {
  const scene = new Scene()
  scene.load.misses = 10
  scene.run(30_000)
  const calm = scene.said.signal
  scene.load.misses = 100
  scene.run(1_000)
  const { signal } = scene.said
  expect(signal.decision.desired).toBeGreaterThan(calm.decision.desired)
  expect(signal.id).not.toBe(calm.id)
  expect(describeScale(scene.said)).toMatchObject({
    pool: 'ranker',
    speaks: expect.stringMatching(/^for itself/),
    sentence: expect.stringMatching(/^\d+ → \d+ replicas: the load rose; /),
  })
  scene.run(1_000)
  expect(scene.said.signal.decision.desired).toBeGreaterThan(5)
})

it('a load that is all hits starts nothing, however heavy', () => {
  const scene = new Scene()
  scene.load.misses = 10
  scene.load.hits = 10_000
  scene.run(60_000)
  expect(scene.said.signal.decision.desired).toBe(1)
})

it('a lost tier scales up at once, before its hits have come as misses', () => {
  const scene = new Scene()
  scene.load.misses = 10
  scene.load.hits = 190
  scene.load.shared = 1
  scene.run(60_000)
  const calm = scene.said.signal.decision.desired
  scene.isTierDown = true
  scene.run(1_000)
  const { decision } = scene.said.signal
  expect(decision.reason).toBe('cache_lost')
  // 200 calls a second of 50 ms keep ten busy.
  expect(decision.desired).toBeGreaterThanOrEqual(10)
  expect(calm).toBeLessThan(4)
})

it('a purge of everything is a lost cache as well', () => {
  const scene = new Scene()
  scene.load.misses = 10
  scene.load.hits = 190
  scene.run(60_000)
  scene.scaler.cacheLost('flush')
  scene.run(1_000)
  expect(scene.said.signal.decision).toMatchObject({ reason: 'cache_lost' })
})

it('a promise below the service time is called infeasible, and does not pin the pool at its maximum', () => {
  const scene = new Scene({ sloMs: 40 })
  scene.load.misses = 60
  scene.run(60_000)
  const { decision } = scene.said.signal
  expect(decision.sloFeasible).toBe(false)
  expect(decision.desired).toBeLessThan(8)
  expect(decision.sentence).toMatch(/cannot be kept by any number of replicas/)
})

it.each<[string, (scene: Scene) => void]>([
  ['are carried out', () => {}],
  ['are lost two times in three', (scene) => void (scene.carries = (n) => n % 3 === 0)],
  ['are carried out five seconds late', (scene) => void (scene.carryMs = 5_000)],
])('the end is the same when signals %s', (_, spoil) => {
  const plain = new Scene()
  const spoiled = new Scene()
  spoil(spoiled)
  for (const scene of [plain, spoiled]) {
    scene.load.misses = 10
    scene.run(30_000)
    scene.load.misses = 100
    scene.run(120_000)
  }
  expect(spoiled.replicas).toBe(plain.replicas)
  for (const scene of [plain, spoiled]) {
    scene.load.misses = 10
    scene.run(720_000)
  }
  expect(spoiled.replicas).toBe(plain.replicas)
  expect(plain.replicas).toBeLessThan(4)
})

it('tells nobody anything until backends that are there have had time to register', () => {
  const scene = new Scene({ settleMs: 20_000 })
  scene.replicas = 0
  scene.run(10_000)
  scene.replicas = 5
  scene.load.misses = 60
  scene.run(9_000)
  expect(scene.signals).toEqual([])
  scene.run(2_000)
  expect(scene.signals[0]?.decision.desired).toBeGreaterThanOrEqual(5)
})

it('a follower decides and shows it, but tells nobody', () => {
  const scene = new Scene({ crew: { role: () => 'follower', token: 7, exchange: (_, own) => own } })
  scene.load.misses = 100
  scene.run(10_000)
  expect(scene.signals).toEqual([])
  expect(scene.said.signal).toMatchObject({ token: 7 })
  expect(describeScale(scene.said).desired).toBeGreaterThan(1)
})

it('when nobody follows for long, the number goes back to what is there', () => {
  const scene = new Scene()
  scene.carries = () => false
  scene.load.misses = 100
  scene.run(60_000)
  expect(scene.said.signal.decision.desired).toBeGreaterThan(5)
  scene.load.misses = 5
  scene.run(900_000)
  expect(scene.said.signal.decision.desired).toBe(1)
})
