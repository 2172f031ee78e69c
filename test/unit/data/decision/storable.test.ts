import { describe, expect, it } from 'vitest'
import { keptHeaders, responseDirectivesOf, unstorable } from '../../../../src/data/decision/storable.ts'
import { NO_RESPONSE_DIRECTIVES } from '../../../../src/data/http-cache/response-directives.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'

const policy = { protocol: tfserving, maxEntryBytes: 100, vary: ['x-tenant'], heedBackend: true }
const reply = (headers: string[], status = 200) => ({ status, headers, body: Buffer.from('{}') })

describe('an answer is kept', () => {
  it.each([
    ['when it is a plain 200', []],
    ['when it varies by what the key covers', ['Vary', 'X-Tenant, Accept-Encoding']],
    ['when it says how long', ['Cache-Control', 'max-age=60, must-revalidate']],
  ])('%s', (_what, headers) => {
    expect(unstorable(reply(headers), policy)).toBeUndefined()
  })
})

it('is kept of servers that say no-store without meaning it, but for their cookies', () => {
  const careless = { ...policy, heedBackend: false }
  const headers = ['Cache-Control', 'no-cache; no-store, must-revalidate, private']
  expect(unstorable(reply(headers), careless)).toBeUndefined()
  expect(unstorable(reply([...headers, 'Set-Cookie', 'a=b']), careless)).toBe('set-cookie')
  // The same head on a route that heeds it.
  const head = { ...reply(headers), notes: {} }
  expect(unstorable(head, careless)).toBeUndefined()
  expect(unstorable(head, policy)).toContain('private')
})

it("takes what a dialect's servers say of every answer for nothing said, and heeds whatever else they say", () => {
  const habits = ['Cache-Control', 'no-store, private', 'Expires', 'Thu, 01 Jan 1970 00:00:00 UTC']
  const own = { ...policy, protocol: { habits } }
  const usual = ['cache-control', 'no-store, private', 'expires', 'Thu, 01 Jan 1970 00:00:00 UTC']
  const head = { ...reply(usual), notes: {} }
  expect(unstorable(head, own)).toBeUndefined()
  expect(responseDirectivesOf(head, own.protocol)).toBe(NO_RESPONSE_DIRECTIVES)
  // The same head of the same backend, on a route of another dialect, before and after.
  expect(unstorable(head, policy)).toContain('private')
  expect(unstorable(head, own)).toBeUndefined()
  expect(unstorable(reply(['Cache-Control', 'no-store']), own)).toContain('no-store')
  expect(unstorable(reply([...usual, 'Cache-Control', 'private']), own)).toContain('private')
  expect(unstorable(reply([...usual, 'Set-Cookie', 'a=b']), own)).toBe('set-cookie')
})

it('takes what servers say of every stream for nothing said of a stream alone', () => {
  const own = { ...policy, protocol: { streamHabits: ['Cache-Control', 'no-store'] }, keepsEvents: true }
  const forbidding = ['cache-control', 'no-store']
  expect(unstorable(reply([...forbidding, 'content-type', 'text/event-stream']), own)).toBeUndefined()
  expect(unstorable(reply([...forbidding, 'content-type', 'application/json']), own)).toContain('no-store')
})

describe('an answer is not kept', () => {
  it.each([
    ['with a cookie', ['Set-Cookie', 'a=b']],
    ['that varies by what the key does not cover', ['Vary', 'User-Agent']],
    ['that varies by everything', ['Vary', '*']],
    ['that its sender calls private', ['Cache-Control', 'max-age=1, private']],
    ['that must be asked about each time', ['Cache-Control', 'no-cache']],
    ['that its sender does not want stored', ['Cache-Control', 'no-store']],
    ['in a coding nobody asked for', ['Content-Encoding', 'gzip']],
    ['that is a stream of events', ['Content-Type', 'text/event-stream; charset=utf-8']],
    ['that is a stream of lines', ['Content-Type', 'application/x-ndjson']],
    ['that is a stream of pictures', ['Content-Type', 'multipart/x-mixed-replace; boundary=f']],
    ['that must not be held back', ['X-Accel-Buffering', 'no']],
    ['that is part of something', ['Content-Range', 'bytes 0-1/2']],
    ['that says it is too large', ['Content-Length', '101']],
  ])('%s', (_what, headers) => {
    expect(unstorable(reply(headers), policy)).toEqual(expect.any(String))
  })

  it.each([201, 204, 206, 301, 304, 400, 404, 429, 500, 503])('with status %d', (status) => {
    expect(unstorable(reply([], status), policy)).toBe(`status ${status}`)
  })
})

it('keeps of the headers only what belongs to the answer', () => {
  const headers = [
    'Content-Type',
    'application/json',
    'X-Request-Id',
    '1',
    'Date',
    'x',
    'X-RateLimit-Remaining',
    '5',
  ]
  expect(keptHeaders({ headers }, {})).toEqual(['Content-Type', 'application/json'])
})
