import { setImmediate as turn } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { cooperatively, runToEnd } from '../../../src/lib/cooperative.ts'

const never = new AbortController().signal

function* busy(steps: number, ms: number, each: () => void): Generator<void, string> {
  for (let i = 0; i < steps; i++) {
    each()
    const until = performance.now() + ms
    while (performance.now() < until);
    yield
  }
  return 'done'
}

it('long work lets the event loop have its turns', async () => {
  let turns = 0
  const watching = { on: true }
  const watch = (async () => {
    for (; watching.on; turns++) await turn()
  })()
  expect(
    await cooperatively(
      busy(10, 6, () => {}),
      never,
    ),
  ).toBe('done')
  watching.on = false
  await watch
  expect(turns).toBeGreaterThanOrEqual(9)
})

it('works that run at once share the budget and take turns', async () => {
  const order: string[] = []
  const works = ['a', 'b', 'c'].map((name) =>
    cooperatively(
      busy(3, 6, () => order.push(name)),
      never,
    ),
  )
  await turn()
  // One step was more than the budget: the others are still to come.
  expect(order.length).toBeLessThan(3)
  await Promise.all(works)
  expect(order.join('')).toBe('abcabcabc')
})

it('a work whose caller has left ends at its next step, and a failing one fails alone', async () => {
  const left = new AbortController()
  let steps = 0
  const gone = cooperatively(
    busy(1000, 6, () => steps++),
    left.signal,
  )
  const failing = cooperatively(
    (function* (): Generator<void, never> {
      yield
      throw new Error('broken')
    })(),
    never,
  )
  const fine = cooperatively(
    busy(2, 0, () => {}),
    never,
  )
  await expect(failing).rejects.toThrow('broken')
  left.abort(new Error('the caller left'))
  await expect(gone).rejects.toThrow('the caller left')
  expect(await fine).toBe('done')
  const then = steps
  await turn()
  expect(steps).toBe(then)
})

it('whoever has time gets the result at once', () => {
  expect(runToEnd(busy(3, 0, () => {}))).toBe('done')
})
