/**
 * The queueing model: from load to slots. It has no memory and no rules about moving; the same functions size for the
 * present load, for the load after a lost cache, and for a trial with fewer replicas.
 */
import type { ScaleOptions } from './demand.ts'
import { lateAlone, lateChance, type Offered, slotsForSlo } from './erlang.ts'
import type { Service } from './learn.ts'

/** The share of calls an SLO on the p95 allows to be late. */
const ALLOWED_LATE = 0.05

/** The properties of a pool, without its load. */
export interface PoolFacts {
  readonly service: Service
  /** Calls a replica serves at a time. */
  readonly slots: number
  readonly dispersion: number
  /** Calls that arrive in one burst, 0 when arrivals are spread. */
  readonly pileUp: number
  /** Correction of the model by measurement, 1 to 2. */
  readonly trim: number
}

/**
 * Whether the service time alone keeps enough calls inside the SLO. No number of replicas makes up for slow service.
 */
export function isFeasible(service: Service, options: ScaleOptions): boolean {
  return options.sloMs === undefined || lateAlone(service.masses, options.sloMs) < ALLOWED_LATE
}

/** Slots needed for `perSecond` misses a second, without any backlog. */
export function slotsNeeded(perSecond: number, facts: PoolFacts, options: ScaleOptions): number {
  const load = offered(perSecond, facts)
  if (load.erlangs <= 0) return 0
  if (options.sloMs === undefined || !isFeasible(facts.service, options))
    return load.erlangs / options.utilisation
  const slo = { ms: options.sloMs, chance: aimedLate(facts.service, options) }
  const queueing = slotsForSlo(load, facts.service.masses, slo)
  return Math.max(queueing, slotsForBurst(load, facts, options.sloMs)) * facts.trim
}

/**
 * The slots below which the rule for moving up would act. The memory keeps this number instead of the aim, or the noise
 * in the aim would ratchet the pool up.
 */
export function leastSlots(perSecond: number, facts: PoolFacts, options: ScaleOptions): number {
  return slotsNeeded(perSecond, facts, { ...options, risk: (options.risk + ALLOWED_LATE) / 2 })
}

/** The share of calls expected to be late with `slots` slots; with no SLO to be late for, whether utilisation is over the aim. */
export function expectedLate(
  perSecond: number,
  slots: number,
  facts: PoolFacts,
  options: ScaleOptions,
): number {
  const load = offered(perSecond, facts)
  if (options.sloMs === undefined || !isFeasible(facts.service, options))
    return load.erlangs > slots * options.utilisation * (1 + options.deadband) ? 1 : 0
  if (slots < slotsForBurst(load, facts, options.sloMs)) return 1
  return lateChance(load, slots / facts.trim, facts.service.masses, options.sloMs)
}

/** The chance of being late the plan aims at: `risk`, and what service alone takes of the SLO's allowance in proportion on top. */
export function aimedLate(service: Service, options: ScaleOptions): number {
  const alone = options.sloMs === undefined ? 0 : lateAlone(service.masses, options.sloMs)
  return alone + (options.risk * (ALLOWED_LATE - alone)) / ALLOWED_LATE
}

/** Late calls above which the present slots are too few: half-way from the aim to what the SLO allows. */
export function toleratedLate(service: Service, options: ScaleOptions): number {
  return (aimedLate(service, options) + ALLOWED_LATE) / 2
}

/** What a call may wait: the SLO less a service time that 95 % stay under. Negative when infeasible. */
export function waitBudgetMs(service: Service, sloMs: number): number {
  return sloMs - service.p95Ms
}

function offered(perSecond: number, facts: PoolFacts): Offered {
  const { meanMs, scv } = facts.service
  return { erlangs: (perSecond * meanMs) / 1000, meanMs, variability: (facts.dispersion + scv) / 2 }
}

/**
 * Slots with which the last call of a burst waits no longer than its budget, while half of the steady load goes on. For
 * Poisson arrivals this is below the queueing formula; it matters for bursts, which no mean shows.
 */
function slotsForBurst(load: Offered, facts: PoolFacts, sloMs: number): number {
  const budget = Math.max(0, waitBudgetMs(facts.service, sloMs))
  return load.erlangs / 2 + (facts.pileUp * load.meanMs) / (load.meanMs + budget)
}

export interface Backlog {
  readonly queue: number
  readonly perSecond: number
  /** Slots serving now. */
  readonly slots: number
  /** Until more of them serve, milliseconds. */
  readonly leadMs: number
}

/** Calls that will be waiting when new capacity is ready: those queued now, and what comes in meanwhile beyond what is served. */
export function backlogWhenReady(backlog: Backlog, service: Service): number {
  const growth = backlog.perSecond - (backlog.slots * 1000) / service.meanMs
  return Math.max(0, backlog.queue + (growth * backlog.leadMs) / 1000)
}
