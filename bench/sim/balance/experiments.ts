/**
 * The experiments on balancing: each returns one row for every arm. Arrivals and service times come from streams of
 * their own, so that all arms of an experiment see the very same load.
 */

import { createRandom, normal } from '../../../src/lib/seeded-random.ts'
import { constant, poisson } from '../arrivals.ts'
import { Engine } from '../engine.ts'
import { bimodal, exponentialService } from '../service.ts'
import { type BackendPlan, SimBackend } from './backend.ts'
import { type Arm, SimGateway } from './gateway.ts'
import type { Tally } from './tally.ts'

export type Row = Readonly<Record<string, string | number>>

export interface World {
  readonly seed: number
  readonly perSecond: number
  readonly untilMs: number
  readonly backends: (seed: number) => readonly BackendPlan[]
}

/** Runs one arm in one world; calls still running at the end get ten more seconds. */
export function run(arm: Arm, { seed, perSecond, untilMs, backends: plans }: World): Tally {
  const engine = new Engine()
  const backends = plans(seed).map((plan) => new SimBackend(engine, plan))
  const gateway = new SimGateway(engine, arm, { backends, seed })
  const next = poisson(constant(perSecond), perSecond, createRandom(seed, 'arrivals'))
  const arrive = () => {
    gateway.call()
    const at = next(engine.now())
    if (at < untilMs) engine.at(at, arrive)
  }
  engine.at(next(0), arrive)
  engine.run(untilMs + 10_000)
  return gateway.tally
}

const round = (value: number, digits = 1) => Number(value.toFixed(digits))
const percent = (value: number) => round(value * 100, 2)
/** A time to recover, for a table: five good seconds may never come. */
const within = (ms: number) => (ms === Infinity ? 'never' : ms)
const times = <T>(count: number, make: (at: number) => T) =>
  Array.from({ length: count }, (_, at) => make(at))

export const POLICIES: readonly Arm[] = [
  { name: 'round-robin', policy: 'round-robin' },
  { name: 'random', policy: 'random' },
  { name: 'p2c', policy: 'p2c' },
  { name: 'least-request', policy: 'least-request' },
  { name: 'peak-ewma', policy: 'peak-ewma' },
  { name: 'prequal', policy: 'prequal' },
  { name: 'peak-ewma + outliers', policy: 'peak-ewma', outliers: true },
  { name: 'peak-ewma + outliers + hedge', policy: 'peak-ewma', outliers: true, hedge: 'budget' },
]

/** Linkerd's replay of 2016: 11 servers of 167 ms, one at 2 s between 15 s and 45 s, a timeout of 1 s. */
export function replay(
  seed: number,
  {
    servers = 11,
    untilMs = 60_000,
    arms = POLICIES,
  }: { servers?: number; untilMs?: number; arms?: readonly Arm[] } = {},
): readonly Row[] {
  const backends = (own: number) =>
    times(servers, (at): BackendPlan => {
      const random = createRandom(own, `service ${at}`)
      const isSlow = (now: number) => at === 0 && now >= untilMs / 4 && now < (untilMs * 3) / 4
      return { slots: 512, serviceMs: (now) => (isSlow(now) ? 2_000 : 167 + 5 * normal(random)) }
    })
  const world = { seed, perSecond: 1_000, untilMs, backends }
  return arms.map((arm) => {
    const tally = run({ ...arm, deadlineMs: 1_000 }, world)
    return {
      experiment: `E1 one of ${servers} at 2 s`,
      arm: arm.name,
      'success %': percent(tally.success()),
      'p99 ms': round(tally.quantile(0.99)),
      'p99.9 ms': round(tally.quantile(0.999)),
      'to the slow %': percent(tally.share(0, untilMs / 4, (untilMs * 3) / 4)),
    }
  })
}

/** Three backends of 10 ms and one of 50 ms, four slots each: how much load at a p99 of 200 ms. */
export function heterogeneous(seed: number, arms = POLICIES, untilMs = 8_000): readonly Row[] {
  const backends = (own: number) =>
    times(4, (at) => ({
      slots: 4,
      serviceMs: exponentialService(at === 0 ? 50 : 10, createRandom(own, `service ${at}`)),
    }))
  return arms.map((arm) => {
    let best = 0
    for (const perSecond of [200, 300, 400, 600, 800, 900, 1_000, 1_050, 1_100, 1_150, 1_200]) {
      const tally = run(arm, { seed, perSecond, untilMs, backends })
      if (!(tally.quantile(0.99, 1_000) <= 200)) break
      best = perSecond
    }
    return { experiment: 'E2 3 × 10 ms and 1 × 50 ms', arm: arm.name, 'calls/s at p99 ≤ 200 ms': best }
  })
}

