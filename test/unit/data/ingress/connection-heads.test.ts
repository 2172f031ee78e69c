import { describe, expect, it } from 'vitest'
import { HOP_FIELDS } from '../../../../src/core/fields.ts'
import type { CacheDecision } from '../../../../src/data/decision/cache-decision.ts'
import { ConnectionHeads } from '../../../../src/data/ingress/door/connection-heads.ts'
import type { RequestHead } from '../../../../src/data/ingress/door/head.ts'
import { KnownRequests } from '../../../../src/data/ingress/door/known-requests.ts'
import { VOLATILE_FIELDS } from '../../../../src/data/ingress/door/volatile.ts'
import { isDeciding } from '../../../../src/data/key/meaning.ts'
import { createRouter } from '../../../../src/data/route/routes.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { CACHE } from '../../../support/door.ts'

const head = (id: string, rest = '') =>
  Buffer.from(`POST /p HTTP/1.1\r\nHost: h\r\nX-Id: ${id}\r\nContent-Length: 2\r\n\r\n${rest}`, 'latin1')

/** Settings with one route, by which heads are known. */
function settings(vary: readonly string[] = [], headers: Readonly<Record<string, string>> = {}) {
  const route = {
    ...{ name: 'main', match: { headers }, protocols: [opaque], pool: 'main', timeout: 1000, pure: true },
    cache: { ...CACHE, vary },
  }
  return new KnownRequests({ route: createRouter([route]), maxBodyBytes: 100 }, 8192)
}

/** Reads each head from a connection of its own. */
function reader(known = settings()) {
  return (bytes: Buffer) => {
    const heads = new ConnectionHeads(() => known)
    return heads.read(bytes, heads.keyOf(bytes))
  }
}

/** A head is kept for other connections from the second time on. */
function kept(read: ReturnType<typeof reader>, bytes: Buffer): ReturnType<typeof read> {
  read(bytes)
  return read(bytes)
}

it('a head that was read twice is the same one, whatever follows it', () => {
  const read = reader()
  const once = read(head('a', '{}'))
  const first = read(head('a', '{}'))
  expect(first).toEqual(once)
  expect(first).toMatchObject({ method: 'POST', target: '/p', length: 2 })
  expect(read(head('a'))).toBe(first)
  expect(read(head('a', '{}POST'))).toBe(first)
  expect(read(head('b'))).not.toBe(first)
})

it('one that is not plain, or not there to its end, is said to be so each time', () => {
  const read = reader()
  const folded = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n')
  for (let i = 0; i < 2; i++) {
    expect(read(folded)).toBe('other')
    expect(read(head('a').subarray(0, 30))).toBe('part')
  }
})

it('of a flood of different heads only some are kept', () => {
  const read = reader()
  const first = kept(read, head('first'))
  for (let i = 0; i < 500; i++) kept(read, head(`${i}`))
  expect(read(head('first'))).toBe(first)
  for (let i = 0; i < 2000; i++) kept(read, head(`x${i}`))
  expect(read(head('first'))).not.toBe(first)
})

it('a flood of heads that come once ousts none that comes again', () => {
  const read = reader()
  const first = kept(read, head('first'))
  for (let i = 0; i < 5000; i++) read(head(`${i}`))
  expect(read(head('first'))).toBe(first)
})

it('no field is volatile that decides who asks, what is asked, or how the message is read', () => {
  const framing = [
    ...HOP_FIELDS,
    'host',
    'content-length',
    'expect',
    'content-type',
    'origin',
    'cache-control',
  ]
  expect(VOLATILE_FIELDS.filter((name) => isDeciding(name) || framing.includes(name))).toEqual([])
})

