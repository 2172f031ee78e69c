import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deltaMs, parseControl } from '../../../../src/data/http-cache/control.ts'
import { parseDate } from '../../../../src/data/http-cache/dates.ts'
import {
  initialAge,
  isFresh,
  lifeOf,
  NO_RESPONSE_DIRECTIVES,
  readResponseDirectives,
  statedLifetime,
} from '../../../../src/data/http-cache/response-directives.ts'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5)
const date = (seconds: number) => new Date(AT + seconds * 1000).toUTCString()
const ARRIVED = { at: AT, delayMs: 0 }
const HOUR = 3_600_000

describe('the directives of Cache-Control', () => {
  it.each([
    ['max-age=60', [['max-age', '60']]],
    [
      'MaX-aGe="60" , foo',
      [
        ['max-age', '60'],
        ['foo', undefined],
      ],
    ],
    [
      'extension="max-age=3600, no-store", max-age=1',
      [
        ['extension', 'max-age=3600, no-store'],
        ['max-age', '1'],
      ],
    ],
    [
      'a="\\"no-store\\", b", c',
      [
        ['a', '"no-store", b'],
        ['c', undefined],
      ],
    ],
    [
      'no-cache; no-store',
      [
        ['no-cache', undefined],
        ['no-store', undefined],
      ],
    ],
    ['max-age=1, max-age=60', [['max-age', '1']]],
    [', ,x= 1 ,,', [['x', '1']]],
  ])('%s', (text, directives) => {
    expect([...parseControl([text])]).toEqual(directives)
  })

  it('are not hidden by a quote that nobody closes', () => {
    expect(parseControl(['x="abc, no-store']).has('no-store')).toBe(true)
  })

  it.each([
    ['max-age=10', 10_000],
    ['max-age=007', 7000],
    ['max-age=-5', 0],
    ['max-age=1.5', 0],
    ["max-age='5'", 0],
    ['max-age', 0],
    ['max-age=99999999999', 2 ** 31 * 1000],
    ['other=5', undefined],
  ])('have seconds, or the strictest: %s', (text, ms) => {
    expect(deltaMs(parseControl([text]), 'max-age')).toBe(ms)
  })

  it('are read whatever the text, in time that grows with it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', '"', '\\', ',', '=', ' ', ';'), { maxLength: 3000 }),
        (chars) => {
          for (const name of parseControl([chars.join('')]).keys()) expect(name).not.toContain('=')
        },
      ),
      { numRuns: 50 },
    )
  })
})

describe('an HTTP date', () => {
  it.each([
    // RFC 9110, section 5.6.7.
    ['Sun, 06 Nov 1994 08:49:37 GMT'],
    ['Sunday, 06-Nov-94 08:49:37 GMT'],
    ['Sun Nov  6 08:49:37 1994'],
  ])('%s', (text) => {
    expect(parseDate(text, AT)).toBe(784_111_777_000)
  })

  it.each([
    '0',
    '',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Mon, 30 Feb 2026 00:00:00 GMT',
  ])('is not %j', (text) => {
    expect(parseDate(text, AT)).toBeUndefined()
  })

  it('of two digits is no more than 50 years ahead', () => {
    expect(parseDate('Thursday, 18-Aug-50 02:01:18 GMT', AT)).toBe(Date.UTC(2050, 7, 18, 2, 1, 18))
    expect(parseDate('Friday, 18-Aug-77 02:01:18 GMT', AT)).toBe(Date.UTC(1977, 7, 18, 2, 1, 18))
  })
})

describe('how long an answer is fresh by its own word', () => {
  it.each<[string, readonly string[], number | undefined]>([
    ['nothing said', ['Date', date(0), 'Content-Type', 'a/b'], undefined],
    ['max-age', ['Cache-Control', 'max-age=60'], 60_000],
    ['s-maxage before max-age', ['Cache-Control', 'max-age=60, s-maxage=5'], 5000],
    ['max-age before Expires', ['Cache-Control', 'max-age=60', 'Expires', date(5)], 60_000],
    ['Expires less Date', ['Expires', date(300), 'Date', date(100)], 200_000],
    ['Expires without Date', ['Expires', date(300)], 300_000],
    ['an Expires before Date', ['Expires', date(300), 'Date', date(400)], 0],
    ['an Expires that is no date', ['Expires', '0', 'Date', date(0)], 0],
    [
      'what is said to caches like this',
      ['CDN-Cache-Control', 'max-age=9', 'Cache-Control', 'no-store'],
      9000,
    ],
    ['what is said to them wrongly', ['CDN-Cache-Control', 'Max-Age: 9', 'Cache-Control', 'max-age=3'], 3000],
  ])('%s', (_, headers, ms) => {
    expect(statedLifetime(readResponseDirectives(headers, AT), ARRIVED)).toBe(ms)
  })

  it('is one and the same nothing for whatever says nothing', () => {
    expect(readResponseDirectives(['Date', date(0), 'ETag', '"a"', 'Accept', 'x'], AT)).toBe(
      NO_RESPONSE_DIRECTIVES,
    )
  })
})

