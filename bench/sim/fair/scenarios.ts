/** What tenants get of one pool, in simulation: shares of the rows, use of the places, and latencies. */
import { type TenantPlan, World, type WorldPlan } from './world.ts'

type Plan = Omit<WorldPlan, 'tenants' | 'untilMs'>

/** Each tenant's part of the rows that were begun between two times. */
export function partsOf({ served }: World, fromMs: number, toMs: number): Record<string, number> {
  const rows: Record<string, number> = {}
  let all = 0
  for (const { tenant, rows: count, beganAt } of served) {
    if (beganAt < fromMs || beganAt >= toMs) continue
    rows[tenant] = (rows[tenant] ?? 0) + count
    all += count
  }
  return Object.fromEntries(Object.entries(rows).map(([tenant, count]) => [tenant, count / all]))
}

/** Place-milliseconds used between two times, over those there were. */
export function useOf({ served }: World, places: number, [fromMs, toMs]: readonly [number, number]): number {
  let used = 0
  for (const { beganAt, endedAt } of served)
    used += Math.max(0, Math.min(endedAt, toMs) - Math.max(beganAt, fromMs))
  return used / (places * (toMs - fromMs))
}

/** The quantile `q` of a tenant's latencies, over several worlds. */
export function quantileOf(worlds: readonly World[], name: string, q: number): number {
  const all = worlds
    .flatMap(({ served }) => served)
    .flatMap(({ tenant, cameAt, endedAt }) => (tenant === name ? endedAt - cameAt : []))
  return all.sort((a, b) => a - b)[Math.floor(q * all.length)] ?? Number.NaN
}

const HEAVY = { name: 'heavy', weight: 3, callers: 120, rows: 64 }
const LIGHT = { name: 'light', weight: 1, callers: 120 }

/** Weights 3 and 1, batches of 64 rows against single rows, and who may be at which worker. */
export async function twoTenants(
  plan: Plan,
  apart: boolean,
  others: readonly TenantPlan[] = [],
): Promise<World> {
  const tenants = [
    { ...HEAVY, ...(apart ? { workers: [0] } : {}) },
    { ...LIGHT, ...(apart ? { workers: [1] } : {}) },
    ...others,
  ]
  return new World({ callMs: 2, rowMs: 0.3, ...plan, tenants, untilMs: 4_000 }).play()
}

/** The light tenant is silent for the second of four seconds. */
export async function silence(plan: Plan): Promise<World> {
  const tenants = [
    { ...HEAVY, rows: 1 },
    { ...LIGHT, untilMs: 1_000 },
    { ...LIGHT, fromMs: 2_000 },
  ]
  return new World({ ...plan, tenants, untilMs: 4_000 }).play()
}

/** A tenant at each of two gateways: a heavy one, or a critical one that needs a sixth of the pool, and one of weight 1. */
export async function atGateways(plan: Plan, heavy: 'critical' | number): Promise<World> {
  const { places, callMs = 25 } = plan
  const first =
    heavy === 'critical'
      ? { priority: heavy, perSecond: (places * 1000) / callMs / 6 }
      : { weight: heavy, callers: 60 }
  const tenants = [
    { name: 'heavy', ...first, workers: [0] },
    { name: 'light', callers: 60, workers: [1] },
  ]
  return new World({ callMs, scv: 0.2, ...plan, gateways: 2, tenants, untilMs: 13_500 }).play()
}

/** A critical tenant that needs a fifth of the pool, alone or under a flood of standard and sheddable calls. */
export async function critical(plan: Plan, flooded: boolean, floor = 0): Promise<World> {
  const { places, backends = 1, callMs = 10 } = plan
  const perSecond = (0.2 * places * backends * 1000) / callMs
  const flood = [
    { name: 'standard', callers: 4 * places * backends },
    { name: 'sheddable', callers: 4 * places * backends, priority: 'sheddable' as const },
  ]
  const tenants = [
    { name: 'critical', priority: 'critical' as const, perSecond, floor },
    ...(flooded ? flood : []),
  ]
  return new World({ ...plan, tenants, untilMs: 6_000 }).play()
}
