/**
 * How many slots an offered load needs: Erlang's delay formula, and the smallest number of slots with which few
 * enough calls are late. Pure arithmetic; the scaler's plan is built on it.
 */

/**
 * The chance that a call has to wait at `slots` servers under `erlangs` of load (Erlang C, M/M/m), by the recursion
 * B(k) = aB(k-1) / (k + aB(k-1)) on Erlang B, which neither overflows nor loses digits. 1 when the load exceeds the slots.
 */
export function erlangC(slots: number, erlangs: number): number {
  if (erlangs <= 0) return 0
  if (slots <= erlangs) return 1
  let blocked = 1
  for (let k = 1; k <= slots; k++) blocked = (erlangs * blocked) / (k + erlangs * blocked)
  return waitChance(slots, erlangs, blocked)
}

/** A load as the wait formula sees it. */
export interface Offered {
  /** Mean number of busy slots: arrival rate times mean service time. */
  readonly erlangs: number
  readonly meanMs: number
  /** Mean of the squared coefficients of variation of arrivals and service, (c_a² + c_s²)/2; 1 for M/M/m. */
  readonly variability: number
}

/** A service-time distribution as masses: `share` of the calls take `ms`. Shares add up to 1. */
export interface Mass {
  readonly ms: number
  readonly share: number
}

/**
 * The chance that wait and service together exceed `sloMs`: P(S > T) + Σ P(S = s)·P(W > T - s). The sum over the measured service
 * times is exact where the usual union bound, a budget for the wait and one for the service, counts the unlucky twice.
 */
export function lateChance(load: Offered, slots: number, service: readonly Mass[], sloMs: number): number {
  if (load.erlangs <= 0) return lateAlone(service, sloMs)
  if (slots <= load.erlangs) return 1
  const drain = (slots - load.erlangs) / (load.meanMs * Math.max(load.variability, 0.01))
  return lateWith(erlangC(slots, load.erlangs), drain, service, sloMs)
}

/** The share of the calls whose service alone takes longer than `sloMs`; no number of slots helps them. */
export function lateAlone(service: readonly Mass[], sloMs: number): number {
  let late = 0
  for (const { ms, share } of service) if (ms > sloMs) late += share
  return late
}

/**
 * The fewest slots with which at most `chance` of the calls are late; `chance` must exceed `lateAlone`. A call waits longer
 * than w with P(W > w) = C(m,a)·exp(-(m-a)·(w/S)/v), Erlang C with the variability correction of Allen and Cunneen
 * (Allen 1990, §5.3).
 */
export function slotsForSlo(
  load: Offered,
  service: readonly Mass[],
  slo: { ms: number; chance: number },
): number {
  return search(load, (waits, drainPerMs) => lateWith(waits, drainPerMs, service, slo.ms) <= slo.chance)
}

function lateWith(waits: number, drainPerMs: number, service: readonly Mass[], sloMs: number): number {
  let late = 0
  for (const { ms, share } of service)
    late += ms > sloMs ? share : share * waits * Math.exp(-drainPerMs * (sloMs - ms))
  return late
}

function waitChance(slots: number, erlangs: number, blocked: number): number {
  return blocked / (1 - erlangs / slots + (erlangs / slots) * blocked)
}

/** Walks m upwards, carrying Erlang B along, until `isEnough`. Past a + 20√a + 20 no wait is left that slots could shorten. */
function search(load: Offered, isEnough: (waits: number, drainPerMs: number) => boolean): number {
  const { erlangs, meanMs } = load
  if (!(erlangs > 0)) return 0
  const perSlot = 1 / (meanMs * Math.max(load.variability, 0.01))
  const last = Math.ceil(erlangs + 20 * Math.sqrt(erlangs) + 20)
  let blocked = 1
  for (let m = 1; m <= last; m++) {
    blocked = (erlangs * blocked) / (m + erlangs * blocked)
    if (m > erlangs && isEnough(waitChance(m, erlangs, blocked), (m - erlangs) * perSlot)) return m
  }
  return last
}
