/**
 * Tokens as limits: whatever calls reserve, take, and in whatever order they end, what is charged in the end is what was taken.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GatewayError } from '../../src/core/errors.ts'
import type { TokenCounts } from '../../src/core/reply.ts'
import { accountOf } from '../../src/data/decision/account-places.ts'
import { allocateLimits, LimitTable } from '../../src/data/decision/limit-table.ts'
import { allocateQuotas, forgetQuotas, QuotaTable } from '../../src/data/decision/quota-table.ts'
import { TenantLimits } from '../../src/data/decision/tenant-limits.ts'
import { UpstreamAdmission } from '../../src/data/decision/upstream-admission.ts'
import { Deferred } from '../../src/lib/deferred.ts'
import { callOf } from '../../src/testing/protocol-call.ts'
import { silentObserver } from '../support/observer.ts'

const WORKERS = 2
const LEFT = new GatewayError('callerLeft', 'left')
const rate = { tokens: { count: 1_000_000, perMs: 1_000 }, burst: 1_000 }
const quota = { tokens: { count: 1_000_000, per: 'month' } } as const
const identity = (policy: object) => ({
  tenant: 'a',
  subject: '',
  principal: 'a',
  policy: { name: 'a', ...policy },
})

/** Two workers of one gateway. */
function gateway() {
  const time = { now: 0 }
  const bytes = allocateLimits(WORKERS, 64)
  const kept = allocateQuotas(0, { workers: WORKERS, places: 64 })
  const charged = { input: 0, output: 0 }
  const workers = Array.from({ length: WORKERS }, (_, worker) => {
    const viewer = { worker, now: () => time.now }
    const quotas = new QuotaTable(kept, bytes.terms, viewer)
    const limits = new TenantLimits({ limits: new LimitTable(bytes, viewer), quotas })
    const observer = {
      ...silentObserver,
      charged(_tenant: string, { input, output }: TokenCounts) {
        charged.input += input
        charged.output += output
      },
    }
    return { quotas, upstream: new UpstreamAdmission(limits, observer) }
  })
  const sum = (list: Float64Array) => list.reduce((a, b) => a + b, 0)
  return {
    time,
    bytes,
    kept,
    workers,
    charged,
    /** Milliseconds of the rate. */
    owed: () => sum(bytes.debt),
    unreported: () => sum(bytes.unreported),
    reserved: () => sum(kept.reserved),
    /** Of the quota, whether the store knows it or not. */
    used: () => sum(kept.known) + sum(kept.unsent),
  }
}

const calls = fc.array(
  fc.record({
    worker: fc.nat(WORKERS - 1),
    estimate: fc.nat(20_000),
    took: fc.nat(60_000),
    end: fc.constantFrom('over', 'at once', 'cut', 'failed', 'thrown'),
    /** The order of the ends. */
    order: fc.nat(1_000),
  }),
  { maxLength: 20 },
)

type Ending = 'over' | 'at once' | 'cut' | 'failed' | 'thrown'

class Sent {
  readonly answer = new Deferred<string>()
  readonly over = Promise.withResolvers<void>()
  readonly took: number
  readonly end: Ending
  readonly outcome: Promise<unknown>

  constructor(
    upstream: UpstreamAdmission,
    { policy, estimate, took, end }: { policy: object; estimate: number; took: number; end: Ending },
  ) {
    this.took = took
    this.end = end
    const call = { ...callOf(new Uint8Array(0)), identity: identity(policy) }
    const ask = async () =>
      upstream.admit(call, {
        rows: 1,
        send: () => {
          if (end === 'thrown') throw LEFT
          return this.answer
        },
        over: () => (end === 'at once' ? undefined : this.over.promise),
        tokens: {
          estimate: { input: estimate, output: 0 },
          follow: () => () => ({ input: took, output: 0 }),
        },
      })
    this.outcome = ask().catch((error: unknown) => error)
  }

