/**
 * Time, passed in wherever it decides something, so that tests and the simulator own it.
 *
 * Two times on purpose: `now` never jumps and measures waits; `wall` is what other processes can read,
 * and may be stepped by NTP, so nothing that must not go backwards is computed from it.
 */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin. */
  now(): number
  /** Milliseconds since the Unix epoch. */
  wall(): number
  /** Calls `run` once after `ms`; the returned function cancels it. Does not keep the process alive. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    timer.unref()
    return () => clearTimeout(timer)
  },
}
