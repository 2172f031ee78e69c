/**
 * What is known of each backend's load, as a struct of arrays: one column a fact, one row a slot. The arrays
 * may lie in a SharedArrayBuffer, so that all data workers count in one place.
 */

export const MAX_SLOTS = 1024

export interface LoadTable {
  /** Calls sent and not finished. */
  readonly inflight: Int32Array
  /** Static weight; 1 is the ordinary backend. */
  readonly weight: Float64Array
  /** Smoothed latency in milliseconds and the monotonic time of its last sample; 0: never seen. */
  readonly ewmaMs: Float64Array
  readonly ewmaAt: Float64Array
  /** Monotonic time since when the backend is ready, for slow start. */
  readonly readyAt: Float64Array
}

export function createLoadTable(slots: number = MAX_SLOTS): LoadTable {
  return {
    inflight: new Int32Array(new SharedArrayBuffer(slots * 4)),
    weight: new Float64Array(new SharedArrayBuffer(slots * 8)).fill(1),
    ewmaMs: new Float64Array(new SharedArrayBuffer(slots * 8)),
    ewmaAt: new Float64Array(new SharedArrayBuffer(slots * 8)),
    readyAt: new Float64Array(new SharedArrayBuffer(slots * 8)),
  }
}