describe('how old an answer was when it came (RFC 9111, section 4.2.3)', () => {
  it.each<[string, readonly string[], number, number]>([
    ['as old as the answer took', ['Cache-Control', 'max-age=60'], 250, 250],
    ['Age and the time it took', ['Cache-Control', 'max-age=60', 'Age', '30'], 250, 30_250],
    [
      'by Date, where that is more',
      ['Cache-Control', 'max-age=60', 'Date', date(-20), 'Age', '5'],
      0,
      20_000,
    ],
    ['a clock ahead of ours', ['Cache-Control', 'max-age=60', 'Date', date(20)], 0, 0],
    ['a slow clock of one who names no time', ['Date', date(-9999)], 10, 0],
    ['the first of several', ['Cache-Control', 'max-age=60', 'Age', '7, 9'], 0, 7000],
    ['an Age that is none', ['Cache-Control', 'max-age=60', 'Age', 'abc'], 0, 0],
    ['an Age with a parameter', ['Cache-Control', 'max-age=60', 'Age', '7;a=b'], 0, 7000],
  ])('%s', (_, headers, delayMs, ms) => {
    expect(initialAge(readResponseDirectives(headers, AT), { at: AT, delayMs })).toBe(ms)
  })
})

describe('the life of a kept answer', () => {
  const life = (headers: readonly string[], ttlMs = HOUR) =>
    lifeOf(readResponseDirectives(headers, AT), ARRIVED, ttlMs)

  it('is the route’s where the backend says nothing', () => {
    expect(life([])).toEqual({ createdAt: AT, ttlMs: HOUR })
  })

  it('is what the backend says, from when the answer was made', () => {
    expect(life(['Cache-Control', 'max-age=60', 'Age', '20'])).toEqual({
      createdAt: AT - 20_000,
      ttlMs: 60_000,
    })
  })

  it('is never longer than the route’s', () => {
    const { createdAt, ttlMs } = life(['Cache-Control', 'max-age=99999', 'Age', '20'])
    expect(createdAt + ttlMs).toBe(AT + HOUR)
  })

  it('is over at once for what must be asked about', () => {
    expect(life(['Cache-Control', 'no-cache, max-age=60'])).toEqual({ createdAt: AT, ttlMs: 0 })
  })

  it('ends, whatever is said, within the bound, and is over where the answer came too old', () => {
    const seconds = fc.integer({ min: 0, max: 1e6 })
    fc.assert(
      fc.property(
        seconds,
        seconds,
        fc.integer({ min: -1e6, max: 1e6 }),
        seconds,
        (maxAge, age, made, ttl) => {
          const headers = ['Cache-Control', `max-age=${maxAge}`, 'Age', String(age), 'Date', date(made)]
          const said = readResponseDirectives(headers, AT)
          const { createdAt, ttlMs } = lifeOf(said, ARRIVED, ttl * 1000)
          const left = createdAt + ttlMs - AT
          expect(left).toBeLessThanOrEqual(Math.min(ttl, maxAge) * 1000)
          expect(left).toBeLessThanOrEqual((maxAge - age) * 1000)
          expect(isFresh(said, ARRIVED)).toBe(ttl === 0 ? isFresh(said, ARRIVED) : left > 0)
        },
      ),
    )
  })
})

it.each([
  ['private', 'private'],
  ['max-age=60, NO-STORE', 'no-store'],
  ['private="x", max-age=60', 'private'],
])('%s forbids keeping it', (text, word) => {
  expect(readResponseDirectives(['Cache-Control', text], AT).forbids).toContain(word)
})
