import { describe, expect, it } from 'vitest'
import { parseTarget } from '../../../../src/data/route/target.ts'

describe('the request target', () => {
  it.each([
    ['/v1/models/a:predict', { path: '/v1/models/a:predict', query: '' }],
    ['/a?b=/../c', { path: '/a', query: '?b=/../c' }],
    ['/', { path: '/', query: '' }],
    ['/a%20b', { path: '/a%20b', query: '' }],
    ['/a..b/.c/...', { path: '/a..b/.c/...', query: '' }],
  ])('%s is taken as it stands', (raw, wanted) => {
    expect(parseTarget(raw)).toEqual(wanted)
  })

  it.each([
    ['http://example.com/a?b=1', { path: '/a', query: '?b=1', host: 'example.com' }],
    ['HTTPS://Example.COM:8443', { path: '/', query: '', host: 'example.com:8443' }],
    ['http://[::1]:80?b', { path: '/', query: '?b', host: '[::1]:80' }],
    ['http://host//x', { path: '//x', query: '', host: 'host' }],
  ])('%s in absolute form names its host (RFC 9112, section 3.2.2)', (raw, wanted) => {
    expect(parseTarget(raw)).toEqual(wanted)
  })

  it.each([
    ['a dot segment', '/a/../b'],
    ['a dot segment at the end', '/a/..'],
    ['a single dot', '/a/./b'],
    ['an encoded dot segment', '/a/%2e%2E/b'],
    ['a half encoded dot segment', '/a/.%2e/b'],
    ['an encoded slash', '/a%2fb'],
    ['an encoded backslash', '/a%5Cb'],
    ['an encoded NUL', '/a%00b'],
    ['a backslash', '/a\\b'],
    ['a space', '/a b'],
    ['a byte beyond ASCII', '/ä'],
    ['a fragment', '/a#b'],
    ['a broken escape', '/a%2'],
    ['an encoded line feed', '/a%0ab'],
    ['an escape that is no UTF-8', '/a%ff'],
    ['an escape that is half a character', '/caf%C3'],
    ['absolute form of another scheme', 'ftp://host/a'],
    ['absolute form without a host', 'http:///a'],
    ['absolute form with a user', 'http://user:word@host/a'],
    ['absolute form with a space in its host', 'http://a b/c'],
    ['absolute form with a dot segment', 'http://host/a/../b'],
    ['authority form', 'host:80'],
    ['asterisk form', '*'],
    ['nothing', ''],
    ['more than 8 KiB', `/${'a'.repeat(8192)}`],
  ])('%s is refused with 400', (_what, raw) => {
    expect(() => parseTarget(raw)).toThrow(expect.objectContaining({ code: 'badTarget' }))
  })
})
