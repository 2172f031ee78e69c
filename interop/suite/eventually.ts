/** Waits until a check no longer throws, never for a time to pass. */

export interface Patience {
  readonly timeoutMs: number
  readonly everyMs?: number
}

/** Gives what `check` gave; after `timeoutMs` rejects with what it threw last. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs, everyMs = 50 }: Patience,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() >= deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
  }
}

/** Rejects when `work` takes longer than it may. */
export async function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${timeoutMs / 1000} s`)), timeoutMs)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
