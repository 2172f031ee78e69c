import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { digestOf } from '../../../../src/core/key.ts'
import {
  answerTo,
  rangeOf,
  validatorsOf,
  withValidators,
} from '../../../../src/data/http-cache/conditions.ts'
import { keptFields, updatedFields } from '../../../../src/data/http-cache/fields.ts'
import { keepingOf } from '../../../../src/data/http-cache/keep.ts'
import { answerDigest } from '../../../../src/data/http-cache/node.ts'
import { readResponseDirectives } from '../../../../src/data/http-cache/response-directives.ts'
import { selectingFields, selection } from '../../../../src/data/http-cache/vary.ts'
import { CACHE } from '../../../support/pipeline.ts'

const AT = Date.UTC(2026, 0, 2, 3, 4, 5)
const date = (seconds: number) => new Date(AT + seconds * 1000).toUTCString()

describe('the fields that choose an answer', () => {
  it.each<[string, readonly string[], readonly string[] | undefined]>([
    ['none', ['Content-Type', 'a/b'], []],
    ['those that Vary names, once and in order', ['Vary', 'Foo, bar', 'vary', 'FOO'], ['bar', 'foo']],
    ['no telling', ['Vary', 'foo, *'], undefined],
    ['the coding that was asked for', ['Content-Encoding', 'gzip'], ['accept-encoding']],
    ['the origin that was allowed', ['Access-Control-Allow-Origin', 'https://a.example'], ['origin']],
    ['nothing, where all origins are', ['Access-Control-Allow-Origin', '*'], []],
    ['more than anybody means', ['Vary', Array.from({ length: 17 }, (_, i) => `f${i}`).join()], undefined],
  ])('%s', (_, headers, names) => {
    expect(selectingFields(headers)).toEqual(names)
  })

  it('have the same value whatever the space, and in one line or two', () => {
    const value = (...headers: string[]) => selection(['foo'], headers)
    expect(value('Foo', '1, 2')).toEqual(value('foo', '1', 'FOO', ' 2'))
    expect(value('Foo', '"1, 2"')).not.toEqual(value('Foo', '"1,2"'))
    expect(value()).not.toEqual(value('Foo', ''))
  })

  it('part answers exactly where their values differ', () => {
    const pair = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.stringMatching(/^[a-z]{0,3}$/))
    const asker = (headers: readonly string[]) => ({
      url: digestOf('u'),
      seed: digestOf('s'),
      sent: digestOf(''),
      headers,
    })
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 4 }), fc.array(pair, { maxLength: 4 }), (one, other) => {
        const node = { generation: 'g', names: ['a', 'b'] }
        const [first, second] = [one.flat(), other.flat()]
        const isSame = selection(node.names, first).join('\n') === selection(node.names, second).join('\n')
        expect(answerDigest(asker(first), node) === answerDigest(asker(second), node)).toBe(isSame)
      }),
    )
  })
})

describe('what is kept of an answer', () => {
  it('is everything that is end to end', () => {
    const headers = [
      'Connection',
      'x-hop',
      'X-Hop',
      '1',
      'X-Id',
      '2',
      'Age',
      '3',
      'Keep-Alive',
      '4',
      'Date',
      date(0),
    ]
    expect(
      keptFields(
        [...headers, 'Proxy-Authentication-Info', 'x', 'Server-Timing', 'db;dur=5', 'Content-Length', '5'],
        AT,
      ),
    ).toEqual(['X-Id', '2', 'Date', date(0)])
  })

  it('is brought up to date by a 304, but for what tells of the bytes', () => {
    const stored = ['ETag', '"a"', 'X-A', '1', 'X-B', '2', 'Content-Encoding', 'gzip', 'Date', date(-9)]
    const news = ['etag', '"b"', 'x-a', '3', 'Content-Encoding', 'br', 'Set-Cookie', 'a=b', 'Date', date(0)]
    expect(updatedFields(stored, news, AT)).toEqual([
      ...['ETag', '"a"', 'X-B', '2', 'Content-Encoding', 'gzip'],
      ...['x-a', '3', 'Date', date(0)],
    ])
  })
})

