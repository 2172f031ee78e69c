/** Scale signals as a scaler gives them, for tests of what carries them. */
import type { ScaleSignal } from '../../src/control/scale/signal.ts'

/** A signal that asks for so many replicas; equal numbers have equal ids. */
export function signalFor(pool: string, desired: number, token = 1): ScaleSignal {
  return {
    id: `${pool}-${desired}-${token}`,
    token,
    pool,
    atMs: 1_800_000_000_000,
    validUntilMs: 1_800_000_090_000,
    decision: {
      at: 0,
      desired,
      from: 1,
      ready: 1,
      starting: 0,
      min: 0,
      max: 20,
      direction: 'up',
      mode: 'steady',
      reason: 'load_rose',
      sloFeasible: true,
      scalingIneffective: false,
      isCapped: false,
      signals: {
        missesPerSecond: 10,
        callsPerSecond: 10,
        hitRatio: 0,
        concurrency: { mean: 1, p95: 2 },
        erlangs: 1,
        slotsPerReplica: 1,
        slotsKnown: true,
        slotsNeeded: desired,
        drainSlots: 0,
        queue: 0,
        inflight: 1,
        expectedLate: 0,
        trim: 1,
        dispersion: 1,
        startMs: 1_000,
        holdMs: 1_000,
        returns: 0,
        longestAbsenceMs: 0,
        reversals: 0,
      },
      sentence: 'the load rose.',
    },
  }
}
