/**
 * The clock that every part is given, so that tests and the simulator control time.
 *
 * `now` is monotonic and measures waits. `wall` is the time that other processes see; NTP may step it back, so nothing
 * that must not go backwards is computed from it.
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
