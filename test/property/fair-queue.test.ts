import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TenantShare } from '../../src/core/tenant-share.ts'
import { FairQueue } from '../../src/data/balance/fair/fair-queue.ts'
import type { FairEntry } from '../../src/data/balance/fair/flow.ts'
import { Accounts, createShareTable } from '../../src/data/balance/fair/share-table.ts'

const CAPACITY = { meanServiceMs: 0, medianServiceMs: 0, limits: 1 }

const shares = fc
  .array(fc.record({ weight: fc.constantFrom(0.5, 1, 2, 3, 10), priority: fc.nat(2) }), {
    minLength: 2,
    maxLength: 6,
  })
  .map((all) => all.map((one, at): TenantShare => ({ ...one, tenant: `t${at}`, floor: 0 })))

function accounts(): Accounts {
  return new Accounts(createShareTable(8, 1), { workers: 1, worker: 0, column: 0, pool: 1 })
}

describe('the fair queue under any sequence', () => {
  const move = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant('enter' as const), by: fc.nat(5), due: fc.nat(400) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('serve' as const), cost: fc.integer({ min: 1, max: 64 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('pass' as const), most: fc.integer({ min: 1, max: 3 }) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), which: fc.nat(40) }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('promote' as const), which: fc.nat(40), by: fc.nat(5) }),
    },
  )

  it('gives each call back once, is never longer than its bound, and ends with nothing counted', () => {
    fc.assert(
      fc.property(shares, fc.array(fc.tuple(move, fc.nat(40)), { maxLength: 200 }), (all, moves) => {
        const fate = new Map<number, string>()
        const settle = (call: number, what: string) => {
          expect(fate.has(call)).toBe(false)
          fate.set(call, what)
        }
        const books = accounts()
        const queue = new FairQueue<number>(books, settle, { maxDepth: 15, maxWaitMs: 300 })
        const waiting: FairEntry<number>[] = []
        const shareAt = (at: number) => all[at % all.length] as TenantShare
        let [now, calls] = [0, 0]
        for (const [next, ms] of moves) {
          now += ms
          const some = 'which' in next ? waiting[next.which % Math.max(1, waiting.length)] : undefined
          if (next.kind === 'enter') {
            const waiter = { share: shareAt(next.by), deadline: now + next.due }
            const result = queue.enter(calls++, waiter, { now, capacity: CAPACITY })
            if ('refused' in result) settle(calls - 1, result.refused)
            else waiting.push(result.entry)
          } else if (next.kind === 'leave') {
            if (some && queue.remove(some)) settle(some.item, 'left')
          } else if (next.kind === 'promote') {
            if (some) queue.promote(some, shareAt(next.by))
          } else {
            const entry = queue.take(now, 0)
            if (entry && next.kind === 'pass') queue.pass(entry, next.most)
            else if (entry && next.kind === 'serve') {
              queue.serve(entry, [{ share: entry.flow.share, cost: next.cost }])
              settle(entry.item, 'served')
            }
            queue.resume()
          }
          expect(queue.depth).toBeLessThanOrEqual(15)
          expect(queue.depth).toBe(queue.calls.reduce((sum, count) => sum + count, 0))
          expect(queue.next() === undefined).toBe(queue.depth === 0)
        }
        queue.expire(now + 1_000)
        expect(fate.size).toBe(calls)
        expect([queue.depth, ...queue.weights]).toEqual([0, 0, 0, 0])
        for (const share of all) expect(books.waiting(books.of(share))).toBe(0)
      }),
      { numRuns: 300 },
    )
  })

  // The bound of Goyal, Vin and Cheng for two that wait all the time.
  it('serves two tenants of a class, while both wait, as much for their weights, but for one call of each', () => {
    fc.assert(
      fc.property(
        shares,
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 6, maxLength: 200 }),
        (all, costs) => {
          const queue = new FairQueue<number>(accounts(), () => {}, {
            maxDepth: 10_000,
            maxWaitMs: 1e9,
            targetMs: 1e9,
          })
          const same = all.map((share) => ({ ...share, priority: 1 }))
          same.forEach((share) => {
            for (const call of costs.keys()) queue.enter(call, { share }, { now: 0, capacity: CAPACITY })
          })
          const served = new Map<TenantShare, number>(same.map((share) => [share, 0]))
          for (const cost of costs) {
            const entry = queue.take(0, 0) as FairEntry<number>
            const { share } = entry.flow
            queue.serve(entry, [{ share, cost }])
            served.set(share, (served.get(share) ?? 0) + cost / share.weight)
            for (const [one, its] of served)
              for (const [other, theirs] of served)
                expect(its - theirs).toBeLessThanOrEqual(64 / one.weight + 64 / other.weight)
          }
        },
      ),
      { numRuns: 200 },
    )
  })

  it('lets nobody starve: whoever waits is served while there are turns, whatever comes meanwhile', () => {
    fc.assert(
      fc.property(shares, fc.nat(5), (all, which) => {
        const queue = new FairQueue<string>(accounts(), () => {}, {
          maxDepth: 10_000,
          maxWaitMs: 1e9,
          targetMs: 1e9,
        })
        const one = all[which % all.length] as TenantShare
        queue.enter('first', { share: one }, { now: 0, capacity: CAPACITY })
        // A higher class leaves a hundredth, and the tenants of the class share it by their weights.
        const turns = 100 * all.reduce((sum, { weight }) => sum + weight / one.weight + 1, 1)
        for (let turn = 0; turn < turns; turn++) {
          for (const share of all)
            if (share !== one) queue.enter('other', { share }, { now: 0, capacity: CAPACITY })
          const entry = queue.take(0, 0) as FairEntry<string>
          if (entry.item === 'first') return
          queue.serve(entry, [{ share: entry.flow.share, cost: 1 }])
        }
        expect.fail(`not served in ${turns} turns`)
      }),
      { numRuns: 50 },
    )
  })
})
