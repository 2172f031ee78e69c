import { expect, it } from 'vitest'
import type { Seen } from '../../../src/load-test/load-test.ts'
import { brokenPromises, parseSlo, SloError } from '../../../src/load-test/slo.ts'
import { LoadTally } from '../../../src/load-test/tally.ts'

interface Made {
  readonly latencies?: readonly number[]
  readonly errors?: number
  readonly cache?: 'hit' | 'miss'
  readonly busy?: number
  readonly unsentBlocked?: number
}

/** A second in which calls took so many milliseconds, and further ones failed. */
function seen({ latencies = [], errors = 0, cache, busy = 0, unsentBlocked = 0 }: Made): Seen {
  const total = new LoadTally()
  const end = { status: '200', fault: undefined, isError: false, rows: 2, bytes: 1, written: undefined }
  const use = cache && { kind: cache, savedRows: cache === 'hit' ? 2 : 0 }
  for (const ms of latencies) {
    const written = { firstUs: ms * 500, betweenUs: [ms * 10, ms * 20], tokens: 3 }
    total.ended({ ...end, us: ms * 1000, cache: use, written })
  }
  for (let i = 0; i < errors; i++)
    total.ended({ ...end, us: 1, status: undefined, fault: 'refused', isError: true, cache: undefined })
  total.numbers.sent = total.numbers.calls
  total.numbers.unsentBlocked = unsentBlocked
  return { seconds: new Map([[0, total]]), total, ms: 1000, busy }
}

const broken = (slo: string, made: Made) => brokenPromises(parseSlo(slo), seen(made))

const TEN = Array.from({ length: 10 }, (_, i) => 10 * (i + 1))

it.each([
  ['p50=50.2ms,p90=91ms,max=100ms,mean=55ms', []],
  ['p90=89ms', ['p90=89ms: p90 is 89.9 ms']],
  ['mean=54ms', ['mean=54ms: mean is 55.0 ms']],
  ['ttft.p50=25.1ms, ttft.p99=1ms', ['ttft.p99=1ms: ttft.p99 is 50.0 ms']],
  ['between.p50=1us', ['between.p50=1us: between.p50 is 702 µs']],
  ['errors=10%', []],
  ['errors=0.05', ['errors=0.05: 9.091 % of the calls failed']],
  ['hit=1,rows=100%', []],
  ['rate=11,tokens=30', []],
  ['rate=12,tokens=31', ['rate=12: calls a second: 11', 'tokens=31: tokens a second: 30']],
])('%s', (slo, wanted) => {
  expect(broken(slo, { latencies: TEN, errors: 1, cache: 'hit' })).toEqual(wanted)
})

it('what nothing was said of is not kept', () => {
  expect(broken('hit=0.5,rows=0.1', { latencies: TEN })).toEqual([
    'hit=0.5: no answer said anything of hits',
    'rows=0.1: no answer said anything of rows saved',
  ])
  expect(broken('ttft.p50=1s', { errors: 1 })).toEqual(['ttft.p50=1s: there was nothing to measure'])
  expect(broken('errors=100%', {})).toEqual(['no call has ended'])
})

it('too few hits', () => {
  expect(broken('hit=0.5', { latencies: TEN, cache: 'miss' })).toEqual(['hit=0.5: hits: 0 %'])
})

it('a load that the generator could not make shows nothing', () => {
  const made = { latencies: TEN, unsentBlocked: 5 }
  expect(broken('p50=1s', { ...made, busy: 0.5 })).toEqual([])
  expect(broken('p50=1s', { ...made, busy: 0.99 })).toEqual([
    'the generator was the limit: nothing was shown of the load that was asked for',
  ])
})

it.each([
  'p95',
  'p95=200',
  'p100=1s',
  'errors=200%',
  'hit=x',
  'x=1',
  'ttft.hit=1',
  '',
  'p95=1s=2s',
  'ttft.=1s',
])('%s is refused', (text) => {
  expect(() => parseSlo(text)).toThrow(SloError)
})
