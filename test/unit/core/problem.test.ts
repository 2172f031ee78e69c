import { expect, it } from 'vitest'
import { Problem } from '../../../src/control/admin/problem.ts'
import { GatewayError } from '../../../src/core/errors.ts'
import { problemBody } from '../../../src/core/problem.ts'
import { refusal } from '../../../src/data/http/refusal.ts'
import { opaque } from '../../../src/protocol/opaque.ts'
import { problem } from '../../../src/protocol/problem.ts'

const COMMON = { type: 'about:blank', title: 'Bad Request', status: 400 }

it('every port and dialect says the same of a status, with the phrase of HTTP as its title', () => {
  const error = new GatewayError('badRequest', 'no')
  const of = (body: unknown) => JSON.parse(Buffer.from(body as Uint8Array).toString())
  expect(of(problem(error).body)).toEqual({ ...COMMON, detail: 'no', code: 'badRequest' })
  expect(of(opaque.fault(error).body)).toEqual({ ...COMMON, detail: 'no', code: 'badRequest' })
  expect(JSON.parse(new Problem(400, 'no', { errors: ['a', 'b'] }).body)).toEqual({
    ...COMMON,
    detail: 'no',
    errors: ['a', 'b'],
  })
  const [head = '', body = ''] = refusal('400 Bad Request').split('\r\n\r\n')
  expect(JSON.parse(body)).toEqual(COMMON)
  expect(head).toMatch(new RegExp(`^Content-Length: ${Buffer.byteLength(body)}\r$`, 'm'))
  expect(JSON.parse(problemBody(499))).toMatchObject({ title: 'Error', status: 499 })
})
