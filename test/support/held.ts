/** A backend that holds its answers back until a test has seen what it waits for. */
import { expect } from 'vitest'
import type { ScriptedBackend } from './backend.ts'
import { eventually } from './eventually.ts'
import type { RunningGateway } from './gateway.ts'

export interface HeldAnswers {
  /** Resolves when so many calls have reached the backend. */
  asked(count: number): Promise<void>
  /** Answers what was held, and whatever comes from now on. */
  release(): void
}

export function hold(backend: ScriptedBackend): HeldAnswers {
  const script = backend.script
  const held: (() => void)[] = []
  backend.script = (...all) => void held.push(() => void script(...all))
  return {
    asked: (count) => eventually(() => expect(held.length).toBe(count)),
    release() {
      backend.script = script
      for (const answer of held.splice(0)) answer()
    },
  }
}

/**
 * Resolves when every worker of a gateway has read what was sent to it before, with how many questions that took. A worker
 * takes connections in the order in which they were made: the first question that it answers came behind our connections,
 * the second behind what was written on them.
 */
export async function hasRead(gateway: RunningGateway): Promise<number> {
  const before = await answeredBy(gateway)
  let asked = 0
  await eventually(async () => {
    asked++
    await gateway.get('/nowhere')
    const now = await answeredBy(gateway)
    for (const [worker, count] of before) expect(now.get(worker)).toBeGreaterThanOrEqual(count + 2)
  })
  return asked
}

/** Calls that each worker has answered. */
async function answeredBy(gateway: RunningGateway): Promise<ReadonlyMap<string, number>> {
  const { text } = await gateway.ask('/metrics')
  const samples = text.matchAll(/^infergate_worker_calls_total\{worker="(\d+)"\} (\d+)$/gm)
  return new Map([...samples].map(([, worker = '', count]) => [worker, Number(count)]))
}
