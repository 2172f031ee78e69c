import { describe, expect, it } from 'vitest'
import type { Backend } from '../../../../src/core/backend.ts'
import type { Call } from '../../../../src/core/call.ts'
import { principalFor } from '../../../../src/core/identity.ts'
import { digestOf } from '../../../../src/core/key.ts'
import type { TenantShare } from '../../../../src/core/tenant-share.ts'
import { type BatchCall, Batches } from '../../../../src/data/batch/batches.ts'
import { isBusy, maxBatchOf } from '../../../../src/data/batch/capacity.ts'
import type { Matched, Route } from '../../../../src/data/route/routes.ts'
import type { UpstreamRequest, UpstreamResponse } from '../../../../src/data/upstream/upstream-call.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const backend: Backend = {
  id: 'b',
  slot: 0,
  generation: 1,
  url: 'http://127.0.0.1:1',
  models: [],
  weight: 1,
  state: 'ready',
  reason: '',
  readySince: 0,
}

const route = {
  name: 'ranker',
  match: {},
  protocols: [tfserving],
  pool: 'ranker',
  timeout: 1_000,
  pure: true,
  cache: { maxEntryBytes: 1_000 },
  batch: { maxRows: 8, maxDelay: 2 },
} as unknown as Route

/** Whose call it is, and the scope of the route. */
interface Tenancy {
  readonly share: TenantShare
  readonly scope: 'caller' | 'tenant' | 'shared'
  /** Left out: the tenant. */
  readonly subject?: string
}

function identified({ share, subject = share.tenant }: Tenancy) {
  const { tenant } = share
  const principal = principalFor(tenant, subject)
  return { principal, share, identity: { tenant, subject, principal, policy: undefined, share } }
}

/** A model that doubles numbers and refuses a batch with a negative one, as a backend would over HTTP. */
function setup(answer?: () => { status: number; text: string }, refusal = 400) {
  const clock = new FakeClock()
  const asked: string[] = []
  const deadlines: number[] = []
  const charges: UpstreamRequest['charges'][] = []
  const dispatch = async (call: Call, _: Matched, shipment: UpstreamRequest): Promise<UpstreamResponse> => {
    const text = Buffer.from(shipment.body as Uint8Array).toString()
    asked.push(text)
    deadlines.push(call.deadline)
    charges.push(shipment.charges)
    const { instances } = JSON.parse(text) as { instances: number[] }
    const refused = instances.some((n) => n < 0)
    const { status, text: body } = answer?.() ?? {
      status: refused ? refusal : 200,
      text: JSON.stringify(refused ? { error: 'negative' } : { predictions: instances.map((n) => 2 * n) }),
    }
    const headers = ['content-type', 'application/json']
    return { reply: { status, headers, body: Buffer.from(body) }, backend, ms: 3 }
  }
  const batches = new Batches({
    dispatch,
    outgoing: (call) => call.headers,
    cut: (_, { reply }, { length }) =>
      reply.status === 200 ? tfserving.rows?.cut(reply, reply.body as Uint8Array, length) : undefined,
    busy: () => true,
    maxBatch: () => undefined,
    serviceMs: () => 10,
    clock,
  })
  const fetch = async (
    instances: number[],
    headers: string[] = [],
    deadline = clock.now() + 500,
    of?: Tenancy,
  ) => {
    const body = Buffer.from(JSON.stringify({ instances }))
    const path = '/v1/models/m:predict'
    const target = tfserving.match('POST', path)
    if (!target) throw new Error('a prediction')
    const signal = new AbortController().signal
    const call: Call = {
      ...{ id: '1', method: 'POST', path, query: '', host: 'h', peer: '', principal: '' },
      ...{ headers: ['content-type', 'application/json', ...headers], target, body, deadline, signal },
      ...(of ? identified(of) : {}),
    }
    const plan = tfserving.read(call, body, { seed: digestOf('seed'), split: true })
    if ('bypass' in plan || !plan.rows) throw new Error('rows')
    const matched = { route: of ? { ...route, cache: { ...route.cache, scope: of.scope } } : route }
    const batched = { call, matched: { ...matched, protocol: tfserving, target }, plan, body } as BatchCall
    expect(batches.isBatched(batched)).toBe(true)
    const fetched = await batches.fetch(batched, { rows: plan.rows, signal, until: call })
    if ('refused' in fetched)
      return `${fetched.refused.reply.status} ${Buffer.from(fetched.refused.reply.body as Uint8Array).toString()}`
    return fetched.answers.map(({ answer }) => Buffer.from(answer.slice).toString())
  }
  return { clock, asked, deadlines, charges, fetch }
}

