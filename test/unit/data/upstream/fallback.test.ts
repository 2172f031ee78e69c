import { expect, it } from 'vitest'
import { type FaultCode, GatewayError } from '../../../../src/core/errors.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import type { Matched } from '../../../../src/data/route/routes.ts'
import { fallbackReason } from '../../../../src/data/upstream/fallback.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'

const matched = (prediction: boolean, pure = true) =>
  ({ route: { pure }, protocol: oip, target: { verb: 'infer', prediction } }) as unknown as Matched

const failed = (code: FaultCode, unsent = false) => ({ error: new GatewayError(code, code, { unsent }) })
const answer = (reply: Partial<Reply>) => ({
  answer: {
    reply: { status: 200, headers: [], body: new Uint8Array(0), ...reply },
    outcome: { kind: 'none' as const },
  },
})
const grpc = (status: number) =>
  answer({ headers: ['content-type', 'application/grpc', 'grpc-status', String(status)] })

it.each([
  ['no backend', failed('noBackend', true), 'no-backend'],
  ['no backend with the model', failed('unknownModel'), 'no-backend'],
  ['no address for the transport', failed('noTransport'), 'no-backend'],
  ['no place', failed('overloaded'), 'overloaded'],
  ['a reset connection', failed('backendReset'), 'failing'],
  ['silence', failed('backendTimeout'), 'failing'],
  ['too little time, nothing sent', failed('deadline', true), 'deadline'],
  ['the time of the call is up', failed('deadline'), undefined],
  ['a limit of the tenant', failed('rateLimited'), undefined],
  ['nothing kept, and only that was wanted', failed('notCached'), undefined],
  ['a caller that has left', failed('callerLeft'), undefined],
  ['a fault of ours', failed('internal'), undefined],
  ['a good answer', answer({}), undefined],
  ['a refusal of the input', answer({ status: 400 }), undefined],
  ['a broken backend', answer({ status: 500 }), 'failing'],
  ['a busy backend', answer({ status: 503 }), 'overloaded'],
  ['a quota of the backend', answer({ status: 429 }), 'quota'],
  ['over gRPC, a good answer', grpc(0), undefined],
  ['over gRPC, UNAVAILABLE', grpc(14), 'overloaded'],
  ['over gRPC, INTERNAL', grpc(13), 'failing'],
  ['over gRPC, INVALID_ARGUMENT', grpc(3), undefined],
])('of a prediction: %s', (_, result, reason) => {
  expect(fallbackReason(result, matched(true), { method: 'POST' })).toBe(reason)
})

it.each([
  ['POST', 'backendReset', false, undefined],
  ['POST', 'backendReset', true, 'failing'],
  ['PUT', 'backendReset', false, 'failing'],
  ['POST', 'noBackend', true, 'no-backend'],
] as const)('of a %s that is none: %s, unsent: %s', (method, code, unsent, reason) => {
  expect(fallbackReason(failed(code, unsent), matched(false), { method })).toBe(reason)
  expect(fallbackReason(answer({ status: 503 }), matched(false), { method })).toBe(undefined)
})

it('is not asked elsewhere where repeating a request matters', () => {
  expect(fallbackReason(failed('backendReset'), matched(true, false), { method: 'PUT' })).toBe(undefined)
  expect(fallbackReason(failed('backendRefused', true), matched(true, false), { method: 'PUT' })).toBe(
    'failing',
  )
})
