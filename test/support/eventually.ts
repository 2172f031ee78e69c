/** Waiting in tests: for a claim to become true, never for a time to pass. */

/** Calls `check` until it stops throwing, and gives what it gave; after `timeoutMs`, which a busy machine can bear, throws what it threw last. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 20_000 }: { timeoutMs?: number } = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() >= deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}
