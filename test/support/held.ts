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
 * Resolves when a gateway of one worker has read what was sent to it before: it takes connections in the order in which they
 * were made, on one port. The first question comes behind our connections, the second behind what was written on them.
 */
export async function hasRead(gateway: RunningGateway): Promise<void> {
  for (let i = 0; i < 2; i++) await gateway.get('/nowhere')
}
