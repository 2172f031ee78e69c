/** Waits for a promise for a limited time, with a value to use when it is late. */
import type { Clock } from './clock.ts'

/** The outcome of `promise` within `ms`, otherwise `fallback`. A late value or error is dropped. */
export async function withTimeout<T, L>(
  clock: Pick<Clock, 'after'>,
  promise: Promise<T>,
  { ms, fallback }: { readonly ms: number; readonly fallback: L },
): Promise<T | L> {
  let cancel = () => {}
  const timeout = new Promise<L>((resolve) => {
    // Answers that arrived while the event loop was blocked are read before the timeout takes effect.
    cancel = clock.after(ms, () => setImmediate(() => resolve(fallback)))
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    cancel()
  }
}
