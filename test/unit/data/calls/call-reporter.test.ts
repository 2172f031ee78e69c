/** Which calls are told in the access log, and what a line has. */
import { describe, expect, it } from 'vitest'
import type { CallLine, TracedCall } from '../../../../src/core/call-line.ts'
import { CallRecord } from '../../../../src/core/call-record.ts'
import type { Answered } from '../../../../src/core/observer.ts'
import {
  type AccessRules,
  type Called,
  CallReporter,
  type CallRules,
} from '../../../../src/data/calls/call-reporter.ts'

const never = { takes: () => false }
const CALLED = { peer: '10.0.0.9', method: 'POST', path: '/v1/models/m:predict', bytesIn: 12, bytesOut: 34 }

const answered = (over: Partial<Answered> = {}): Answered => ({
  ...{ door: 'fast', requestId: 'r-1', route: 'main', protocol: 'tfserving', model: 'm', tenant: 't' },
  ...{
    status: 200,
    outcome: { kind: 'hit', tier: 'memory', ageMs: 1, ttlMs: 1, rows: 3 },
    ms: 1.23456,
    ...over,
  },
})

function reporting(rules: Partial<AccessRules> = {}, traces?: CallRules['traces']) {
  const told: { line: CallLine; isOdd: boolean }[] = []
  const traced: TracedCall[] = []
  const outbox = {
    add: (line: string, isOdd: boolean) => void told.push({ line: JSON.parse(line) as CallLine, isOdd }),
    trace: (call: string) => void traced.push(JSON.parse(call) as TracedCall),
  }
  const access = { sampler: never, slowMs: 500, errors: true, ...rules }
  return {
    told,
    traced,
    reporter: new CallReporter({ rules: { access, traces }, outbox, clock: { wall: () => 0 } }),
  }
}

/** As a hit tells of itself, which has no record. */
function hasEnded(
  reporter: CallReporter,
  call: Answered,
  { called = CALLED, traceparent }: { called?: Called; traceparent?: string | undefined } = {},
): void {
  const interest = reporter.interest(call, { traceparent })
  if (interest) reporter.tell(interest, call, called)
}

it.each([
  ['an ordinary call', {}, {}, false],
  ['one of the sample', { sampler: { takes: () => true } }, {}, true],
  ['one that is slow', {}, { ms: 500 }, true],
  ['one that is a little faster', {}, { ms: 499.9 }, false],
  ['one that has failed', {}, { status: 503 }, true],
  ['one whose caller has left', {}, { status: 499 }, true],
  ['one that was refused', {}, { status: 429 }, false],
  ['one that has failed, where failures are not asked for', { errors: false }, { status: 503 }, false],
] as const)('%s', (_, rules, over, isTold) => {
  const { told, reporter } = reporting(rules)
  // With a record and without.
  reporter.ended(answered(over), () => CALLED, reporter.begin(0, undefined))
  hasEnded(reporter, answered(over))
  expect(told).toHaveLength(isTold ? 2 : 0)
})

it('asks what a call was only where it is told', () => {
  const { reporter } = reporting()
  const asked = () => expect.unreachable('nobody wants to know')
  reporter.ended(answered(), asked, reporter.begin(0, undefined))
  const from = {
    get traceparent() {
      return asked()
    },
  }
  expect(reporter.interest(answered(), from)).toBeUndefined()
})

