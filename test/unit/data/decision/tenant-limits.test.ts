/** What a tenant that has used up its rate is told, and for how long. */
import { expect, it } from 'vitest'
import { allocateLimits, LimitTable, LOCK_MS } from '../../../../src/data/decision/limit-table.ts'
import { allocateQuotas, QuotaTable } from '../../../../src/data/decision/quota-table.ts'
import { TenantLimits } from '../../../../src/data/decision/tenant-limits.ts'
import { isHeldBy, Lock } from '../../../../src/lib/lock.ts'

const rate = { requests: { count: 2, perMs: 1000 }, burst: 500 }

function setup() {
  let now = 0
  const bytes = allocateLimits(1)
  const viewer = { worker: 0, now: () => now }
  const quotas = new QuotaTable(allocateQuotas(0), bytes.terms, viewer)
  const limits = new TenantLimits({ limits: new LimitTable(bytes, viewer), quotas })
  const tenant = (name: string) => ({
    tenant: name,
    subject: '',
    principal: name,
    policy: { name: 'a', rate },
  })
  return {
    bytes,
    pass: (ms: number) => void (now += ms),
    tenant,
    isRefused: (of: ReturnType<typeof tenant>, caller = '') => limits.request(of, caller, 1) !== undefined,
  }
}

it('is refused until there is a call again, and not a moment longer', () => {
  const { pass, tenant, isRefused } = setup()
  const one = tenant('one')
  expect(isRefused(one)).toBe(false)
  for (const ms of [0, 50, 100, 149, 200]) {
    pass(ms)
    expect(isRefused(one)).toBe(true)
  }
  pass(1)
  expect(isRefused(one)).toBe(false)
  expect(isRefused(tenant('two'))).toBe(false)
})

it('is let in within a tenth of a second where other gateways leave more of the rate', () => {
  const { bytes, pass, tenant, isRefused } = setup()
  const one = tenant('one')
  isRefused(one)
  bytes.pace.fill(0.9)
  pass(400)
  expect(isRefused(one)).toBe(true)
  bytes.pace.fill(0)
  // The bucket has what came while others used the rate.
  pass(99)
  expect(isRefused(one)).toBe(true)
  pass(365)
  expect(isRefused(one)).toBe(false)
})

it('anonymous callers are refused by their addresses', () => {
  const { tenant, isRefused } = setup()
  const anonymous = tenant('')
  expect(isRefused(anonymous, '10.0.0.1')).toBe(false)
  expect(isRefused(anonymous, '10.0.0.1')).toBe(true)
  expect(isRefused(anonymous, '10.0.0.2')).toBe(false)
  expect(isRefused(anonymous, '10.0.0.1')).toBe(true)
})

it('asks the table about a refusal ten times a second, not at each call', () => {
  const { bytes, pass, tenant, isRefused } = setup()
  const one = tenant('one')
  isRefused(one)
  expect(isRefused(one)).toBe(true)
  // Whoever asked it now would wait for the lock.
  const lock = new Lock(bytes.lock, 0, 9)
  lock.acquire(LOCK_MS)
  pass(99)
  expect(isRefused(one)).toBe(true)
  // And who does not get it is not limited.
  pass(1)
  expect(isRefused(one)).toBe(false)
  expect(isHeldBy(bytes.lock, 0, 9)).toBe(true)
})
