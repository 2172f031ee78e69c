import { expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { Incoming } from '../../../../src/data/backend/incoming.ts'
import type { Matched } from '../../../../src/data/route/routes.ts'
import { translated } from '../../../../src/data/upstream/translated.ts'
import type { UpstreamRequest } from '../../../../src/data/upstream/upstream-call.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import { eventually } from '../../../support/eventually.ts'
import { encoded, framed, INFER_CALL } from '../../../support/oip-messages.ts'

const BODY = framed(
  encoded('ModelInferRequest', {
    model_name: 'm',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1], contents: { fp32_contents: [1] } }],
  }),
)
const CALL = { method: 'POST', query: '', ...INFER_CALL, body: BODY } as unknown as Call
const MATCHED = {
  route: { pool: 'p' },
  protocol: oip,
  target: { verb: 'infer', prediction: true, model: 'm' },
} as unknown as Matched
const REQUEST = { headers: CALL.headers, body: BODY, collectBytes: 0 } as unknown as UpstreamRequest
const JSON_TYPE = ['content-type', 'application/json']

/** A pool that speaks HTTP alone, and gives this reply. */
function asked(reply: Reply, sent: UpstreamRequest[] = []) {
  const dispatch = translated({
    dispatch: async (_call, _matched, request) => {
      sent.push(request)
      return { reply, backend: {}, ms: 1 } as never
    },
    hasTransport: (_pool, transport) => transport === 'http',
    supports: () => false,
  })
  return Promise.resolve(dispatch(CALL, MATCHED, REQUEST))
}

it('asks in the other form, and answers in that of the call', async () => {
  const sent: UpstreamRequest[] = []
  const answer = { model_name: 'm', outputs: [{ name: 'y', datatype: 'FP32', shape: [1], data: [2] }] }
  const body = Buffer.from(JSON.stringify(answer))
  const { reply } = await asked({ status: 200, headers: JSON_TYPE, body }, sent)
  expect(sent).toMatchObject([{ as: { method: 'POST', target: '/v2/models/m/infer' } }])
  expect(reply.headers).toContain('application/grpc')
  expect(reply.trailers?.()).toEqual(['grpc-status', '0'])
})

it('an answer that is not whole fails, and is given up, since no caller could read it', async () => {
  const given: string[] = []
  const flow = { pause() {}, resume() {}, abort: () => given.push('up') }
  const body = new Incoming(flow, () => {})
  body.push(new Uint8Array(1 << 20))
  await expect(asked({ status: 200, headers: JSON_TYPE, body })).rejects.toMatchObject({
    code: 'backendGarbled',
  })
  await eventually(() => expect(given).toEqual(['up']))
})
