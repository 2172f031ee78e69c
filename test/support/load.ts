/** Calls without pause while a test does something else: what they were answered is counted, not awaited. */
import { onTestFinished } from 'vitest'
import type { RawAnswer } from './http.ts'

export interface Load {
  readonly answers: RawAnswer[]
  /** Calls that got no answer at all. */
  readonly broken: unknown[]
  /** Answers so far that are no 200. */
  failed(): RawAnswer[]
  /** Ends it; resolves when the last call is answered. */
  stop(): Promise<void>
}

/** `send` is told how many calls came before; `callers` of them run at a time, until the test's end at the latest. */
export function startLoad(send: (n: number) => Promise<RawAnswer>, callers = 8): Load {
  const answers: RawAnswer[] = []
  const broken: unknown[] = []
  const state = { stopped: false, n: 0 }
  const running = Promise.all(
    Array.from({ length: callers }, async () => {
      while (!state.stopped) {
        try {
          answers.push(await send(state.n++))
        } catch (error) {
          broken.push(error)
        }
      }
    }),
  )
  const stop = async () => {
    state.stopped = true
    await running
  }
  onTestFinished(stop)
  return {
    answers,
    broken,
    failed: () => answers.filter(({ status }) => status !== 200),
    stop,
  }
}
