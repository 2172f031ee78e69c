/** What comes in time, or what stands for it: a wait that has a bound of its own. */
import type { Clock } from './clock.ts'

/** What `coming` brings within `ms`, otherwise `late`. What comes too late is dropped, a failure too. */
export async function soon<T, L>(
  clock: Pick<Clock, 'after'>,
  coming: Promise<T>,
  { ms, late }: { readonly ms: number; readonly late: L },
): Promise<T | L> {
  let cancel = () => {}
  const timeUp = new Promise<L>((resolve) => {
    // What has arrived while the event loop was busy is read before the time is declared to be up.
    cancel = clock.after(ms, () => setImmediate(() => resolve(late)))
  })
  try {
    return await Promise.race([coming, timeUp])
  } finally {
    cancel()
  }
}