describe('a condition', () => {
  const body = Buffer.from('0123456789')
  const stored = {
    status: 200,
    headers: ['ETag', 'W/"a"', 'Last-Modified', date(-100), 'Content-Type', 'a/b'],
    body,
  }
  it.each<[string, readonly string[], number]>([
    ['on the tag, compared weakly', ['If-None-Match', '"x", "a"'], 304],
    ['on any tag', ['If-None-Match', '*'], 304],
    ['on another tag, whatever the date says', ['If-None-Match', '"x"', 'If-Modified-Since', date(0)], 200],
    ['on the date', ['If-Modified-Since', date(-100)], 304],
    ['on a date before it', ['If-Modified-Since', date(-101)], 200],
    ['on what is no date', ['If-Modified-Since', 'yesterday'], 200],
    ['of one part', ['Range', 'bytes=2-3'], 206],
    ['of several parts', ['Range', 'bytes=0-1,4-5'], 200],
    ['of a part of another version', ['Range', 'bytes=2-3', 'If-Range', '"b"'], 200],
    ['of a part by a weak tag', ['Range', 'bytes=2-3', 'If-Range', 'W/"a"'], 200],
    ['of a part by the date', ['Range', 'bytes=2-3', 'If-Range', date(-100)], 206],
    ['of a part that is not there', ['Range', 'bytes=10-'], 416],
  ])('%s', (_, request, status) => {
    expect(answerTo({ method: 'GET', headers: request }, stored, AT).status).toBe(status)
  })

  it('of a part is answered with the part', () => {
    const { headers, body: part } = answerTo({ method: 'GET', headers: ['Range', 'bytes=-3'] }, stored, AT)
    expect(Buffer.from(part).toString()).toBe('789')
    expect(headers).toEqual(expect.arrayContaining(['Content-Range', 'bytes 7-9/10']))
  })

  it('of a part is not heeded in a HEAD', () => {
    const head = { method: 'HEAD', headers: ['Range', 'bytes=-3'] }
    expect(answerTo(head, stored, AT)).toBe(stored)
    expect(answerTo({ ...head, headers: ['If-None-Match', '*'] }, stored, AT).status).toBe(304)
  })

  it.each<[string, ReturnType<typeof rangeOf>]>([
    ['bytes=0-', [0, 10]],
    ['bytes=0-99', [0, 10]],
    ['bytes=-99', [0, 10]],
    ['bytes=-0', 'outside'],
    ['bytes=5-4', undefined],
    ['bytes=-', undefined],
    ['items=0-1', undefined],
  ])('%s', (field, range) => {
    expect(rangeOf(field, 10)).toEqual(range)
  })

  it('of ours replaces the caller’s', () => {
    expect(
      withValidators(
        ['If-None-Match', '"x"', 'Range', 'bytes=0-1', 'A', '1'],
        validatorsOf(stored.headers) ?? [],
      ),
    ).toEqual(['A', '1', 'If-None-Match', 'W/"a"', 'If-Modified-Since', date(-100)])
  })
})

describe('an answer of an opaque route is kept', () => {
  const route = { ...CACHE, ttl: 60_000, scope: 'shared' as const }
  const kept = (status: number, headers: readonly string[], more: object = {}) => {
    const response = readResponseDirectives(headers, AT)
    const judged = { response, route, isAuthorized: false, isRead: true, ...more }
    return keepingOf({ status, headers }, { at: AT, delayMs: 0 }, judged) !== undefined
  }
  it.each<[string, boolean, number, readonly string[], object?]>([
    ['200 without a word', true, 200, []],
    ['301 without a word', true, 301, []],
    ['404 without a word', false, 404, []],
    ['404 where refusals are kept', true, 404, [], { route: { ...route, negativeTtl: 1000 } }],
    ['503 without a word', false, 503, []],
    ['503 by its word', true, 503, ['Cache-Control', 'max-age=5']],
    ['206 by its word', false, 206, ['Cache-Control', 'max-age=5']],
    ['599 that must be understood', false, 599, ['Cache-Control', 'max-age=5, must-understand']],
    ['a cookie', false, 200, ['Cache-Control', 'max-age=5', 'Set-Cookie', 'a=b']],
    ['Vary: *', false, 200, ['Vary', '*']],
    ['too old already', false, 200, ['Cache-Control', 'max-age=5', 'Age', '6']],
    [
      'too old already, to be asked about',
      true,
      200,
      ['Cache-Control', 'max-age=5', 'Age', '6', 'ETag', '"a"'],
    ],
    ['no-cache, to be asked about', true, 200, ['Cache-Control', 'no-cache', 'ETag', '"a"']],
    ['no-cache by POST', false, 200, ['Cache-Control', 'no-cache', 'ETag', '"a"'], { isRead: false }],
    ['credentials', false, 200, ['Expires', date(60)], { isAuthorized: true }],
    ['credentials, by leave', true, 200, ['Cache-Control', 's-maxage=5'], { isAuthorized: true }],
    ['credentials of its own', true, 200, [], { isAuthorized: true, route: { ...route, scope: 'caller' } }],
  ])('%s: %s', (_, isKept, status, headers, more) => {
    expect(kept(status, headers, more)).toBe(isKept)
  })
})
