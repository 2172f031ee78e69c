import { expect, it } from 'vitest'
import type { Seen } from '../../../src/load-test/load-test.ts'
import { chart } from '../../../src/load-test/report/chart.ts'
import { type BenchReport, reportHtml } from '../../../src/load-test/report/report.ts'
import { LoadTally } from '../../../src/load-test/tally.ts'

const HOSTILE = `<img src=x onerror=alert(1)>"'&`
const ESCAPED = '&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;'

/** Seconds in which so many calls took so many milliseconds. */
function seen(...each: readonly (readonly [calls: number, ms: number])[]): Seen {
  const seconds = new Map<number, LoadTally>()
  const total = new LoadTally()
  for (const [second, [calls, ms]] of each.entries()) {
    if (calls === 0) continue
    const tally = new LoadTally()
    for (let i = 0; i < calls; i++)
      tally.ended({
        us: ms * 1000,
        status: HOSTILE,
        fault: undefined,
        isError: false,
        rows: 1,
        bytes: 1,
        cache: { kind: 'hit', savedRows: 1 },
        written: { firstUs: 500, betweenUs: [100], tokens: 2 },
      })
    seconds.set(second, tally)
    total.merge(tally.counts())
  }
  return { seconds, total, ms: 1000 * each.length, busy: 0.1 }
}

const REPORT: BenchReport = {
  at: new Date(0),
  options: [[HOSTILE, HOSTILE]],
  sides: [
    { url: HOSTILE, seen: seen([10, 1], [0, 0], [20, 100]), notes: [HOSTILE] },
    { url: 'http://direct', seen: seen([5, 10], [5, 20]), notes: [] },
  ],
  ratios: [{ what: HOSTILE, median: 2, low: 1, high: 3 }],
  broken: [HOSTILE],
  gateway: [{ second: 0, ready: 2, backends: 3, queued: 5, inflight: 7 }],
}

it('a report escapes whatever servers and callers have named', () => {
  const html = reportHtml(REPORT)
  expect(html).not.toContain('<img')
  expect(html.split(ESCAPED).length).toBeGreaterThan(9)
})

it('a report runs nothing and fetches nothing', () => {
  const html = reportHtml(REPORT)
  expect(html).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
  expect(html.replaceAll(ESCAPED, '')).not.toMatch(/<script|<link|\bsrc=|\bhref=|url\(|@import|\son\w+=/i)
})

it('a report is well-formed, has every chart, and both ways of light', () => {
  const html = reportHtml(REPORT)
  const open: string[] = []
  for (const [, slash, name = '', , self] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:\s[^<>]*?)?)(\/?)>/g)) {
    if (name === 'meta' || self) continue
    if (slash) expect(open.pop()).toBe(name)
    else open.push(name)
  }
  expect(open).toEqual([])
  for (const title of ['latency', 'calls a second', 'cache', 'tokens a second', 'backends of the gateway'])
    expect(html).toContain(`aria-label="${title}"`)
  expect(html).toContain('prefers-color-scheme:dark')
  expect(html).not.toMatch(/NaN|Infinity|undefined/)
})

it('of a test in which nothing came, says so without charts of nothing', () => {
  const html = reportHtml({
    ...REPORT,
    sides: [{ url: 'x', seen: seen(), notes: [] }],
    gateway: [],
    ratios: [],
  })
  expect(html).not.toMatch(/NaN|Infinity|undefined|aria-label="latency"/)
})

it('the service level was kept, or was not promised', () => {
  expect(reportHtml({ ...REPORT, broken: [] })).toContain('The service level was kept.')
  expect(reportHtml({ ...REPORT, broken: undefined })).not.toContain('service level')
})

const AXES = { title: 't', formatX: String, formatY: (y: number) => `y${y}` }

it('a line has a gap where there is nothing, and round numbers beside it', () => {
  const points = [1, undefined, 3, 4].map((y, x) => ({ x, y }))
  const svg = chart({ ...AXES, lines: [{ name: 'a', points }] })?.text ?? ''
  const [, path = ''] = /class="line c0" d="([^"]*)"/.exec(svg) ?? []
  expect(path.match(/[ML]/g)).toEqual(['M', 'M', 'L'])
  expect([...svg.matchAll(/>y([\d.]+)</g)].map(([, y]) => Number(y))).toEqual([0, 1, 2, 3, 4])
  expect(svg).toContain('<title>0\na y1</title>')
})

it('on a logarithmic scale each power of ten has the same room', () => {
  const points = [3, 30, 3000].map((y, x) => ({ x, y }))
  const svg = chart({ ...AXES, isLog: true, lines: [{ name: 'a', points }] })?.text ?? ''
  const at = [...svg.matchAll(/<text [^>]*y="([\d.]+)" dy[^>]*>y(\d+)</g)].map(([, y, value]) => [
    Number(value),
    Number(y),
  ])
  expect(at.map(([value]) => value)).toEqual([1, 10, 100, 1000, 10_000])
  const gaps = at.slice(1).map(([, y], i) => Math.round((at[i]?.[1] ?? 0) - (y ?? 0)))
  expect(new Set(gaps).size).toBe(1)
})

it('an even line, and a single point, are drawn as well', () => {
  const even = chart({ ...AXES, lines: [{ name: 'a', points: [{ x: 5, y: 0 }] }] })?.text
  expect(even).toMatch(/d="M[\d.]+ [\d.]+h0"/)
  expect(even).not.toContain('NaN')
  expect(chart({ ...AXES, isLog: true, lines: [{ name: 'a', points: [{ x: 5, y: 0 }] }] })).toBeUndefined()
})
