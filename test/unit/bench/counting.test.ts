/** What the bench reads and reckons: a number that is parsed wrongly is believed all the same. */
import { expect, test } from 'vitest'
import { parseStubStatus } from '../../../bench/lib/backends.ts'
import { parseHandshakes } from '../../../bench/lib/measure/handshakes.ts'
import { faultOf } from '../../../bench/lib/measure/load.ts'
import { cpuMicros, listeners, othersMicros, parseStat } from '../../../bench/lib/procfs.ts'
import { median, paired, quantile, range } from '../../../bench/lib/stats.ts'
import { luaScript, parseResult } from '../../../bench/lib/wrk.ts'

const WRK = `Running 3s test @ http://127.0.0.1:9/x
  1 threads and 64 connections
  Latency     1.61ms    2.55ms  45.02ms   95.12%
Requests/sec:  48890.12

RESULT {"requests":146670,"seconds":3.000012,"errors":2,"p50Ms":1.2340,"p99Ms":4.7200}
`

test('the result of wrk is its last line, and without one it is an error', () => {
  expect(parseResult(WRK)).toEqual({
    requests: 146670,
    seconds: 3.000012,
    errors: 2,
    p50Ms: 1.234,
    p99Ms: 4.72,
  })
  expect(() => parseResult('unable to connect to 127.0.0.1:9')).toThrow(/no result[^]*unable to connect/)
})

test('handshakes are those that openssl counts itself', () => {
  const text =
    'Collecting connection statistics for 1 seconds\n\n\n812 connections in 0.61s; 1331.15 connections/user sec, bytes read 0\n812 connections in 2 real seconds, 0 bytes read per connection\n'
  expect(parseHandshakes(text)).toBe(812)
  expect(() => parseHandshakes('unable to connect')).toThrow(/no result/)
})

test('a script for wrk has the numbers of its scenario', () => {
  expect(luaScript({ kind: 'cycle', bytes: 4096, distinct: 1000 })).toMatch(
    /rest\(4096\)[^]*for i = 1, 1000 do/,
  )
  expect(
    luaScript({ kind: 'cycle', bytes: 200, distinct: 1, fields: { Authorization: 'Bearer k' } }),
  ).toContain('headers["Authorization"] = "Bearer k"')
  expect(luaScript({ kind: 'traced', bytes: 200, distinct: 1000, traces: 'many' })).toMatch(
    /rest\(200\)[^]*for i = 1, 1000 do[^]*fresh = fresh \+ 1/,
  )
  expect(luaScript({ kind: 'batch', rows: 128, known: 120, values: 8 })).toMatch(
    /for i = 1, 120[^]*for i = 1, 8 do/,
  )
})

test('the median stands between the two in the middle, and outliers do not move it', () => {
  expect(median([5, 1, 3])).toBe(3)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([10, 11, 12, 13, 1e9])).toBe(12)
  expect(median([])).toBeNaN()
})

test('rounds are compared with the round they ran in', () => {
  const ratio = (one: number, other: number) => one / other
  expect(paired([10, 20, 30], [10, 10, 10], ratio)).toEqual([1, 2, 3])
  expect(paired([10, 20], [5], ratio)).toEqual([2])
  expect(range([3, 1, 2])).toEqual([1, 3])
})

test('a quantile is a value that was measured', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1)
  expect([0.5, 0.99, 1].map((share) => quantile(hundred, share))).toEqual([50, 99, 100])
})

const line = (pid: number, parent: number, times: string, name = 'node') =>
  `${pid} (${name}) S ${parent} ${pid} ${pid} 0 -1 4194560 100 0 0 0 ${times} 20 0 11 0 100 1000 200`

test('a process may be called anything', () => {
  expect(parseStat(line(7, 1, '10 5 2 1', 'a) S 3 (b'))).toEqual({
    pid: 7,
    parent: 1,
    ticks: 15,
    goneTicks: 3,
  })
  expect(parseStat('')).toBeUndefined()
})

test('processor time is that of the server and all below it, and of nobody else', () => {
  const stats = [
    line(10, 1, '100 20 0 0'),
    line(11, 10, '5 5 0 0'),
    line(12, 11, '1 0 0 0'),
    line(20, 1, '900 0 0 0'),
  ]
    .map(parseStat)
    .filter((stat) => stat !== undefined)
  expect(cpuMicros(10, stats)).toBe(131 * 10_000)
  expect(cpuMicros(99, stats)).toBe(0)
})

test('what others took is all that was worked, and stolen, without us and our ended children', () => {
  const stats = [parseStat(line(10, 1, '100 20 30 0'))].filter((stat) => stat !== undefined)
  // user nice system idle iowait irq softirq steal
  expect(othersMicros(10, stats, 'cpu  400 10 90 9999 5 7 8 3 0 0\ncpu0 1 2 3\n')).toBe((503 - 150) * 10_000)
})

test('listeners of a port are counted, connections are not', () => {
  const table = `  sl  local_address rem_address   st
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000
   3: 0100007F:1F91 00000000:0000 0A 00000000:00000000`
  expect(listeners(8080, table)).toBe(2)
})

test('requests at the backend are the third number of nginx', () => {
  const page =
    'Active connections: 1 \nserver accepts handled requests\n 66 66 123456 \nReading: 0 Writing: 1 Waiting: 0 \n'
  expect(parseStubStatus(page)).toBe(123456)
  expect(() => parseStubStatus('<html>404</html>')).toThrow(/status page/)
})

test.each([
  ['errors', { perSecond: 10, errors: 3, upstream: 0 }, '3 errors'],
  ['nothing answered', { perSecond: 0, errors: 0 }, 'no request was answered'],
  [
    'a hit that is none',
    { perSecond: 10, errors: 0, upstream: 0.5 },
    '0.500 backend requests a request, where 0 to 0.01 are expected',
  ],
  ['a hit', { perSecond: 10, errors: 0, upstream: 0.01 }, undefined],
  ['one that was under way at the end', { perSecond: 10, errors: 0, upstream: 0.05 }, undefined],
])('a round with %s is judged', (_, round, fault) => {
  expect(faultOf(round, { expected: [0, 0.01], unfinished: 0.05 })).toBe(fault)
})