describe('batches', () => {
  it('puts rows of several calls into one request and gives each its own answers', async () => {
    const { clock, asked, deadlines, fetch } = setup()
    const both = Promise.all([fetch([1, 2]), fetch([3], ['traceparent', 'x'], clock.now() + 900)])
    clock.advance(2)
    expect(await both).toEqual([['2', '4'], ['6']])
    expect(asked.map((text) => JSON.parse(text))).toEqual([{ instances: [1, 2, 3] }])
    expect(deadlines).toEqual([1_900])
  })

  it('keeps callers with other credentials or fields apart', async () => {
    const { clock, asked, fetch } = setup()
    const all = Promise.all([
      fetch([1]),
      fetch([2], ['authorization', 'a']),
      fetch([3], ['authorization', 'b']),
    ])
    clock.advance(2)
    expect(await all).toEqual([['2'], ['4'], ['6']])
    expect(asked).toHaveLength(3)
  })

  it('mixes rows of tenants only where all share answers, and lets each pay for its own', async () => {
    const { clock, asked, charges, fetch } = setup()
    const [a, b] = ['a', 'b'].map((tenant) => ({ tenant, weight: 1, priority: 1, floor: 0 })) as [
      TenantShare,
      TenantShare,
    ]
    const both = async (scope: Tenancy['scope'], other = b) => {
      const all = Promise.all([
        fetch([1, 2], [], undefined, { share: a, scope }),
        fetch([3], [], undefined, { share: other, scope, subject: 'another' }),
      ])
      clock.advance(2)
      return all
    }
    const requests: number[] = []
    for (const [scope, other] of [
      ['caller', b],
      ['caller', a],
      ['tenant', b],
      ['tenant', a],
      ['shared', b],
    ] as const) {
      const before = asked.length
      expect(await both(scope, other)).toEqual([['2', '4'], ['6']])
      requests.push(asked.length - before)
    }
    expect(requests).toEqual([2, 2, 2, 1, 1])
    const [ofA, ofB] = [
      { share: a, cost: 2 },
      { share: b, cost: 1 },
    ]
    const alsoOfA = { share: a, cost: 1 }
    expect(charges.slice(4)).toEqual([[ofA], [ofB], [ofA, alsoOfA], [ofA, ofB]])
  })

  it.each([400, 500])('lets only the caller whose row was refused hear of it (%i)', async (status) => {
    const { clock, asked, fetch } = setup(undefined, status)
    const both = Promise.all([fetch([1, 2]), fetch([-3])])
    clock.advance(2)
    expect(await both).toEqual([['2', '4'], `${status} {"error":"negative"}`])
    expect(asked).toHaveLength(3)
  })

  it('tells everybody at once when the backend is overloaded', async () => {
    const { clock, asked, fetch } = setup(() => ({ status: 503, text: 'busy' }))
    const both = Promise.all([fetch([1]), fetch([2])])
    clock.advance(2)
    expect(await both).toEqual(['503 busy', '503 busy'])
    expect(asked).toHaveLength(1)
  })

  it('asks for each caller alone where an answer does not fit its rows', async () => {
    const { clock, asked, fetch } = setup(() => ({ status: 200, text: '{"predictions": [0]}' }))
    const both = Promise.all([fetch([1]), fetch([2])])
    clock.advance(2)
    expect(await both).toEqual([['0'], ['0']])
    expect(asked).toHaveLength(3)
  })
})

describe('the room of a pool', () => {
  const other: Backend = { ...backend, slot: 1, concurrency: 3, state: 'ready' }

  it('is there while any ready backend has fewer calls than it wants, one where it says nothing', () => {
    const inflight = [1, 2]
    const busy = () => isBusy([backend, other], (slot) => inflight[slot] ?? 0)
    expect(busy()).toBe(false)
    inflight[1] = 3
    expect(busy()).toBe(true)
    inflight[0] = 0
    expect(busy()).toBe(false)
    expect(isBusy([{ ...backend, state: 'draining' }], () => 0)).toBe(true)
  })

  it('holds as many rows as the smallest bound that a backend declares for the model', () => {
    const small = { ...backend, models: [{ name: 'm', maxBatch: 4 }] }
    const large = {
      ...other,
      models: [
        { name: 'm', maxBatch: 16 },
        { name: 'n', maxBatch: 2 },
      ],
    }
    expect(maxBatchOf([small, large], 'm')).toBe(4)
    expect(maxBatchOf([backend], 'm')).toBeUndefined()
  })
})
