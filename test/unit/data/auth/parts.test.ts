/** Parts of identities that need no gateway: claims, rates, buckets, and certificates. */
import { BlockList } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { claimAt, parseClaimPath } from '../../../../src/core/claim-path.ts'
import { GatewayError } from '../../../../src/core/errors.ts'
import type { Identity, TenantPolicy } from '../../../../src/core/identity.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { Authenticator, NO_CREDENTIALS } from '../../../../src/data/auth/authenticator.ts'
import { TenantPolicies } from '../../../../src/data/auth/policies.ts'
import { accountOf } from '../../../../src/data/decision/account-places.ts'
import { allocateLimits, forgetLimits, LimitTable } from '../../../../src/data/decision/limit-table.ts'
import { TenantLimits } from '../../../../src/data/decision/tenant-limits.ts'
import { isAwaitable } from '../../../../src/lib/deferred.ts'
import { formatRate, parseRate } from '../../../../src/lib/rate.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { tenantTables } from '../../../support/tenant-tables.ts'

describe('claims', () => {
  it.each([
    ['claim.a.b', { a: { b: 'x' } }, 'x'],
    ['claim["https://x/y"].z', { 'https://x/y': { z: 'x' } }, 'x'],
    ['claim.a', { a: ['x'] }, undefined],
    ['claim.a.b', { a: 'x' }, undefined],
    ['claim.constructor', {}, undefined],
  ])('%s', (path, claims, found) => {
    expect(claimAt(claims, parseClaimPath(path) ?? [])).toBe(found)
  })

  it.each(['claim', 'sub', 'claim.', 'claim.a-"', 'claim[x]', 'claim.a b'])(
    '%s is no name of a claim',
    (path) => {
      expect(parseClaimPath(path)).toBeUndefined()
    },
  )
})

it.each([
  ['100/s', 100, 1000],
  ['60k/m', 60_000, 60_000],
  ['1/h', 1, 3_600_000],
  ['1.5M/d', 1_500_000, 86_400_000],
])('the rate %s', (text, count, perMs) => {
  expect(parseRate(text)).toEqual({ count, perMs })
  expect(parseRate(formatRate({ count, perMs }))).toEqual({ count, perMs })
})

it.each(['100', '0/s', '-1/s', '1/w', 's', '1K/s'])('%s is no rate', (text) => {
  expect(() => parseRate(text)).toThrow(/100\/s/)
})

describe('the part that a tenant has of a pool', () => {
  const policies = new TenantPolicies({
    a: { weight: 3, backends: { tier: 'gold' } },
    '*': { priority: 'sheddable' },
  })
  const shareOf = (tenant: string) => policies.shareOf(tenant, policies.of(tenant) as TenantPolicy)

  it('is its own, by its own name where it is not named', () => {
    const a = { tenant: 'a', weight: 3, priority: 1, floor: 0, labels: { tier: 'gold' } }
    expect(shareOf('a')).toEqual(a)
    for (const tenant of ['b', 'c', '', '__proto__'])
      expect(shareOf(tenant)).toEqual({ tenant, weight: 1, priority: 2, floor: 0, labels: undefined })
  })

  it('is one object, for as many as are kept', () => {
    const [named, unnamed] = [shareOf('a'), shareOf('b')]
    expect(shareOf('b')).toBe(unnamed)
    for (let tenant = 0; tenant < 5_000; tenant++) shareOf(`t${tenant}`)
    expect(shareOf('a')).toBe(named)
    expect(shareOf('b')).not.toBe(unnamed)
    expect(shareOf('b')).toEqual(unnamed)
  })
})

