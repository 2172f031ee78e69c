/** Waiting for a claim to become true. */
import { vi } from 'vitest'

/** Calls `check` until it stops throwing, for five seconds at most, and gives what it gave. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: 5_000, interval: 10 })
}
