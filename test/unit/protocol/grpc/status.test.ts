import { describe, expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import { FAULTS, type FaultCode, GatewayError } from '../../../../src/core/errors.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { transportOf } from '../../../../src/data/http/transport.ts'
import { grpcFault } from '../../../../src/protocol/grpc/fault.ts'
import { isGrpc, isProtobuf } from '../../../../src/protocol/grpc/fields.ts'
import {
  decodeMessage,
  encodeMessage,
  httpOfStatus,
  STATUS_NAMES,
  statusOf,
  statusOfHttp,
} from '../../../../src/protocol/grpc/status.ts'
import { grpcVerdict } from '../../../../src/protocol/grpc/verdict.ts'
import { isBackendFailure } from '../../../../src/protocol/verdict.ts'

const TYPE = ['content-type', 'application/grpc']
const answered = (...trailers: string[]): Reply => ({
  ...{ status: 200, headers: TYPE, body: Buffer.from('message') },
  trailers: () => trailers,
})

describe('content types of gRPC', () => {
  it.each([
    ['application/grpc', true, true],
    ['Application/gRPC+proto', true, true],
    ['application/grpc; charset=utf-8', true, true],
    ['application/grpc ; charset=utf-8', true, true],
    ['application/grpc\t', true, true],
    ['application/grpc+json', true, false],
    ['application/grpc-web', false, false],
    ['application/json', false, false],
  ])('%s', (type, grpc, proto) => {
    expect(isGrpc(['Content-Type', type])).toBe(grpc)
    expect(isProtobuf(['Content-Type', type])).toBe(proto)
    expect(transportOf(['Content-Type', type])).toBe(grpc ? 'grpc' : 'http')
  })
})

describe('the status of an answer', () => {
  it('stands in the trailers, or in the head of an answer without a message', () => {
    expect(statusOf(answered('grpc-status', '0'))).toBe('OK')
    expect(statusOf({ status: 200, headers: [...TYPE, 'grpc-status', '14'], body: Buffer.of() })).toBe(
      'UNAVAILABLE',
    )
  })

  it('is unknown where it is no known number, or is missing at the end', () => {
    for (const trailers of [['grpc-status', '99'], ['grpc-status', 'ok'], ['grpc-status', '-1'], []])
      expect(statusOf(answered(...trailers))).toBe('UNKNOWN')
    expect(statusOf({ status: 200, headers: TYPE, body: new Chunks([Buffer.of(0)]) })).toBe('UNKNOWN')
  })

  it('has not come while the body streams', () => {
    async function* body() {}
    const reply = { status: 200, headers: TYPE, body: body(), trailers: () => [] }
    expect(statusOf(reply)).toBeUndefined()
    expect(grpcVerdict(reply).kind).toBe('ok')
  })

  it('is told from the HTTP status of what is no gRPC server', () => {
    const bare = (status: number) => statusOf({ status, headers: TYPE, body: Buffer.of() })
    expect([400, 401, 403, 404, 429, 502, 503, 504, 418].map(bare)).toEqual([
      ...['INTERNAL', 'UNAUTHENTICATED', 'PERMISSION_DENIED', 'UNIMPLEMENTED'],
      ...['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'UNKNOWN'],
    ])
  })
})

describe('HTTP statuses of the same meaning', () => {
  it('are there for each status, and back', () => {
    const back = STATUS_NAMES.map((name) => statusOfHttp(httpOfStatus(name)))
    const same = back.filter((name, i) => name === STATUS_NAMES[i])
    expect(same).toHaveLength(12)
    expect([422, 402, 405, 413, 507, 302].map(statusOfHttp)).toEqual([
      ...[
        'INVALID_ARGUMENT',
        'INVALID_ARGUMENT',
        'UNIMPLEMENTED',
        'RESOURCE_EXHAUSTED',
        'INTERNAL',
        'UNKNOWN',
      ],
    ])
  })
})

describe('messages', () => {
  it('are printable ASCII on the wire, whatever they say', () => {
    const text = 'a 100% "sure" möglich\n😀 ~'
    expect(encodeMessage(text)).toBe('a 100%25 "sure" m%C3%B6glich%0A%F0%9F%98%80 ~')
    expect(decodeMessage(encodeMessage(text))).toBe(text)
    expect(decodeMessage('50% of %zz %4')).toBe('50% of %zz %4')
  })
})

describe('verdicts', () => {
  const verdictOf = (name: (typeof STATUS_NAMES)[number], ...more: string[]) =>
    grpcVerdict(answered('grpc-status', String(STATUS_NAMES.indexOf(name)), ...more))

  it('say what a status means', () => {
    expect(verdictOf('OK')).toMatchObject({ kind: 'ok', retry: 'never' })
    expect(verdictOf('UNAVAILABLE')).toEqual({
      kind: 'overloaded',
      retry: 'elsewhere',
      code: 'grpc UNAVAILABLE',
    })
    expect(verdictOf('RESOURCE_EXHAUSTED')).toMatchObject({ kind: 'overloaded', retry: 'elsewhere' })
    for (const name of ['INTERNAL', 'UNKNOWN', 'DATA_LOSS'] as const)
      expect(verdictOf(name)).toMatchObject({ kind: 'failed', retry: 'once' })
    for (const name of ['INVALID_ARGUMENT', 'NOT_FOUND', 'OUT_OF_RANGE', 'ALREADY_EXISTS'] as const)
      expect(verdictOf(name)).toMatchObject({ kind: 'refused', retry: 'never', about: 'input' })
    for (const name of ['UNAUTHENTICATED', 'PERMISSION_DENIED'] as const)
      expect(verdictOf(name)).toMatchObject({ kind: 'refused', retry: 'never', about: 'caller' })
    expect(verdictOf('DEADLINE_EXCEEDED')).toMatchObject({ kind: 'failed', about: 'time' })
    for (const name of ['UNIMPLEMENTED', 'FAILED_PRECONDITION', 'CANCELLED'] as const)
      expect(isBackendFailure(verdictOf(name))).toBe(false)
  })

  it('heed how long the server wants to be left alone, or that it wants no retry', () => {
    const pushed = (value: string) => verdictOf('UNAVAILABLE', 'grpc-retry-pushback-ms', value)
    expect(pushed('250')).toMatchObject({ retry: 'elsewhere', retryAfterMs: 250 })
    for (const value of ['-1', 'soon', '']) expect(pushed(value)).toMatchObject({ retry: 'never' })
  })

  it('blame the input for a message that is too long, not the server', () => {
    for (const text of [
      'Received message larger than max (5 vs. 4)',
      'grpc: received message larger than max (5000000 vs. 4194304)',
      'gRPC message exceeds maximum size 4194304: 5000000',
    ])
      expect(verdictOf('RESOURCE_EXHAUSTED', 'grpc-message', text)).toMatchObject({
        kind: 'refused',
        about: 'input',
      })
  })
})

describe('faults', () => {
  it.each(Object.keys(FAULTS) as FaultCode[])(
    '%s is an answer without a message that blames whom it must',
    (code) => {
      const reply = grpcFault(new GatewayError(code, 'say "why" \n'))
      expect(reply).toMatchObject({ status: 200, body: new Uint8Array(0) })
      expect(reply.headers).toEqual(expect.arrayContaining(['application/grpc', 'say "why" %0A']))
      const { blame, status } = FAULTS[code]
      const verdict = grpcVerdict(reply)
      expect(['refused', 'overloaded', 'failed']).toContain(verdict.kind)
      // What has no form over gRPC is nobody's failure.
      if (blame !== 'caller' && status !== 501) expect(isBackendFailure(verdict)).toBe(true)
      else if (status !== 429 && code !== 'bodyTooLarge') expect(isBackendFailure(verdict)).toBe(false)
    },
  )

  it('say when a call may succeed', () => {
    const reply = grpcFault(new GatewayError('overloaded', 'full', { retryAfterSeconds: 1.5 }))
    expect(reply.headers).toEqual(
      expect.arrayContaining(['grpc-status', '14', 'grpc-retry-pushback-ms', '1500']),
    )
    const never = grpcFault(new GatewayError('internal', 'no', { retryAfterSeconds: 1 }))
    expect(never.headers).not.toContain('grpc-retry-pushback-ms')
  })
})