  async finish(): Promise<void> {
    if (this.end === 'failed') this.answer.fail(LEFT)
    else this.answer.settle('answer')
    // A stream that is cut has taken what was seen of it.
    if (this.end === 'cut') this.over.reject(LEFT)
    else this.over.resolve()
    await this.outcome
    await this.over.promise.catch(() => {})
    await Promise.resolve()
  }

  get paid(): number {
    return this.end === 'failed' || this.end === 'thrown' ? 0 : this.took
  }
}

describe('what was reserved is settled', () => {
  it('of a quota to the last token, and nothing stays reserved', async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (list) => {
        const { workers, used, reserved, charged } = gateway()
        const sent = list.map((one) => ({
          order: one.order,
          call: new Sent((workers[one.worker] as (typeof workers)[number]).upstream, {
            ...one,
            policy: { quota },
          }),
        }))
        for (const { call } of sent.toSorted((a, b) => a.order - b.order)) {
          await call.finish()
          // As the exchange with the store does it, at any time.
          const [first] = workers
          const uses = first?.quotas.take() ?? []
          first?.quotas.counted(
            uses,
            uses.map((use) => use.known + use.used),
            0,
          )
        }
        const paid = sent.reduce((sum, { call }) => sum + call.paid, 0)
        expect(reserved()).toBe(0)
        expect(used()).toBe(paid)
        expect(charged).toEqual({ input: paid, output: 0 })
      }),
      { numRuns: 60 },
    )
  })

  it('of a rate to the last token while no time passes', async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (list) => {
        const { workers, owed, unreported } = gateway()
        // A bucket that nothing but these calls can empty.
        const policy = { rate: { ...rate, burst: 3_600_000 } }
        const sent = list.map((one) => ({
          order: one.order,
          call: new Sent((workers[one.worker] as (typeof workers)[number]).upstream, { ...one, policy }),
        }))
        for (const { call } of sent.toSorted((a, b) => a.order - b.order)) await call.finish()
        const paid = sent.reduce((sum, { call }) => sum + call.paid, 0)
        expect(owed()).toBeCloseTo(paid / 1_000, 6)
        expect(unreported()).toBeCloseTo(paid / 1_000, 6)
      }),
      { numRuns: 60 },
    )
  })

  it('of a rate never below nothing owed, and never beyond an hour, while time passes', () => {
    const steps = fc.array(
      fc.record({ ms: fc.nat(5_000), reserve: fc.nat(5_000_000), used: fc.nat(2 ** 40), settles: fc.nat(5) }),
      { maxLength: 30 },
    )
    fc.assert(
      fc.property(steps, (list) => {
        const { time, bytes, owed } = gateway()
        const table = new LimitTable(bytes, { worker: 0, now: () => time.now })
        const account = accountOf('a')
        const open: { reserved: number; used: number }[] = []
        for (const { ms, reserve, used, settles } of list) {
          time.now += ms
          const before = Math.max(3_600_000, owed())
          if (table.charge(account, { rate: rate.tokens, burst: 1_000, cost: reserve }) === 0)
            open.push({ reserved: reserve, used })
          for (const { reserved, used: took } of open.splice(0, settles))
            table.correct(account, { rate: rate.tokens, cost: took - reserved })
          expect(owed()).toBeGreaterThanOrEqual(0)
          expect(owed()).toBeLessThanOrEqual(before + reserve / 1_000 + 1e-6)
        }
      }),
    )
  })
})

it('a worker that has ended leaves nothing reserved, and takes nothing from the other', () => {
  const { kept, workers, reserved } = gateway()
  const account = accountOf('a')
  for (const { quotas } of workers) expect(quotas.reserve(account, quota.tokens, 100)).toBe(0)
  forgetQuotas(kept, 0)
  expect(reserved()).toBe(100)
  workers[1]?.quotas.settle(account, quota.tokens, { cost: 100, used: 30 })
  expect(reserved()).toBe(0)
})
