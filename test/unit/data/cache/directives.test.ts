import { describe, expect, it } from 'vitest'
import { NO_DIRECTIVES, parseDirectives } from '../../../../src/data/cache/directives.ts'

describe('request directives', () => {
  it.each([
    ['nothing', [], {}],
    ['no-cache', ['Cache-Control', 'no-cache'], { noCache: true }],
    [
      'several, in any case',
      ['cache-control', 'No-Store,  ONLY-IF-CACHED'],
      { noStore: true, onlyIfCached: true },
    ],
    ['seconds', ['Cache-Control', 'max-age=5, min-fresh="7"'], { maxAge: 5000, minFresh: 7000 }],
    ['max-stale without a bound', ['Cache-Control', 'max-stale'], { maxStale: Number.POSITIVE_INFINITY }],
    ['max-stale with one', ['Cache-Control', 'max-stale=3'], { maxStale: 3000 }],
    [
      'two fields',
      ['Cache-Control', 'no-store', 'Cache-Control', 'no-cache'],
      { noStore: true, noCache: true },
    ],
    ['the first of a repeated one', ['Cache-Control', 'max-age=1, max-age=9'], { maxAge: 1000 }],
    ['a number that is none, as the strictest', ['Cache-Control', 'max-age=soon'], { maxAge: 0 }],
    [
      'more seconds than anybody can mean, as very many',
      ['Cache-Control', 'max-age=99999999999999999999'],
      { maxAge: 2 ** 31 * 1000 },
    ],
    ['an unknown one, ignored', ['Cache-Control', 'no-cachex, immutable'], {}],
    ['Pragma alone', ['Pragma', 'no-cache'], { noCache: true }],
    [
      'Pragma beside Cache-Control, ignored',
      ['Pragma', 'no-cache', 'Cache-Control', 'max-age=1'],
      { maxAge: 1000 },
    ],
  ])('%s', (_what, headers, wanted) => {
    expect(parseDirectives(headers)).toEqual({ ...NO_DIRECTIVES, ...wanted })
  })
})
