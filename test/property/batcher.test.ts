/**
 * The batcher under random callers, delays, refusals and failures: every caller settles once with the answers to
 * his own rows in order, no request is larger than it may be, and nothing is left behind.
 */
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createBatcher } from '../../src/data/batch/batcher.ts'
import type { Batched, BatchShare } from '../../src/data/batch/submission.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MAX_BYTES = 40

const caller = fc.record({
  at: fc.nat(30),
  group: fc.constantFrom('one', 'two'),
  rows: fc.nat(12),
  bytes: fc.nat(60),
  isPoison: fc.nat(9).map((n) => n === 0),
  leavesAfter: fc.option(fc.nat(20), { nil: undefined, freq: 5 }),
  patienceMs: fc.integer({ min: 20, max: 200 }),
})

interface Row {
  readonly caller: number
  readonly place: number
}

interface Request {
  readonly rows: readonly Row[]
  readonly callers: readonly number[]
  readonly group: string
}

describe('the batcher', () => {
  it('settles every caller once with his own answers, within all bounds', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(caller, { minLength: 1, maxLength: 16 }),
        fc.record({
          maxRows: fc.integer({ min: 1, max: 8 }),
          maxBatch: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
          maxDelayMs: fc.nat(10),
          capacity: fc.nat(3),
          maxWaiting: fc.integer({ min: 1, max: 20 }),
        }),
        fc.array(fc.record({ ms: fc.nat(15), fails: fc.nat(14).map((n) => n === 0) }), {
          minLength: 1,
          maxLength: 8,
        }),
        async (callers, bounds, services) => {
          const clock = new FakeClock()
          const requests: Request[] = []
          let running = 0
          const send = (shares: readonly BatchShare<number, Row>[]): Promise<Batched<string, string>> => {
            const rows = shares.flatMap((share) => share.rows)
            const names = shares.map(({ job }) => job)
            const service = services[requests.length % services.length] ?? { ms: 0, fails: false }
            requests.push({ rows, callers: names, group: callers[names[0] as number]?.group ?? '' })
            for (const share of shares)
              expect(share.rows).toEqual(
                share.rows.map((_, i) => ({ caller: share.job, place: share.from + i })),
              )
            running++
            return new Promise((resolve, reject) => {
              clock.after(service.ms, () => {
                running--
                if (service.fails) return reject(new Error('down'))
                if (names.some((name) => callers[name]?.isPoison))
                  return resolve({ refused: names.join(' ') })
                resolve({ answers: rows.map((row) => `${row.caller}/${row.place}`) })
              })
            })
          }
          const batcher = createBatcher<number, Row, string, string>({
            ...bounds,
            send,
            clock,
            maxBytes: MAX_BYTES,
            maxBatch: () => bounds.maxBatch,
            busy: () => running >= bounds.capacity,
            serviceMs: () => 10,
          })
          const settled: (PromiseSettledResult<Batched<string, string>> | undefined)[] = []
          for (let now = 0; now < 400; now++) {
            for (const [n, each] of callers.entries()) {
              if (each.at !== now) continue
              const cancel = new AbortController()
              if (each.leavesAfter !== undefined)
                clock.after(each.leavesAfter, () => cancel.abort(new Error('left')))
              const rows = Array.from({ length: each.rows }, (_, place) => ({ caller: n, place }))
              void Promise.allSettled([
                batcher.submit({
                  group: each.group,
                  job: n,
                  rows,
                  bytes: each.bytes,
                  deadline: clock.now() + each.patienceMs,
                  signal: cancel.signal,
                }),
              ]).then(([result]) => {
                expect(settled[n]).toBeUndefined()
                settled[n] = result
              })
            }
            expect(batcher.waiting).toBeLessThanOrEqual(bounds.maxWaiting)
            await turn()
            clock.advance(1)
          }
          const limit = Math.min(bounds.maxRows, bounds.maxBatch ?? bounds.maxRows)
          for (const { rows, callers: names, group } of requests) {
            expect(rows.length).toBeGreaterThan(0)
            expect(rows.length).toBeLessThanOrEqual(limit)
            expect(new Set(names.map((name) => callers[name]?.group))).toEqual(new Set([group]))
            const bytes = rows.reduce(
              (sum, row) => sum + (callers[row.caller]?.bytes ?? 0) / (callers[row.caller]?.rows ?? 1),
              0,
            )
            expect(rows.length === 1 || bytes <= MAX_BYTES + 1e-6).toBe(true)
          }
          for (const [n, each] of callers.entries()) {
            const result = settled[n]
            const times = Array.from(
              { length: each.rows },
              (_, place) =>
                requests.filter(({ rows }) => rows.some((row) => row.caller === n && row.place === place))
                  .length,
            )
            expect(Math.max(0, ...times)).toBeLessThanOrEqual(2)
            if (result?.status === 'fulfilled' && 'answers' in result.value)
              expect(result.value.answers).toEqual(times.map((_, place) => `${n}/${place}`))
            else if (result?.status === 'fulfilled' && 'refused' in result.value)
              expect([result.value.refused, each.isPoison]).toEqual([`${n}`, true])
            else
              expect(String(result?.status === 'rejected' ? result.reason : result)).toMatch(
                each.leavesAfter === undefined ? /down/ : /down|left/,
              )
          }
          expect([batcher.waiting, batcher.sending]).toEqual([0, 0])
        },
      ),
      { numRuns: 150 },
    )
  })
})
