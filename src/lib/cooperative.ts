/**
 * Long work in short turns: a generator that yields every few milliseconds, at the latest, is run to its end while
 * everything else has its turn in between. All such work of a thread shares one budget a turn of the event loop, so
 * that twenty long bodies at once keep the others waiting no longer than one does.
 */
import { setImmediate as immediate } from 'node:timers/promises'
import type { Signal } from './cancel.ts'

const BUDGET_MS = 5

/** Does one step; false when there is no other. */
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

/** Everything else has had its turn. */
export function nextTurn(): Promise<void> {
  return immediate()
}

/** Each work in turn does a step, until the time is up. One that is under way stays first in line until it has done it. */
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

/** A generator's result at once, for whoever has time. */
export function runToEnd<T>(steps: Generator<void, T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}
