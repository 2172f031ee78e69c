import { describe, expect, it } from 'vitest'
import { RetryBudget, retryDelayMs } from '../../../../../src/data/balance/limits/retry-budget.ts'

/** Every call fails and is retried up to three times if the budget allows; the retries. */
function retries(perSecond: number, seconds: number, budget: RetryBudget): number {
  let count = 0
  for (let call = 0; call < perSecond * seconds; call++) {
    const now = (call * 1_000) / perSecond
    budget.deposit()
    let taken = 0
    while (taken < 3 && budget.tryWithdraw(now)) taken++
    budget.ended(taken)
    count += taken
  }
  return count
}

const BURST = 10

describe('the retry budget', () => {
  it.each([60, 200, 2_000])(
    'at %i failing calls a second adds a fifth of the load, and the burst once',
    (perSecond) => {
      expect(retries(perSecond, 60, new RetryBudget())).toBeLessThanOrEqual(0.2 * perSecond * 60 + BURST)
    },
  )

  it.each([2_000, 50, 5])(
    'after ten good seconds at 1,000 calls a second, 24 at a time, adds no more at %i failing ones a second, however long they take',
    (perSecond) => {
      const budget = new RetryBudget()
      for (let call = 0; call < 10_000; call++) budget.deposit(24)
      const [calls, lastingMs] = [perSecond * 6, 24_000 / perSecond]
      const running: number[] = []
      let count = 0
      for (let call = 0; call < calls; call++) {
        const now = 10_000 + (call * 1_000) / perSecond
        while ((running[0] ?? Infinity) <= now && running.shift() !== undefined) budget.ended(1)
        budget.deposit(24)
        if (!budget.tryWithdraw(now)) continue
        running.push(now + lastingMs)
        count++
      }
      expect(count).toBeLessThanOrEqual(0.25 * calls + 24 / 2)
    },
  )

  it('has no debt: the calls after a failure of all bring in retries at once', () => {
    const budget = new RetryBudget({ minPerSecond: 0 })
    for (let call = 0; call < 10_000; call++) budget.deposit(24)
    for (let now = 10_000; now < 13_000; now++) {
      budget.deposit(24)
      if (budget.tryWithdraw(now)) budget.ended(1)
    }
    for (let call = 0; call < 10; call++) budget.deposit(24)
    expect([budget.tryWithdraw(13_000), budget.tryWithdraw(13_000)]).toEqual([true, true])
  })

  it('saves up enough for the calls of a backend that dies, one of two', () => {
    const budget = new RetryBudget()
    for (let call = 0; call < 5_000; call++) budget.deposit(400)
    for (let call = 0; call < 200; call++) expect(budget.tryWithdraw(1)).toBe(true)
  })

  it('lets a quiet pool retry', () => {
    const budget = new RetryBudget()
    budget.deposit()
    expect([budget.tryWithdraw(0), budget.tryWithdraw(1)]).toEqual([true, true])
  })

  it('lets a quiet pool of slow calls retry three at a time', () => {
    const budget = new RetryBudget()
    const take = (now: number) => [1, 2, 3, 4].map(() => budget.tryWithdraw(now))
    expect(take(0)).toEqual([true, true, true, false])
    expect(take(60_000)).toEqual([false, false, false, false])
    budget.ended(2)
    expect(take(60_000)).toEqual([true, true, false, false])
  })

  it('is paid back by calls, five for a retry', () => {
    const budget = new RetryBudget({ minPerSecond: 0 })
    for (let call = 0; call < 9; call++) budget.deposit()
    expect([budget.tryWithdraw(100), budget.tryWithdraw(100)]).toEqual([true, false])
    budget.deposit()
    expect(budget.tryWithdraw(200)).toBe(true)
  })

  it('pays hedges too, from what calls brought in', () => {
    const budget = new RetryBudget()
    expect(budget.tryWithdrawEarned(0)).toBe(false)
    for (let call = 0; call < 5; call++) budget.deposit()
    expect(budget.tryWithdrawEarned(0)).toBe(true)
    expect(budget.left(0)).toBe(9)
  })

  it('of 0 percent and no reserve never allows one', () => {
    const budget = new RetryBudget({ percent: 0, minPerSecond: 0 })
    for (let call = 0; call < 1_000; call++) budget.deposit()
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
