/**
 * Cooperative multitasking: runs generators, which yield every few milliseconds, so that long work does not block the
 * event loop. All such work of a thread shares one time budget for each turn of the event loop: twenty long bodies at
 * once delay other calls no longer than one does.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import type { Signal } from './cancel.ts'

const BUDGET_MS = 5

/** Does one step; returns false when the work is done. */
type Work = () => boolean

const waiting: Work[] = []

/** The generator's result. Rejects with the signal's reason at the first step after it is aborted. */
export function cooperatively<T>(steps: Generator<void, T>, signal: Signal): Promise<T> {
  return new Promise((resolve, reject) => {
    waiting.push(() => {
      try {
        if (signal.aborted) throw signal.reason
        const { done, value } = steps.next()
        if (done) resolve(value)
        return !done
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)))
        return false
      }
    })
    if (waiting.length === 1) setImmediate(turn)
  })
}

/** Resolves in the next turn of the event loop, after all pending I/O was handled. */
export function nextTurn(): Promise<void> {
  return immediate()
}

/**
 * Runs one step of each work in turn until the budget is spent. A work in the middle of a step stays first in the
 * queue.
 */
function turn(): void {
  const until = performance.now() + BUDGET_MS
  do {
    const work = waiting[0] as Work
    const hasMore = work()
    waiting.shift()
    if (hasMore) waiting.push(work)
  } while (waiting.length > 0 && performance.now() < until)
  if (waiting.length > 0) setImmediate(turn)
}

/** Runs a generator to its end without pauses, for callers that may block. */
export function runToEnd<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
