import { describe, expect, it } from 'vitest'
import { RetryBudget, retryDelayMs } from '../../../../src/data/balance/retry-budget.ts'

/** Every call fails and is retried up to three times if the budget allows; attempts for each call. */
function amplification(perSecond: number, seconds: number, budget: RetryBudget): number {
  let attempts = 0
  for (let call = 0; call < perSecond * seconds; call++) {
    const now = (call * 1_000) / perSecond
    budget.deposit(now)
    attempts++
    for (let retry = 0; retry < 3; retry++) if (budget.tryWithdraw(now)) attempts++
  }
  return attempts / (perSecond * seconds)
}

describe('the retry budget', () => {
  it.each([60, 200, 2_000])('at %i failing calls a second keeps the load within 1.2 times', (perSecond) => {
    expect(amplification(perSecond, 60, new RetryBudget())).toBeLessThanOrEqual(1.2)
  })

  it('pays retries from what calls brought in before, and still keeps ten seconds within bounds', () => {
    const budget = new RetryBudget()
    for (let call = 0; call < 2_000; call++) budget.deposit(call * 5)
    let retries = 0
    for (let call = 2_000; call < 4_000; call++) {
      budget.deposit(call * 5)
      if (budget.tryWithdraw(call * 5)) retries++
    }
    expect(retries / 2_000).toBeLessThanOrEqual(0.22)
  })

  it('lets a quiet pool retry', () => {
    const budget = new RetryBudget()
    budget.deposit(0)
    expect([budget.tryWithdraw(0), budget.tryWithdraw(1)]).toEqual([true, true])
  })

  it('is paid back by calls, five for a retry', () => {
    const budget = new RetryBudget({ minPerSecond: 0 })
    for (let call = 0; call < 9; call++) budget.deposit(100)
    expect([budget.tryWithdraw(100), budget.tryWithdraw(100)]).toEqual([true, false])
    budget.deposit(200)
    expect(budget.tryWithdraw(200)).toBe(true)
  })

  it('does not save up for longer than its window', () => {
    const budget = new RetryBudget({ minPerSecond: 0 })
    for (let call = 0; call < 100; call++) budget.deposit(0)
    expect(budget.left(9_999)).toBe(20)
    expect(budget.left(10_000)).toBe(0)
  })

  it('of 0 percent and no reserve never allows one', () => {
    const budget = new RetryBudget({ percent: 0, minPerSecond: 0 })
    for (let call = 0; call < 1_000; call++) budget.deposit(call)
    expect(budget.tryWithdraw(1_000)).toBe(false)
  })
})

describe('the wait before a retry', () => {
  it('is anywhere below a bound that doubles, up to the maximum', () => {
    const top = (attempt: number) => retryDelayMs(attempt, () => 0.999_999)
    expect([0, 1, 2, 5, 6, 40].map((attempt) => Math.round(top(attempt)))).toEqual([
      25, 50, 100, 800, 1000, 1000,
    ])
    expect(retryDelayMs(3, () => 0)).toBe(0)
  })
})