describe('buckets', () => {
  const rate = { count: 100, perMs: 1000 }

  it('two workers let through the rate and the burst together, in any order of calls', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1), fc.nat(8)), { minLength: 200, maxLength: 2000 }), (calls) => {
        let now = 0
        const bytes = allocateLimits(2, 64)
        const workers = [0, 1].map((worker) => new LimitTable(bytes, { worker, now: () => now }))
        const account = accountOf('a')
        let charged = 0
        for (const [worker, ms] of calls) {
          now += ms
          if (workers[worker]?.charge(account, { rate, burst: 100, cost: 1 }) === 0) charged++
        }
        expect(charged).toBeLessThanOrEqual(10 + now / 10 + 1)
      }),
      { numRuns: 50 },
    )
  })

  it('says when to come again, and charges nothing for saying so', () => {
    let now = 0
    const table = new LimitTable(allocateLimits(1, 64), { worker: 0, now: () => now })
    const charge = () =>
      table.charge(accountOf('a'), { rate: { count: 1, perMs: 60_000 }, burst: 1000, cost: 1 })
    expect(charge()).toBe(0)
    for (let i = 0; i < 10; i++) expect(charge()).toBe(60_000)
    now = 60_000
    expect(charge()).toBe(0)
  })

  it('forgets full buckets for others first, and the running requests of a worker that has died', () => {
    const bytes = allocateLimits(2, 8)
    const table = new LimitTable(bytes, { worker: 1, now: () => 0 })
    expect(table.enter(accountOf('busy'), 1)).toBeDefined()
    expect(table.enter(accountOf('busy'), 1)).toBeUndefined()
    for (let i = 0; i < 100; i++) table.charge(accountOf(`other ${i}`), { rate, burst: 100, cost: 1 })
    expect(table.enter(accountOf('busy'), 1)).toBeUndefined()
    forgetLimits(bytes, 1)
    const place = table.enter(accountOf('busy'), 1)
    expect(place).toBeDefined()
    table.leave(place as number)
    expect(table.enter(accountOf('busy'), 1)).toBeDefined()
  })

  it('of anonymous callers are by address, of IPv6 by its /64', () => {
    const limits = new TenantLimits(tenantTables(() => 0))
    const policy = { name: '*', rate: { requests: { count: 1, perMs: 1000 }, burst: 1 } }
    const nobody: Identity = { tenant: '', subject: '', principal: '', policy }
    expect(limits.request(nobody, '2001:db8::1', 1)).toBeUndefined()
    expect(limits.request(nobody, '2001:db8:0:0:ffff::2', 1)).toBeInstanceOf(GatewayError)
    expect(limits.request(nobody, '2001:db8:0:1::1', 1)).toBeUndefined()
    expect(limits.request(nobody, '10.0.0.1', 1)).toBeUndefined()
    expect(limits.request(nobody, '10.0.0.1', 1)).toBeInstanceOf(GatewayError)
  })
})

describe('client certificates', () => {
  const hash = `sha256:${Buffer.from(digestOf('key'), 'latin1').toString('hex')}`
  const authenticator = new Authenticator({
    settings: {
      keys: [{ hash, tenant: 'mobile' }],
      jwt: [],
      mtls: { tenant: 'subject.ou', subject: 'san.uri', tenants: ['mobile', 'web'] },
      forward: false,
      required: true,
    },
    credentials: NO_CREDENTIALS,
    policies: undefined,
    proxies: new BlockList(),
    keyMissing: async () => {},
    clock: new FakeClock(),
  })
  const certificate = (ou: readonly string[], uri = ['spiffe://x/y']) => ({
    subjectCn: ['cn'],
    subjectOu: ou,
    sanDns: [],
    sanUri: uri,
    fingerprint: 'f',
  })
  const known = (ou: readonly string[], headers: readonly string[] = [], uri?: string[]) => {
    const found = authenticator.identify(headers, { peer: '10.0.0.1', certificate: certificate(ou, uri) })
    if (isAwaitable(found)) throw new Error('it came later')
    return found
  }

  it('name tenant and subject, once each, within what they may', () => {
    expect(known(['web']).identity).toMatchObject({ tenant: 'web', subject: 'spiffe://x/y' })
    expect(known(['web', 'mobile']).refusal?.code).toBe('unauthenticated')
    expect(known([]).refusal?.code).toBe('unauthenticated')
    expect(known(['*']).refusal?.code).toBe('unauthenticated')
    expect(known(['other']).refusal?.code).toBe('forbidden')
    expect(known(['web'], [], []).refusal?.code).toBe('unauthenticated')
  })

  it('and a key name the same tenant, or nobody', () => {
    expect(known(['mobile'], ['x-api-key', 'key']).identity).toMatchObject({
      tenant: 'mobile',
      subject: 'mobile',
    })
    expect(known(['web'], ['x-api-key', 'key']).refusal?.code).toBe('unauthenticated')
  })

  it('of one kind share what a door has learned, and of no other', () => {
    expect(authenticator.kindOf({ peer: '10.0.0.1' })).toBe('')
    expect(authenticator.kindOf({ peer: '10.0.0.1', certificate: certificate(['web']) })).toBe('f')
  })
})

it.each([
  ['POST', '/v1/load_lora_adapter', true],
  ['POST', '/api/pull', true],
  ['DELETE', '/api/delete', true],
  ['POST', '/v2/repository/models/m/unload', true],
  ['POST', '/update_weights_from_disk', true],
  ['GET', '/v2/systemsharedmemory/status', undefined],
  ['POST', '/v1/chat/completions', undefined],
  ['POST', '/api/generate', undefined],
])('%s %s manages a server: %s', (method, path, manages) => {
  expect(opaque.match(method, path)?.manages).toBe(manages)
})
