/**
 * Whatever comes to the admin listener, it goes on answering: an exception in a handler is an answer, and never the end of
 * the process. (One request with the least token once ended it: its pool's name went into a header field.)
 */
import net from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { tokenHash } from '../../src/control/admin/auth.ts'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { call } from '../support/http.ts'
import { exchange } from '../support/raw.ts'

let plane: ControlPlane
const escaped: unknown[] = []
const escape = (error: unknown): void => void escaped.push(error)

beforeAll(async () => {
  process.on('unhandledRejection', escape)
  plane = await startControlPlane({
    admin: {
      tokens: [
        { hash: tokenHash('least'), scopes: ['read'] },
        { hash: tokenHash('most'), scopes: ['admin'] },
      ],
    },
  })
})
afterAll(async () => {
  process.off('unhandledRejection', escape)
  await plane.close()
})

const word = fc.oneof(
  fc.constantFrom(
    'q',
    'ranker',
    '%00',
    'q%00',
    'q%0a',
    '%0d%0aset-cookie:a',
    '%E2%82%AC',
    '%',
    '%22',
    '..',
    '',
  ),
  fc.constantFrom('%zz', '%ff', 'q%5c', '%F0%9F%98%80', 'a'.repeat(300), '__proto__', 'constructor', '*'),
  fc
    .string({ maxLength: 20 })
    .map(encodeURIComponent)
    .map((text) => text.slice(0, 60)),
)
/** Mostly what is there, so that requests get as far as the handlers. */
const path = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(word, word).map(([pool, id]) => `/api/v1/pools/${pool}/backends/${id}`) },
  { weight: 2, arbitrary: word.map((pool) => `/api/v1/pools/${pool}/backends/z`) },
  word.map((pool) => `/api/v1/pools/${pool}/backends/z/renew`),
  word.map((pool) => `/api/v1/pools/${pool}`),
  word.map((pool) => `/api/v1/scale/${pool}`),
  fc
    .tuple(word, word, word)
    .map(
      ([space, metric, pool]) =>
        `/apis/external.metrics.k8s.io/v1beta1/namespaces/${space}/${metric}?labelSelector=pool%3D${pool}`,
    ),
  fc.constantFrom(
    '/api/v1/cache/purge',
    '/api/v1/cache/explain',
    '/api/v1/cache/stats',
    '/metrics',
    '/livez',
  ),
  fc.constantFrom('*', '/', '//', 'http://x/api/v1/pools', 'http://[', '/?', '/%', '/api/v1/pools?%'),
)
const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS')
const token = fc.constantFrom('Bearer least', 'Bearer least', 'Bearer most', 'Bearer x', '', 'Bearer \xff')
const body = fc.oneof(
  fc.constant(''),
  fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
  fc.constantFrom(
    '{',
    '"\\ud800"',
    '[[[[',
    '{"url":"http://€/","epoch":1}',
    '{"model":"\\u0000"}',
    '\xff\xfe',
  ),
  fc.constantFrom('{"url":{"toString":1}}', '{"__proto__":{"url":"http://a"}}', '{"tags":["\\r\\nx"]}'),
)
const odd = fc.constantFrom(
  '',
  'origin: \xe4\r\n',
  'sec-fetch-site: x\r\n',
  'expect: 100-continue\r\n',
  'expect: x\r\n',
  'upgrade: h2c\r\nconnection: upgrade\r\n',
  'host: \xe4\r\n',
  'transfer-encoding: gzip\r\n',
)

const request = fc
  .tuple(method, path, token, odd, body)
  .map(
    ([verb, target, authorization, extra, text]) =>
      `${verb} ${target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `${authorization === '' ? '' : `authorization: ${authorization}\r\n`}${extra}` +
      `content-length: ${Buffer.byteLength(text, 'latin1')}\r\n\r\n${text}`,
  )

it('answers every request, however odd, and lives', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 10, maxLength: 10 }), async (requests) => {
      const replies = await Promise.all(requests.map((bytes) => exchange(plane.port, bytes)))
      for (const [i, { status, head }] of replies.entries()) {
        expect([requests[i], [0, 500].includes(status)]).toEqual([requests[i], false])
        expect(head).not.toMatch(/^set-cookie/im)
      }
      expect(escaped).toEqual([])
    }),
    { numRuns: 60 },
  )
  expect(await call(plane.port, '/livez')).toMatchObject({ status: 200 })
})

it('takes any bytes, and lives', async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.tuple(request, fc.nat(200), fc.uint8Array({ maxLength: 20 })).map(([text, at, put]) => {
      const whole = Buffer.from(text, 'latin1')
      return Buffer.concat([whole.subarray(0, at), put, whole.subarray(at + put.length)])
    }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(bytes, { minLength: 10, maxLength: 10 }), async (all) => {
      await Promise.all(all.map(thrown))
      expect(escaped).toEqual([])
    }),
    { numRuns: 60 },
  )
  expect(await call(plane.port, '/livez')).toMatchObject({ status: 200 })
})

/** Sends the bytes, ends, and waits until the other side has. */
function thrown(bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect({ port: plane.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {}).on('close', () => resolve())
    socket.on('data', () => {}).on('end', () => socket.destroy())
    socket.end(bytes)
  })
}