describe('a head with volatile fields', () => {
  const lines = (...of: string[]) =>
    Buffer.from(['POST /p HTTP/1.1', 'Host: h', ...of, 'Content-Length: 2', '', '{}'].join('\r\n'), 'latin1')

  it.each([
    ['another trace', ['traceparent: 00-aa-01'], ['traceparent: 00-bb-01']],
    [
      'another request id and deadline',
      ['X-Request-Id: a', 'grpc-timeout: 10m'],
      ['X-Request-Id: b', 'grpc-timeout: 2S '],
    ],
    ['another attempt', ['x-stainless-retry-count: 0'], ['x-stainless-retry-count: 1']],
    ['other white space around it', ['traceparent:  a '], ['traceparent:a   ']],
  ])('is known again with %s', (_, before, after) => {
    const read = reader()
    const first = kept(read, lines(...before))
    expect(typeof first).toBe('object')
    expect(read(lines(...after))).toBe(first)
  })

  it.each([
    ['another field', ['X-Id: a', 'traceparent: a'], ['X-Id: b', 'traceparent: a']],
    ['a name in other case', ['traceparent: a'], ['Traceparent: a']],
    ['the field twice', ['traceparent: abcd'], ['traceparent: a', 'traceparent: b']],
    ['the fields in another order', ['b3: a', 'via: b'], ['via: a', 'b3: b']],
    ['the name as a value', ['X-Id: traceparent: a'], ['X-Id: traceparent: b']],
    ['a name that only begins so', ['traceparents: a'], ['traceparents: b']],
    ['spaces where the other has a value', ['X-Id: ab', 'traceparent: a'], ['X-Id:   ', 'traceparent: a']],
  ])('is another one with %s', (_, before, after) => {
    const read = reader()
    const first = kept(read, lines(...before))
    const second = read(lines(...after))
    expect([typeof first, typeof second]).toEqual(['object', 'object'])
    expect(second).not.toBe(first)
  })

  it.each([
    ['a folded line', 'traceparent: a\r\n b'],
    ['a tab', 'traceparent: a\tb'],
    ['a byte that is no text', 'traceparent: a\0b'],
    ['a byte beyond ASCII', 'traceparent: a\xe4b'],
    ['a line feed alone', 'traceparent: a\nb'],
    ['a return alone', 'traceparent: a\rb'],
    ['space before the colon', 'traceparent : a'],
    ['its removal asked for', 'traceparent: abc\r\nConnection: traceparent'],
  ])('is not plain with %s, whatever was read before', (_, line) => {
    const read = reader()
    expect(typeof kept(read, lines('traceparent: abc'))).toBe('object')
    expect(typeof kept(read, lines('traceparent: abc', 'Connection: keep-alive'))).toBe('object')
    expect(read(lines(line))).toBe('other')
  })

  it('is not known without a field that a route varies by or matches', () => {
    const varying = [settings(['traceparent', 'x_request_id']), settings([], { Traceparent: 'a*' })]
    for (const known of varying) {
      const read = reader(known)
      const other = kept(read, lines('traceparent: a'))
      expect(read(lines('traceparent: b'))).not.toBe(other)
      const first = kept(read, lines('via: b'))
      expect(read(lines('via: a'))).toBe(first)
    }
    const [known] = varying
    const read = reader(known)
    const first = kept(read, lines('x-request-id: a'))
    expect(read(lines('x-request-id: b'))).not.toBe(first)
  })

  it('has its own values where another is known for it', () => {
    const known = settings()
    const heads = new ConnectionHeads(() => known)
    const read = (bytes: Buffer) => heads.read(bytes, heads.keyOf(bytes)) as RequestHead
    const before = lines('traceparent: a', 'grpc-timeout: 10m', 'X-Id: 1')
    const after = lines('traceparent: b', 'grpc-timeout: 20m', 'X-Id: 1')
    const first = read(before)
    Object.assign(first.notes, {
      path: '/p',
      timeout: 10,
      headers: first.headers,
      decision: {} as CacheDecision,
    })
    expect(heads.forCall(before, first)).toBe(first)
    const own = heads.forCall(after, read(after))
    expect(own.headers).toContain('20m')
    expect(own.notes).toEqual({ ...first.notes, timeout: 20, headers: own.headers })
    expect(read(after)).toBe(first)
  })

  it('takes the place of one that nothing was decided for', () => {
    const known = settings()
    const heads = new ConnectionHeads(() => known)
    const read = (bytes: Buffer) => heads.read(bytes, heads.keyOf(bytes)) as RequestHead
    const first = read(lines('traceparent: a'))
    const own = heads.forCall(lines('traceparent: b'), first)
    expect(own.notes).toEqual({})
    expect(read(lines('traceparent: c'))).toBe(own)
    expect(reader(known)(lines('traceparent: d'))).toBe(own)
  })

  it('is not known under other settings', () => {
    let known = settings()
    const heads = new ConnectionHeads(() => known)
    const read = (bytes: Buffer) => heads.read(bytes, heads.keyOf(bytes))
    const first = read(lines('traceparent: a'))
    expect(read(lines('traceparent: a'))).toBe(first)
    known = settings(['traceparent'])
    const second = read(lines('traceparent: a'))
    expect(second).not.toBe(first)
    expect(read(lines('traceparent: b'))).not.toBe(second)
  })
})

describe('the request id', () => {
  const traced = (...fields: string[]) =>
    Buffer.from(['POST /p HTTP/1.1', 'Host: h', ...fields, 'Content-Length: 2', '', '{}'].join('\r\n'))

  /** The ids that one connection reads in these heads, one after the other. */
  function idsOf(known: KnownRequests, ...all: Buffer[]): string[] {
    const heads = new ConnectionHeads(() => known)
    return all.map((bytes) => heads.requestIdOf(bytes, heads.read(bytes, heads.keyOf(bytes)) as RequestHead))
  }

  it.each([[[]], [['x-request-id']]])(
    'is that of this call under a head that is known (keys cover %j)',
    (vary) => {
      const id = (text: string) => traced(`X-Request-Id:  ${text} `, 'traceparent: t')
      const ids = ['aaa', 'bbb', 'bbb', 'no id', 'aaa', 'longer than these']
      expect(idsOf(settings(vary), ...ids.map(id))).toEqual(['aaa', 'bbb', 'bbb', '', 'aaa', ''])
    },
  )

  it('is none where the head has none, and the first where it has several', () => {
    const both = traced('x-request-id: a', 'x-request-id: b')
    const none = traced('traceparent: t')
    expect(idsOf(settings(), both, none, both, none)).toEqual(['a', '', 'a', ''])
    expect(idsOf(settings(), traced(), traced('x-request-id: c'), traced())).toEqual(['', 'c', ''])
  })

  it('varies without another head being read', () => {
    const known = settings()
    const heads = new ConnectionHeads(() => known)
    const read = (id: string) => {
      const bytes = traced(`x-request-id: ${id}`, `traceparent: ${id}`)
      return heads.read(bytes, heads.keyOf(bytes))
    }
    const first = read('000')
    for (let i = 100; i < 200; i++) expect(read(String(i))).toBe(first)
  })
})
