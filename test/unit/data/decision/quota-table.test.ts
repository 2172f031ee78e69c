/** Quotas by the calendar: what is charged, what the store says of it, and clocks that are set. */
import { describe, expect, it } from 'vitest'
import { accountOf } from '../../../../src/data/decision/account-places.ts'
import { allocateLimits } from '../../../../src/data/decision/limit-table.ts'
import { allocateQuotas, QuotaTable } from '../../../../src/data/decision/quota-table.ts'
import { periodOf } from '../../../../src/lib/calendar.ts'
import { formatQuota, parseQuota } from '../../../../src/lib/rate.ts'

const DAY = 86_400_000
const NOON = Date.UTC(2026, 10, 30, 12)
const ACCOUNT = accountOf('a')
const DAILY = { count: 10, per: 'day' } as const

function setUp(wall = NOON) {
  const time = { now: 0 }
  const { terms } = allocateLimits(1, 8)
  const bytes = allocateQuotas(wall, { workers: 2, places: 64 })
  const [table, worker] = [0, 1].map(
    (number) => new QuotaTable(bytes, terms, { worker: number, now: () => time.now }),
  )
  const charge = (quota = DAILY, cost = 1) => (table as QuotaTable).charge(ACCOUNT, quota, cost)
  return { time, terms, table: table as QuotaTable, worker: worker as QuotaTable, charge }
}

describe('the calendar', () => {
  it.each([
    ['day', Date.UTC(2024, 1, 29, 23, 59), '2024-02-29', DAY],
    ['month', Date.UTC(2024, 1, 29, 23, 59), '2024-02', 29 * DAY],
    ['month', Date.UTC(2026, 11, 31, 23, 59), '2026-12', 31 * DAY],
  ] as const)('knows the %s', (unit, wall, name, ms) => {
    const period = periodOf(unit, wall)
    expect(period).toMatchObject({ name })
    expect(period.until - period.from).toBe(ms)
    expect(periodOf(unit, period.until).number).toBe(period.number + 1)
  })

  it.each([
    ['10M/d', 1e7, 'day'],
    ['1G/mo', 1e9, 'month'],
    ['2500/mo', 2500, 'month'],
  ])('%s is a quota', (text, count, per) => {
    expect(parseQuota(text)).toEqual({ count, per })
    expect(formatQuota(parseQuota(text))).toBe(text)
  })

  it.each(['10M', '0/d', '1.5/d', '10/m', '10M/s', '-1/d', '1e9G/mo'])('%s is no quota', (text) => {
    expect(() => parseQuota(text)).toThrow(/10M\/d/)
  })
})

describe('a quota', () => {
  it('is one of all workers, and is refused until its day ends', () => {
    const { charge, worker } = setUp()
    for (let i = 0; i < 5; i++) {
      expect(charge()).toBe(0)
      expect(worker.charge(ACCOUNT, DAILY, 1)).toBe(0)
    }
    expect(charge()).toBe(DAY / 2)
    expect(charge(DAILY, -1)).toBe(0)
    expect(charge()).toBe(0)
  })

  it('counts what the store says of the others, and what was charged meanwhile', () => {
    const { table, charge } = setUp()
    for (let i = 0; i < 3; i++) charge()
    const uses = table.take()
    expect(uses).toMatchObject([{ period: '2026-11-30', until: NOON + DAY / 2, used: 3, known: 0 }])
    expect(table.take()).toEqual([])
    charge()
    table.counted(uses, [8], NOON)
    expect(charge()).toBe(0)
    expect(charge()).toBeGreaterThan(0)
    // What was refused is asked about, or a count that was put back would never be seen.
    expect(table.take()).toMatchObject([{ used: 2, known: 8 }])
  })

  it('goes on with what was used where it is changed', () => {
    const { charge } = setUp()
    for (let i = 0; i < 10; i++) charge()
    expect(charge()).toBeGreaterThan(0)
    expect(charge({ count: 11, per: 'day' } as unknown as typeof DAILY)).toBe(0)
  })

  it('of which others are not heard is divided', () => {
    const { table, terms, charge } = setUp()
    charge()
    table.counted(table.take(), [4], NOON)
    terms.share[0] = 0.5
    for (let i = 0; i < 3; i++) expect(charge()).toBe(0)
    expect(charge()).toBeGreaterThan(0)
  })

  it('is neither reset nor doubled by a clock that is set', () => {
    const { table, charge, time } = setUp()
    for (let i = 0; i < 10; i++) charge()
    const uses = table.take()
    table.counted(uses, [10], NOON)
    expect(charge()).toBeGreaterThan(0)
    // This machine's clock is not asked. The store's goes to the next day and back.
    table.counted([], [], NOON + DAY)
    for (let i = 0; i < 4; i++) expect(charge()).toBe(0)
    const next = table.take()
    expect(next).toMatchObject([{ period: '2026-12-01', used: 4 }])
    table.counted(next, [4], NOON)
    // The first charge asks the store, which has kept the count of the day.
    charge()
    const back = table.take()
    expect(back).toMatchObject([{ period: '2026-11-30' }])
    table.counted(back, [11], NOON)
    expect(charge()).toBeGreaterThan(0)
    time.now += DAY / 2
    expect(charge()).toBe(0)
  })
})

describe('what is reserved of a quota', () => {
  const settle = (table: QuotaTable, cost: number, used: number) =>
    table.settle(ACCOUNT, DAILY, { cost, used })

  it('counts until it is settled, and the store hears of what was used alone', () => {
    const { table, worker } = setUp()
    expect(table.reserve(ACCOUNT, DAILY, 8)).toBe(0)
    expect(worker.reserve(ACCOUNT, DAILY, 8)).toBe(0)
    expect(table.reserve(ACCOUNT, DAILY, 1)).toBe(DAY / 2)
    expect(table.take()).toMatchObject([{ used: 0 }])
    settle(table, 8, 3)
    expect(table.reserve(ACCOUNT, DAILY, 0)).toBeGreaterThan(0)
    settle(worker, 8, 2)
    expect(table.take()).toMatchObject([{ used: 5, known: 0 }])
    expect(table.reserve(ACCOUNT, DAILY, 0)).toBe(0)
  })

  it('is charged to the day in which the call ends', () => {
    const { table, time } = setUp()
    table.reserve(ACCOUNT, DAILY, 8)
    time.now += DAY
    settle(table, 8, 3)
    expect(table.take()).toMatchObject([{ period: '2026-12-01', used: 3 }])
    expect(table.reserve(ACCOUNT, DAILY, 7)).toBe(0)
    expect(table.reserve(ACCOUNT, DAILY, 1)).toBeGreaterThan(0)
  })

  it('turns out to be no more than a whole quota, whatever an answer says', () => {
    const { table } = setUp()
    table.reserve(ACCOUNT, DAILY, 1)
    settle(table, 1, Number.MAX_SAFE_INTEGER)
    expect(table.take()).toMatchObject([{ used: 10 }])
  })
})
