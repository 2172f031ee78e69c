/**
 * The counts of outlier detection, as columns over shared memory like the load table: the calls of all workers count, and
 * the first worker in each second judges for all. Counts are exact and in fixed time slices: in an average, a burst of
 * failures would have no weight.
 */
import { LATENCY_BUCKETS, latencyBucket } from '../../../lib/window.ts'

export const CLOSED = 0
export const EJECTED = 1
export const HALF_OPEN = 2

/** Why a backend is ejected: the value of a label in metrics, and words for people. */
export const EJECTION_CAUSES = [
  { cause: 'consecutive', reason: 'failed several times in a row' },
  { cause: 'failures', reason: 'failed more often than the others' },
  { cause: 'slow', reason: 'was much slower than the others' },
  { cause: 'trial', reason: 'failed again on trial' },
] as const
export type EjectionCause = (typeof EJECTION_CAUSES)[number]['cause']

export function ejectionCauseOf(state: OutlierState, slot: number): (typeof EJECTION_CAUSES)[number] {
  return EJECTION_CAUSES[state.cause[slot] ?? 0] ?? EJECTION_CAUSES[0]
}

export const SLICES = 10
export const SLICE_MS = 3_000

export interface OutlierState {
  readonly slots: number
  /** `CLOSED`, `EJECTED` or `HALF_OPEN`. */
  readonly phase: Int32Array
  readonly until: Float64Array
  /** How often it was ejected; each healthy interval takes one off. */
  readonly ejections: Int32Array
  readonly changedAt: Float64Array
  /** How often a slot's backend was ejected in all, and why the last time, an index of `EJECTION_CAUSES`. */
  readonly ejected: Int32Array
  readonly cause: Int32Array
  readonly consecutive: Int32Array
  /** By time slice, then slot. */
  readonly good: Int32Array
  readonly bad: Int32Array
  /** By slot, then bucket: latencies of the running latency window. */
  readonly latencies: Int32Array
  readonly slowWindows: Int32Array
  readonly quietWindows: Int32Array
  /** Half-open: calls let through and not ended, the time of the last, and how many succeeded. */
  readonly probing: Int32Array
  readonly probedAt: Float64Array
  readonly passed: Int32Array
  /** The last second, and the last latency window, in which a pool was judged; at its first member's slot. */
  readonly judged: Int32Array
  readonly judgedLatency: Int32Array
  /** [changes of any phase, running time slice]. */
  readonly shared: Int32Array
}

export const VERSION = 0
export const SLICE = 1

const floats = (length: number): Float64Array => new Float64Array(new SharedArrayBuffer(length * 8))
const integers = (length: number): Int32Array => new Int32Array(new SharedArrayBuffer(length * 4))

export function createOutlierState(slots: number): OutlierState {
  return {
    slots,
    phase: integers(slots),
    until: floats(slots),
    ejections: integers(slots),
    changedAt: floats(slots),
    ejected: integers(slots),
    cause: integers(slots),
    consecutive: integers(slots),
    good: integers(slots * SLICES),
    bad: integers(slots * SLICES),
    latencies: integers(slots * LATENCY_BUCKETS),
    slowWindows: integers(slots),
    quietWindows: integers(slots),
    probing: integers(slots),
    probedAt: floats(slots),
    passed: integers(slots),
    judged: integers(slots).fill(-1),
    judgedLatency: integers(slots).fill(-1),
    shared: integers(2),
  }
}

/** Empties the slices that have begun since the last call. */
export function turnSlices(state: OutlierState, now: number): void {
  const wanted = Math.floor(now / SLICE_MS)
  const running = Atomics.load(state.shared, SLICE)
  if (wanted <= running) return
  // The worker that wins empties the slices; for the others they are empty.
  if (Atomics.compareExchange(state.shared, SLICE, running, wanted) !== running) return
  for (let back = Math.min(wanted - running, SLICES) - 1; back >= 0; back--) {
    const start = ((wanted - back) % SLICES) * state.slots
    state.good.fill(0, start, start + state.slots)
    state.bad.fill(0, start, start + state.slots)
  }
}

/** Counts one ended call. */
export function countCall(state: OutlierState, slot: number, isGood: boolean): void {
  const at = (Atomics.load(state.shared, SLICE) % SLICES) * state.slots + slot
  Atomics.add(isGood ? state.good : state.bad, at, 1)
}

export function countLatency(state: OutlierState, slot: number, ms: number): void {
  Atomics.add(state.latencies, slot * LATENCY_BUCKETS + latencyBucket(ms), 1)
}

export function countEjection(state: OutlierState, slot: number, cause: EjectionCause): void {
  state.cause[slot] = EJECTION_CAUSES.findIndex((each) => each.cause === cause)
  Atomics.add(state.ejected, slot, 1)
}

/** Calls of a slot in the last `slices` slices. */
export function callsOf(
  state: OutlierState,
  slot: number,
  column: Int32Array,
  slices: number = SLICES,
): number {
  const running = Atomics.load(state.shared, SLICE)
  let sum = 0
  for (let back = 0; back < slices && back <= running; back++) {
    sum += column[((running - back) % SLICES) * state.slots + slot] ?? 0
  }
  return sum
}

/** Forgets the calls of a slot, but not its ejections. */
export function clearCalls(state: OutlierState, slot: number): void {
  for (let slice = 0; slice < SLICES; slice++) {
    state.good[slice * state.slots + slot] = 0
    state.bad[slice * state.slots + slot] = 0
  }
  state.latencies.fill(0, slot * LATENCY_BUCKETS, (slot + 1) * LATENCY_BUCKETS)
  state.consecutive[slot] = 0
  state.slowWindows[slot] = 0
  state.quietWindows[slot] = 0
  state.probing[slot] = 0
  state.passed[slot] = 0
}
