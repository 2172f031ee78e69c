/**
 * What backends say of their own load, in the shared table. It adds to the calls counted here and never replaces them: a
 * report is old when it arrives, and if it were believed alone, all calls between two reports would go to one backend.
 *
 *   calls outstanding = calls known here + calls that the report had beyond those known when it came + a barrier
 *
 * The barrier grows with the use of the backend's KV cache as the waiting time of a queue does, k / (1 - k): a backend whose
 * cache is nearly full must soon preempt calls, however few it has.
 */
import { type BackendLoad, LOAD_FAULTS, type LoadFault } from '../../core/backend-load.ts'

/** The reports by slot. A number that was not reported is -1. */
export interface ReportTable {
  /** Monotonic time of the last good report; 0: none. */
  readonly at: Float64Array
  readonly running: Float64Array
  readonly waiting: Float64Array
  readonly utilization: Float64Array
  /** In calls, what the report adds to those that are known here; 0 without a report, and once it is too old. */
  readonly beyond: Float64Array
  /** Why the last report was ignored, as the place of the reason in `LOAD_FAULTS`; -1: it was not. */
  readonly fault: Int32Array
}

const FAULTS = Object.keys(LOAD_FAULTS) as readonly LoadFault[]

export function createReportTable(slots: number): ReportTable {
  const floats = () => new Float64Array(new SharedArrayBuffer(slots * 8))
  return {
    at: floats(),
    running: floats(),
    waiting: floats(),
    utilization: floats(),
    beyond: floats(),
    fault: new Int32Array(new SharedArrayBuffer(slots * 4)),
  }
}

/** Takes over a report, or why there is none. `known`: the calls that are counted here at the same time. */
export function reportLoad(
  reports: ReportTable,
  slot: number,
  report: BackendLoad | LoadFault,
  { now, known }: { readonly now: number; readonly known: number },
): void {
  if (typeof report === 'string') {
    reports.fault[slot] = FAULTS.indexOf(report)
    return
  }
  const { running, waiting, utilization } = report
  reports.running[slot] = running ?? -1
  reports.waiting[slot] = waiting ?? -1
  reports.utilization[slot] = utilization ?? -1
  reports.fault[slot] = -1
  reports.at[slot] = now
  const told = (running ?? 0) + (waiting ?? 0)
  reports.beyond[slot] = Math.max(0, told - known) + barrier(utilization ?? 0)
}

/** Forgets what the reports older than `maxAgeMs` add. A backend without a report is not taken for a busy one. */
export function expireReports(
  reports: ReportTable,
  slots: Int32Array,
  { now, maxAgeMs }: { readonly now: number; readonly maxAgeMs: number },
): void {
  for (const slot of slots) {
    const at = reports.at[slot] ?? 0
    if (at === 0 || now - at <= maxAgeMs) continue
    reports.at[slot] = 0
    reports.beyond[slot] = 0
    if (reports.fault[slot] === -1) reports.fault[slot] = FAULTS.indexOf('stale')
  }
}

export function forgetReport(reports: ReportTable, slot: number): void {
  reports.at[slot] = 0
  reports.beyond[slot] = 0
  reports.fault[slot] = 0
}

/** What the backend says of its load now, for people. */
export function reportOf(reports: ReportTable, slot: number): BackendLoad | LoadFault {
  const fault = reports.fault[slot] ?? 0
  if ((reports.at[slot] ?? 0) === 0) return FAULTS[fault] ?? 'none'
  const told = (value = -1) => (value < 0 ? undefined : value)
  const [running, waiting] = [told(reports.running[slot]), told(reports.waiting[slot])]
  const utilization = told(reports.utilization[slot])
  return {
    ...(running === undefined ? {} : { running }),
    ...(waiting === undefined ? {} : { waiting }),
    ...(utilization === undefined ? {} : { utilization }),
  }
}

/** Calls' worth of a cache that is more than half full (0.15 k / (1 - k), as SGLang's gateway has it); bounded at 99 %. */
function barrier(utilization: number): number {
  const used = Math.min(utilization, 0.99)
  return used <= 0.5 ? 0 : 0.15 * (used / (1 - used) - 1)
}
