import { expect, it } from 'vitest'
import { Condition } from '../../../src/lib/condition.ts'

it('wakes its waiter with the next notification, and once', async () => {
  const condition = new Condition()
  let woken = 0
  condition.notify()
  const waiting = condition.wait().then(() => woken++)
  await Promise.resolve()
  expect(woken).toBe(0)
  condition.notify()
  condition.notify()
  await waiting
  expect(woken).toBe(1)
})