it('a line has the documented members', () => {
  const { told, reporter } = reporting({ slowMs: 1 })
  const record = new CallRecord(100)
  record.step('receive', 100, 101)
  record.step('cache', 101, 103, 'redis')
  const first = record.attempt('b-1', 103, 104)
  Object.assign(first, { ending: 'error', ms: 2, connect: 0.5, firstByte: 1.5 })
  Object.assign(record.attempt('b-2', 106, 106), {
    ending: 'ok',
    ms: 3,
    connect: 0,
    firstByte: 2,
    transfer: 1.00049,
  })
  reporter.ended(
    answered({ outcome: { kind: 'miss', stored: true, collapsed: false, rows: 3 } }),
    () => CALLED,
    record,
  )
  expect(told).toEqual([
    {
      isOdd: true,
      line: {
        ...{
          time: '1970-01-01T00:00:00.000Z',
          event: 'call',
          requestId: 'r-1',
          peer: '10.0.0.9',
          tenant: 't',
        },
        ...{ route: 'main', protocol: 'tfserving', model: 'm', method: 'POST', path: '/v1/models/m:predict' },
        ...{ status: 200, outcome: 'miss', rows: 3, bytes: { in: 12, out: 34 }, ms: 1.235 },
        stages: { receive: 1, cache: 2, queue: 1, connect: 0.5, firstByte: 3.5, transfer: 1 },
        attempts: [
          { backend: 'b-1', ending: 'error', at: 4, ms: 2, connect: 0.5, firstByte: 1.5 },
          { backend: 'b-2', ending: 'ok', at: 6, ms: 3, connect: 0, firstByte: 2, transfer: 1 },
        ],
      },
    },
  ])
})

it('a call that found no route has none, and a long path is cut', () => {
  const { told, reporter } = reporting()
  const over = {
    route: '',
    protocol: '',
    model: undefined,
    tenant: undefined,
    status: 504,
    fault: 'deadline',
  }
  const called = { ...CALLED, path: 'x'.repeat(5000) }
  hasEnded(reporter, answered({ ...over, outcome: { kind: 'none' } }), { called })
  const [{ line } = { line: undefined }] = told
  expect(line).toMatchObject({ status: 504, fault: 'deadline', outcome: 'none', rows: 1 })
  expect(line?.path).toHaveLength(1024)
  for (const name of ['route', 'protocol', 'model', 'tenant', 'tier']) expect(line).not.toHaveProperty(name)
})

it('a record that never ends is bounded', () => {
  const record = new CallRecord(0)
  for (let i = 1; i < 1000; i++) {
    record.step('wait', i, i + 1)
    record.attempt('b', i, i)
  }
  expect([record.steps.length, record.attempts.length]).toEqual([32, 32])
})

describe('a call is traced', () => {
  const [traceId, parentId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']
  const all = { takes: () => true }

  it.each([
    ['if its caller has it traced', `00-${traceId}-${parentId}-01`, never, true],
    ['not if its caller has not', `00-${traceId}-${parentId}-00`, all, false],
    ['if it is in the sample', undefined, all, true],
    ['not if it is not', undefined, never, false],
    ['by the sample if what its caller says is not sound', '00-0-0-01', never, false],
  ])('%s', (_, parent, sampler, isTraced) => {
    const { traced, reporter } = reporting({}, sampler)
    // With a record and without.
    reporter.ended(answered(), () => CALLED, reporter.begin(0, parent))
    hasEnded(reporter, answered(), { traceparent: parent })
    expect(traced).toHaveLength(isTraced ? 2 : 0)
    for (const call of traced) {
      expect(call).toMatchObject({
        requestId: 'r-1',
        traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
        steps: [],
      })
      expect(call.spanId).toMatch(/^[0-9a-f]{16}$/)
      if (parent) expect([call.traceId, call.parentId]).toEqual([traceId, parentId])
    }
  })

  it('with an id for each attempt, and its trace in the line of the log', () => {
    const { told, traced, reporter } = reporting({ slowMs: 0 }, all)
    const record = reporter.begin(0, `00-${traceId}-${parentId}-01`)
    const ids = [record.attempt('b', 0, 1).spanId, record.attempt('b', 1, 2).spanId]
    reporter.ended(answered(), () => CALLED, record)
    expect(new Set([...ids, traced[0]?.spanId]).size).toBe(3)
    expect(traced[0]?.attempts.map(({ spanId }) => spanId)).toEqual(ids)
    expect(told[0]?.line.traceId).toBe(traceId)
  })
})
