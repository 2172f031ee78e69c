import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { Poll } from '../../../src/lib/poll.ts'
import { FakeClock } from '../../support/fake-clock.ts'

function polling() {
  const clock = new FakeClock()
  const rounds: PromiseWithResolvers<void>[] = []
  const errors: unknown[] = []
  const poll = new Poll({
    clock,
    ms: 100,
    run() {
      const round = Promise.withResolvers<void>()
      rounds.push(round)
      return round.promise
    },
    failed: (error) => void errors.push(error),
  })
  const end = async (at: number, error?: Error) => {
    if (error) rounds[at]?.reject(error)
    else rounds[at]?.resolve()
    await turn()
  }
  return { clock, rounds, errors, poll, end }
}

it('pauses from the end of one round to the next, also of one that failed', async () => {
  const { clock, rounds, errors, poll, end } = polling()
  poll.start()
  poll.start()
  expect(rounds).toHaveLength(0)
  clock.advance(100)
  expect(rounds).toHaveLength(1)
  clock.advance(1000)
  expect(rounds).toHaveLength(1)
  await end(0, new Error('no'))
  expect(errors).toEqual([new Error('no')])
  clock.advance(99)
  expect(rounds).toHaveLength(1)
  clock.advance(1)
  expect(rounds).toHaveLength(2)
})

it('stopped, it begins no round, and started again while one runs, one at a time', async () => {
  const { clock, poll, end } = polling()
  poll.start()
  clock.advance(100)
  poll.stop()
  await end(0)
  expect(clock.pending).toBe(0)
  poll.start()
  clock.advance(100)
  poll.stop()
  poll.start()
  await end(1)
  expect(clock.pending).toBe(1)
})
