/**
 * What a backend says of its own load, over its metrics page or on its answers, as both planes know it. It comes from
 * outside: a number that cannot be true is refused, and the reason is one of a closed set.
 */
export interface BackendLoad {
  /** Calls that the backend works on, whoever sent them. */
  readonly running?: number
  /** Calls that wait there. */
  readonly waiting?: number
  /** The share in use, in [0, 1], of what bounds the backend: its KV cache, or else what it calls its utilization. */
  readonly utilization?: number
}

/** Why there is no report, or why it is ignored. */
export type LoadFault = 'none' | 'stale' | 'unreachable' | 'refused' | 'too large' | 'malformed' | 'unknown'

/** For people. The order is that of the numbers in the load table. */
export const LOAD_FAULTS: Readonly<Record<LoadFault, string>> = {
  none: 'it has said nothing yet',
  stale: 'its last report is too old',
  unreachable: 'its metrics page cannot be reached',
  refused: 'its metrics page is answered with an error',
  'too large': 'its metrics page is larger than 2 MiB',
  malformed: 'a number of its report is none, is negative or is too large',
  unknown: 'its report has none of the known metrics',
}

/** No backend has more calls than this: a larger number would keep it from every call. */
const MAX_CALLS = 1e6
/** A cache that is a little over full is full; 130 of 1 is a percentage, and means something else. */
const MAX_UTILIZATION = 2

/** The report with its numbers checked, or why it is ignored. */
export function checkedLoad(load: BackendLoad): BackendLoad | LoadFault {
  const { running, waiting, utilization } = load
  if (running === undefined && waiting === undefined && utilization === undefined) return 'unknown'
  if (!isWithin(running, MAX_CALLS) || !isWithin(waiting, MAX_CALLS)) return 'malformed'
  if (!isWithin(utilization, MAX_UTILIZATION)) return 'malformed'
  return utilization !== undefined && utilization > 1 ? { ...load, utilization: 1 } : load
}

function isWithin(value: number | undefined, most: number): boolean {
  return value === undefined || (value >= 0 && value <= most)
}
