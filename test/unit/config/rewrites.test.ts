/** What may not be rewritten, and what is said of it. */
import { expect, it } from 'vitest'
import { resolve } from '../../../src/config/resolve.ts'
import { warningsOf } from '../../../src/config/warnings.ts'
import { Rewrite } from '../../../src/data/route/rewrite.ts'

const resolved = (route: object) =>
  resolve(
    { pools: { a: { backends: [{ url: 'http://127.0.0.1:1' }] }, b: {} }, routes: [{ pool: 'a', ...route }] },
    '/',
  )
const problems = (route: object) => {
  const found = resolved(route)
  return 'issues' in found
    ? found.issues.map(({ path, message }) => `${path.slice(2).join('.')}: ${message}`)
    : []
}
const request = (changes: object) => problems({ headers: { request: changes } })
const response = (changes: object) => problems({ headers: { response: changes } })

it('fields by which the gateway lives are refused, each with the reason', () => {
  expect(request({ set: { Host: 'a' } })).toEqual([
    'headers.request.set.Host: the Host is rewritten by rewrite: { host: … }',
  ])
  for (const name of ['connection', 'Content_Length', 'te', 'expect', 'via'])
    expect(request({ remove: [name] })).toEqual([expect.stringMatching(/for each connection itself/)])
  for (const name of ['content-type', 'grpc-timeout', 'if-none-match', 'accept-encoding', 'range'])
    expect(request({ set: { [name]: 'a' } })).toEqual([
      expect.stringMatching(/how the message is to be read/),
    ])
  for (const name of ['x-request-id', 'traceparent', 'x-request-deadline-ms'])
    expect(request({ add: { [name]: 'a' } })).toEqual([expect.stringMatching(/writes this field itself/)])
  expect(request({ set: { 'X-Api_Key': 'a' } })).toEqual([expect.stringMatching(/"credentials" of the pool/)])
  expect(request({ remove: ['x-api-key'] })).toEqual([])
  for (const name of ['content-length', 'transfer-encoding', 'content-type', 'trailer'])
    expect(response({ set: { [name]: 'a' } })).toEqual([expect.stringMatching(/frames answers itself/)])
  for (const name of ['cache-status', 'cache-control', 'vary', 'set-cookie', 'age'])
    expect(response({ remove: [name] })).toEqual([expect.stringMatching(/to the cache/)])
  expect(response({ set: { 'access-control-allow-origin': '*' } })).toEqual([expect.stringMatching(/"cors"/)])
})

it('values and names are what HTTP allows, and each field is changed once', () => {
  for (const value of ['a\r\nx: y', 'a\u0000', ' a', 'é', ''])
    expect(request({ set: { 'x-a': value } })).toEqual([expect.stringMatching(/headers.request.set.x-a/)])
  for (const name of [':path', 'a b', 'a:b', '']) expect(request({ set: { [name]: 'a' } })).toHaveLength(1)
  expect(request({ set: { 'x-a': '1' }, remove: ['X-A'] })).toEqual([
    expect.stringMatching(/changed more than once/),
  ])
})

it('prefixes are whole paths, and hosts are names', () => {
  for (const prefix of ['a', '/a/../b', '/a%2fb', '//a', '/a?b', '/a b', '/%zz'])
    expect(problems({ rewrite: { prefix } })).toEqual([expect.stringMatching(/^rewrite.prefix/)])
  for (const host of ['a b', 'a/b', 'a\r\nb', '-a', 'a:b'])
    expect(problems({ rewrite: { host } })).toEqual([expect.stringMatching(/^rewrite.host/)])
  expect(problems({ rewrite: { to: '/a' } })).toHaveLength(2)
  expect(problems({ rewrite: { prefix: '/a', to: '', host: 'b.example:8080' } })).toEqual([])
})

it('a mirror of its own pool, or of calls that are not sent twice, is refused', () => {
  expect(problems({ mirror: { pool: 'a' } })).toEqual([expect.stringMatching(/answers the calls already/)])
  expect(problems({ mirror: { pool: 'c' } })).toEqual([expect.stringMatching(/no such pool/)])
  expect(problems({ pure: false, mirror: { pool: 'b' } })).toEqual([
    expect.stringMatching(/no copy would be sent/),
  ])
  expect(problems({ mirror: { pool: 'b', share: '101%' } })).toEqual([
    expect.stringMatching(/from 0% to 100%/),
  ])
  expect(problems({ mirror: { pool: 'b', share: '0%' } })).toEqual([])
})

it('a prefix that no path of the route has is warned of', () => {
  const warned = (path: string, prefix: string) => {
    const found = resolved({ match: { path }, rewrite: { prefix } })
    if ('issues' in found) throw new Error(JSON.stringify(found.issues))
    return warningsOf(found.settings).filter(({ message }) => message.startsWith('nothing is rewritten'))
      .length
  }
  expect(warned('/a/*', '/a')).toBe(0)
  expect(warned('/a/*', '/a/b')).toBe(0)
  expect(warned('/a/b', '/a/b')).toBe(0)
  expect(warned('/a/*', '/b')).toBe(1)
  expect(warned('/ab', '/a')).toBe(1)
})

it('a prefix is whole segments', () => {
  const rewrite = new Rewrite({ prefix: '/a', to: '/x/y/' })
  expect(['/a', '/a/', '/a/b', '/ab', '/b/a', '/%61/b'].map((path) => rewrite.path(path))).toEqual([
    '/x/y',
    '/x/y/',
    '/x/y/b',
    '/ab',
    '/b/a',
    '/x/y/b',
  ])
  const strip = new Rewrite({ prefix: '/a/' })
  expect(['/a', '/a/', '/a/b', '/a//b'].map((path) => strip.path(path))).toEqual(['/', '/', '/b', undefined])
  expect(new Rewrite({ prefix: '/', to: '/x' }).path('/a')).toBe('/x/a')
})