/** Four backends, one twenty times slower, against the three good ones alone. */
export function slowBackend(seed: number, arms = POLICIES, untilMs = 30_000): readonly Row[] {
  const plan = (own: number, at: number, meanMs: number): BackendPlan => ({
    slots: 8,
    serviceMs: exponentialService(meanMs, createRandom(own, `service ${at}`)),
  })
  const good = (own: number) => times(3, (at) => plan(own, at + 1, 20))
  const mixed = (own: number) => [plan(own, 0, 400), ...good(own)]
  return arms.map((arm) => {
    const alone = run(arm, { seed, perSecond: 600, untilMs, backends: good })
    const tally = run(arm, { seed, perSecond: 600, untilMs, backends: mixed })
    const [p99, alone99] = [tally.quantile(0.99, 2_000), alone.quantile(0.99, 2_000)]
    return {
      experiment: 'one of 4 twenty times slower',
      arm: arm.name,
      'p99 ms': round(p99),
      'three alone p99 ms': round(alone99),
      ratio: round(p99 / alone99, 2),
      'p99.9 ms': round(tally.quantile(0.999, 2_000)),
      'to the slow %': percent(tally.share(0, 2_000)),
    }
  })
}

/** Four backends of 50 ms, one answers 500 after one millisecond. */
export function sinkhole(seed: number, arms = POLICIES, untilMs = 20_000): readonly Row[] {
  const backends = (own: number) =>
    times(
      4,
      (at): BackendPlan => ({
        slots: 16,
        serviceMs: exponentialService(50, createRandom(own, `service ${at}`)),
        ...(at === 0 && { failsAfterMs: () => 1 }),
      }),
    )
  return arms.map((arm) => {
    const tally = run(arm, { seed, perSecond: 400, untilMs, backends })
    return {
      experiment: 'E4 one of 4 fails in 1 ms',
      arm: arm.name,
      'failed %': percent(tally.failed() / (tally.failed() + tally.answered())),
      'to it after 1 s %': percent(tally.share(0, 1_000)),
    }
  })
}

/** All four fail: `rate` of the calls between 5 s and 15 s, at once. */
export function everythingSick(seed: number, rate: number, perSecond: number): readonly Row[] {
  const backends = (own: number) =>
    times(4, (at): BackendPlan => {
      const random = createRandom(own, `failures ${at}`)
      const failsAfterMs = (now: number) => (now >= 5_000 && now < 15_000 && random() < rate ? 1 : undefined)
      return {
        slots: 32,
        serviceMs: exponentialService(20, createRandom(own, `service ${at}`)),
        failsAfterMs,
      }
    })
  const arms: readonly Arm[] = [
    { name: 'peak-ewma, 3 retries', policy: 'peak-ewma', retries: 3 },
    { name: 'all ours', policy: 'peak-ewma', outliers: true, retries: 2, retryBudget: true },
  ]
  return arms.map((arm) => {
    const tally = run(arm, { seed, perSecond, untilMs: 30_000, backends })
    return {
      experiment: `E5 all 4 fail ${rate * 100} % for 10 s, ${perSecond}/s`,
      arm: arm.name,
      'attempts a call': round(tally.amplification(5_000, 15_000), 3),
      'answered meanwhile %': percent(tally.success(5_000, 15_000)),
      'recovered after ms': within(
        tally.recoveryMs(15_000, 30_000, (success, p99) => success >= 0.999 && p99 < 250),
      ),
    }
  })
}

/**
 * 24 callers who each wait for their answer. All four backends fail from 10 s to 16 s, after `failMs`; then three are well again,
 * and one goes on failing at once.
 */
