/**
 * What it costs a hit that calls are told in the access log or traced, without sockets: for one that is told, and on average at 1 %.
 *
 *   node bench/micro/reports.ts
 */
import type { Answered } from '../../src/core/observer.ts'
import { CallReporter, type CallRules } from '../../src/data/calls/call-reporter.ts'
import { Sampler } from '../../src/lib/sampler.ts'
import { help } from '../lib/usage.ts'

const ANSWERED: Answered = {
  ...{
    door: 'fast',
    requestId: '0123456789abcdef-000101',
    route: 'main',
    pool: 'ranker',
    protocol: 'tfserving',
  },
  ...{ model: 'ranker', tenant: undefined, status: 200, ms: 0.0123, saved: undefined },
  outcome: { kind: 'hit', tier: 'memory', ageMs: 5, ttlMs: 100, rows: 1 },
}
const CALLED = {
  peer: '127.0.0.1',
  method: 'POST',
  path: '/v1/models/ranker:predict',
  bytesIn: 200,
  bytesOut: 300,
}
const FROM = { traceparent: undefined }
const CALLS = 20_000
const PASSES = 100

/** Microseconds of processor time a call: the tenth best of a hundred passes. */
function measure(rules: CallRules): number {
  let chars = 0
  const outbox = {
    add: (line: string) => (chars += line.length),
    trace: (call: string) => (chars += call.length),
  }
  const reporter = new CallReporter({ rules, outbox, clock: { wall: () => Date.now() } })
  const passes = Array.from({ length: PASSES }, () => {
    const before = process.cpuUsage()
    for (let i = 0; i < CALLS; i++) {
      const interest = reporter.interest(ANSWERED, FROM)
      if (interest) reporter.tell(interest, ANSWERED, CALLED)
    }
    const { user, system } = process.cpuUsage(before)
    return (user + system) / CALLS
  })
  if (chars === 0) throw new Error('nothing was told')
  return passes.toSorted((a, b) => a - b)[PASSES / 10] as number
}

help(import.meta.filename)
for (const share of [1, 0.01]) {
  const sampler = new Sampler(share, Math.random)
  const access = measure({ access: { sampler, slowMs: 500, errors: true } })
  const traces = measure({ traces: sampler })
  process.stdout.write(
    `${`${share * 100} %`.padEnd(6)} access log ${access.toFixed(3)} µs a hit, traces ${traces.toFixed(3)} µs\n`,
  )
}
