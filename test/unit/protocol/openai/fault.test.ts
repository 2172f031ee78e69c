import { expect, it } from 'vitest'
import { header } from '../../../../src/core/call.ts'
import { FAULTS, type FaultCode, GatewayError } from '../../../../src/core/errors.ts'
import { fault } from '../../../../src/protocol/openai/fault.ts'
import { textOf } from '../../../../src/testing/protocol-call.ts'

function told(code: FaultCode, detail = {}) {
  const reply = fault(new GatewayError(code, 'why "it" failed', detail))
  const { error } = JSON.parse(textOf(reply)) as { error: Record<string, unknown> }
  return { ...error, status: reply.status, retry: header(reply.headers, 'x-should-retry') }
}

it('has the four members that the SDKs read, under the status of the fault', () => {
  for (const code of Object.keys(FAULTS) as FaultCode[]) {
    const { status, ...error } = told(code)
    expect(status).toBe(FAULTS[code].status)
    expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code', 'retry'])
    expect(error).toMatchObject({
      message: 'why "it" failed',
      type: expect.any(String),
      code: expect.any(String),
    })
  }
})

it('uses the words of OpenAI where it has some', () => {
  expect(told('unknownRoute')).toMatchObject({
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    param: 'model',
  })
  expect(told('unauthenticated')).toMatchObject({ status: 401, code: 'invalid_api_key', param: null })
  expect(told('badRequest')).toMatchObject({ type: 'invalid_request_error', code: 'bad_request' })
  expect(told('backendReset')).toMatchObject({ type: 'server_error', code: 'backend_reset' })
  expect(told('rateLimited', { limit: 'requests' })).toMatchObject({ code: 'rate_limit_exceeded' })
  expect(told('rateLimited', { limit: 'rows-quota' })).toMatchObject({ code: 'insufficient_quota' })
})

it('says whether to try again', () => {
  expect(told('overloaded', { retryAfterSeconds: 2 }).retry).toBe('true')
  expect(told('backendReset').retry).toBe('true')
  expect(told('rateLimited', { retryAfterSeconds: 60 }).retry).toBe('true')
  // Longer than a client would wait.
  expect(told('rateLimited', { retryAfterSeconds: 3600 }).retry).toBe('false')
  // SDKs repeat these unless they are told not to.
  for (const code of ['notCached', 'noTransport', 'internal', 'requestTimeout', 'deadline'] as const)
    expect(told(code).retry).toBe('false')
})