export function allButOneBack(seed: number, failMs: number): readonly Row[] {
  const [failFrom, failTo, untilMs] = [10_000, 16_000, 22_000]
  const engine = new Engine()
  const plan = (at: number): BackendPlan => ({
    slots: 8,
    serviceMs: exponentialService(20, createRandom(seed, `service ${at}`)),
    failsAfterMs(now) {
      if (now >= failFrom && now < failTo) return failMs
      return at === 3 && now >= failTo ? 1 : undefined
    },
  })
  const backends = times(4, (at) => new SimBackend(engine, plan(at)))
  const arm: Arm = {
    name: 'all ours',
    policy: 'peak-ewma',
    outliers: true,
    retries: 2,
    retryBudget: true,
    hedge: 'budget',
  }
  const gateway = new SimGateway(engine, arm, { backends, seed })
  // A caller needs a moment, or a call that fails at once would be followed by the next at the same instant.
  const again = () => {
    if (engine.now() < untilMs) engine.after(1, () => gateway.call(again))
  }
  for (let caller = 0; caller < 24; caller++) again()
  engine.run(untilMs + 1_000)
  const { tally } = gateway
  return [
    {
      experiment: `E8 24 callers, all 4 fail in ${failMs} ms, then 1`,
      arm: arm.name,
      'attempts a call': round(tally.amplification(failFrom, failTo), 3),
      'failed in the first second': tally.failed(failTo, failTo + 1_000),
      'failed later': tally.failed(failTo + 1_000, untilMs),
      'answered/s later': round(tally.answered(failTo + 1_000, untilMs) / 5, 0),
    },
  ]
}

/** Half the capacity is lost for ten seconds at 80 % load, and backends go on computing for callers that have left. */
export function retryStorm(seed: number): readonly Row[] {
  const backends = (own: number) =>
    times(4, (at) => ({
      slots: 4,
      serviceMs: exponentialService(50, createRandom(own, `service ${at}`)),
      capacity: (now: number) => (now >= 10_000 && now < 20_000 ? 0.5 : 1),
    }))
  const common = { policy: 'peak-ewma', outliers: true, tryTimeoutMs: 500 } as const
  const arms: readonly Arm[] = [
    { ...common, name: 'no retries' },
    { ...common, name: '3 retries', retries: 3 },
    { ...common, name: '3 retries in budget', retries: 3, retryBudget: true },
    { ...common, name: 'and a deadline', retries: 3, retryBudget: true, deadlineMs: 1_000 },
    { ...common, name: 'and a limit and queue', retries: 3, retryBudget: true, deadlineMs: 1_000, limit: 4 },
  ]
  return arms.map((arm) => {
    const tally = run(arm, { seed, perSecond: 256, untilMs: 60_000, backends })
    return {
      experiment: 'E6 half capacity for 10 s at 80 %',
      arm: arm.name,
      'in time meanwhile/s': round(tally.success(10_000, 20_000, 1_000) * 256, 0),
      'attempts a call': round(tally.amplification(10_000, 20_000), 2),
      'recovered after ms': within(
        tally.recoveryMs(20_000, 60_000, (success, p99) => success >= 0.99 && p99 < 500),
      ),
    }
  })
}

/** One call in a hundred takes twenty times as long; after 30 s all take three times as long. */
export function hedging(seed: number): readonly Row[] {
  const backends = (own: number) =>
    times(4, (at): BackendPlan => {
      const draw = bimodal({ fastMs: 20, slowMs: 400, share: 0.01 }, createRandom(own, `service ${at}`))
      return { slots: 64, serviceMs: (now) => draw() * (now < 30_000 ? 1 : 3) * jitter(own, now) }
    })
  const arms: readonly Arm[] = [
    { name: 'no hedge', policy: 'p2c' },
    { name: 'at p95, no budget', policy: 'p2c', hedge: 'free' },
    { name: 'at p95, budget of 5 %', policy: 'p2c', hedge: 'budget' },
  ]
  return arms.map((arm) => {
    const tally = run(arm, { seed, perSecond: 400, untilMs: 40_000, backends })
    return {
      experiment: 'E7 one in 100 takes 20 ×, then all 3 ×',
      arm: arm.name,
      'p99 ms': round(tally.quantile(0.99, 5_000, 30_000)),
      'p99.9 ms': round(tally.quantile(0.999, 5_000, 30_000)),
      'extra load %': percent(tally.amplification(5_000, 30_000) - 1),
      'extra load when all are slow %': percent(tally.amplification(30_000, 40_000) - 1),
    }
  })
}

/** Up to ten percent either way: equal latencies would all fall on the p95. */
function jitter(seed: number, now: number): number {
  return 0.9 + 0.2 * (((now * 7919 + seed * 104_729) % 1_000) / 1_000)
}
