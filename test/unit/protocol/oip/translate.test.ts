import { describe, expect, it } from 'vitest'
import { type Call, header } from '../../../../src/core/call.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import type { Translation } from '../../../../src/protocol/protocol.ts'
import { binaryRequest, type CallParts, callOf, replyOf } from '../../../../src/testing/protocol-call.ts'
import {
  answerOf,
  decoded,
  encoded,
  framed,
  INFER_CALL,
  inferBody,
  inferReply,
  type Message,
  messageReply,
  unframed,
} from '../../../support/oip-messages.ts'

const BLOB = Buffer.from(Float32Array.of(1, 2.5).buffer)
const tensor = { name: 'x', datatype: 'FP32', shape: [2] }
const OUTPUT = { name: 'y', datatype: 'FP32', shape: ['2'] }
const ANSWER = { model_name: 'm', model_version: '4', outputs: [OUTPUT], raw_output_contents: [BLOB] }

function translated(call: Call, isBinary = false): Translation {
  const translation = oip.translate?.(call, call.body as Uint8Array, () => isBinary)
  if (!translation) throw new Error('this dialect has two forms')
  return translation
}

function refusalOf(call: Call): unknown {
  try {
    return translated(call)
  } catch (error) {
    return error
  }
}

/** A call as it arrives, with its target. */
function arrived(body: Uint8Array, parts: CallParts): Call {
  const call = callOf(body, parts)
  const target = oip.match(call.method, call.path)
  if (!target) throw new Error('no path of this dialect')
  return { ...call, target: target.isNamedInBody ? { ...target, ...oip.model?.(body) } : target }
}

const grpcCall = (message: Message): Call => arrived(inferBody(message), INFER_CALL)
const raw = (more: Message = {}): Call =>
  grpcCall({ model_name: 'm', inputs: [tensor], raw_input_contents: [BLOB], ...more })
const jsonOf = ({ body }: Reply): unknown => JSON.parse(Buffer.from(body as Uint8Array).toString())

describe('a gRPC call for servers of REST', () => {
  it('is JSON, and its answer the message that the caller expects', () => {
    const translation = translated(
      raw({
        model_version: '3',
        id: 'é',
        outputs: [{ name: 'y' }],
        parameters: { sequence_id: { int64_param: 5 } },
      }),
    )
    expect([translation.method, translation.path]).toEqual(['POST', '/v2/models/m/versions/3/infer'])
    expect(JSON.parse(Buffer.from(translation.body).toString())).toEqual({
      ...{ id: 'é', parameters: { sequence_id: 5 }, outputs: [{ name: 'y' }] },
      inputs: [{ ...tensor, data: [1, 2.5] }],
    })
    const sent = translation.headers([
      'te',
      'trailers',
      'grpc-timeout',
      '1S',
      'content-type',
      'application/grpc',
      'x-a',
      '1',
    ])
    expect(sent).toEqual(['content-type', 'application/json', 'x-a', '1'])
    const reply = replyOf(
      '{"model_name":"m","model_version":"4","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1,2.5]}]}',
    )
    expect(answerOf(translation.answer(reply))).toMatchObject({ ...ANSWER, id: 'é' })
  })

  it('has blobs where the server takes them, or JSON cannot say the values', () => {
    const binary = translated(raw(), true)
    const length = Number(header(binary.headers([]), 'inference-header-content-length'))
    expect(Buffer.from(binary.body.subarray(length))).toEqual(BLOB)
    expect(JSON.parse(Buffer.from(binary.body.subarray(0, length)).toString())).toEqual({
      parameters: { binary_data_output: true },
      inputs: [{ ...tensor, parameters: { binary_data_size: 8 } }],
    })
    const half = translated(raw({ inputs: [{ ...tensor, datatype: 'FP16', shape: [4] }] }))
    expect(header(half.headers([]), 'content-type')).toBe('application/octet-stream')
  })

  it('keeps the status and message of an error', () => {
    const reply = translated(raw()).answer({ ...replyOf('{"error":"no model m"}'), status: 404 })
    expect([header(reply.headers, 'grpc-status'), header(reply.headers, 'grpc-message')]).toEqual([
      '5',
      'no model m',
    ])
    const page = translated(raw()).answer({ ...replyOf('<p>busy</p>'), status: 503 })
    expect([header(page.headers, 'grpc-status'), header(page.headers, 'grpc-message')]).toEqual([
      '14',
      '<p>busy</p>',
    ])
  })

  it.each([
    ['badRequest', 'name of the model', raw({ model_name: '..' })],
    ['badRequest', 'name of the model', raw({ model_name: 'a/b' })],
    ['badRequest', 'names no model', raw({ model_name: '' })],
    ['badRequest', 'more entries', raw({ raw_input_contents: [BLOB, BLOB] })],
    ['badRequest', 'input "x"', raw({ raw_input_contents: [BLOB.subarray(1)] })],
    ['badRequest', 'not one message', arrived(Buffer.from('no message'), INFER_CALL)],
    ['badRequest', '', arrived(framed(Buffer.of(0x0a, 0xff)), INFER_CALL)],
    ['noTransport', 'parameter', raw({ parameters: { a: { double_param: Number.POSITIVE_INFINITY } } })],
    [
      'noTransport',
      'no other form',
      arrived(framed(Buffer.alloc(0)), {
        ...INFER_CALL,
        path: '/inference.GRPCInferenceService/RepositoryIndex',
      }),
    ],
  ])('is refused where it has no such form: %s, %s', (code, reason, call) => {
    expect(refusalOf(call)).toMatchObject({ code, message: expect.stringContaining(reason) })
  })

  it('may ask about a server or a model', () => {
    const about = (method: string, message: Message) =>
      translated(
        arrived(framed(encoded('ModelMetadataRequest', message)), {
          ...INFER_CALL,
          path: `/inference.GRPCInferenceService/${method}`,
        }),
      )
    const live = about('ServerLive', {})
    expect([live.method, live.path]).toEqual(['GET', '/v2/health/live'])
    const isLive = (reply: Reply) =>
      decoded('ServerLiveResponse', unframed(live.answer(reply).body as Uint8Array))
    expect(isLive(replyOf(''))).toEqual({ live: true })
    expect(isLive(replyOf('{"live":false}'))).toEqual({ live: false })
    expect(isLive({ ...replyOf(''), status: 503 })).toEqual({ live: false })
    const ready = about('ModelReady', { name: 'm', version: '2' })
    expect(ready.path).toBe('/v2/models/m/versions/2/ready')
    const gone = ready.answer({ ...replyOf('{"error":"x"}'), status: 404 })
    expect(header(gone.headers, 'grpc-status')).toBe('5')
    const metadata = about('ModelMetadata', { name: 'm' })
    expect(metadata.path).toBe('/v2/models/m')
    const told = {
      name: 'm',
      versions: ['1', '2'],
      platform: 'p',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    }
    const reply = metadata.answer(replyOf(JSON.stringify(told)))
    expect(decoded('ModelMetadataResponse', unframed(reply.body as Uint8Array))).toEqual({
      ...{ ...told, outputs: [] },
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['-1', '2'] }],
    })
  })
})

describe('a REST request for servers of gRPC', () => {
  const path = '/v2/models/m%20x/infer'
  const json = (more: object = {}) =>
    arrived(Buffer.from(JSON.stringify({ id: 'é', inputs: [{ ...tensor, data: [1, 2.5] }], ...more })), {
      path,
    })

  it('is a message with raw values, and its answer JSON', () => {
    const more = {
      parameters: { a: 1.5, binary_data_output: false },
      outputs: [{ name: 'y', parameters: { classification: 3 } }],
    }
    const translation = translated(json(more))
    expect([translation.method, translation.path]).toEqual(['POST', INFER_CALL.path])
    expect(decoded('ModelInferRequest', unframed(translation.body))).toMatchObject({
      ...{ model_name: 'm x', model_version: '', id: 'é' },
      parameters: { a: { double_param: 1.5 } },
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['2'], contents: null }],
      outputs: [{ name: 'y', parameters: { classification: { int64_param: '3' } } }],
      raw_input_contents: [BLOB],
    })
    expect(translation.headers(['content-type', 'application/json', 'accept', '*/*', 'x-a', '1'])).toEqual([
      ...['content-type', 'application/grpc', 'te', 'trailers', 'x-a', '1'],
    ])
    expect(jsonOf(translation.answer(inferReply(ANSWER)))).toEqual({
      ...{ id: 'é', model_name: 'm', model_version: '4' },
      outputs: [{ name: 'y', shape: [2], datatype: 'FP32', data: [1, 2.5] }],
    })
  })

  it('may have blobs', () => {
    const { body, headers } = binaryRequest(
      { inputs: [{ ...tensor, parameters: { binary_data_size: 8 } }] },
      [BLOB],
    )
    const translation = translated(arrived(body, { path, headers }))
    expect(decoded('ModelInferRequest', unframed(translation.body))).toMatchObject({
      raw_input_contents: [BLOB],
    })
  })

  it('keeps the status and message of an error', () => {
    const failed = messageReply(Buffer.alloc(0), ['grpc-status', '3', 'grpc-message', 'bad %25'])
    const reply = translated(json()).answer(failed)
    expect(reply.status).toBe(400)
    expect(jsonOf(reply)).toEqual({ error: 'bad %' })
  })

  it.each([
    ['noTransport', json({ parameters: { a: [1] } })],
    ['noTransport', json({ more: true })],
    ['badRequest', json({ inputs: [{ ...tensor, data: [1] }] })],
    ['badRequest', json({ inputs: [{ ...tensor, data: [1, 2], parameters: { binary_data_size: 8 } }] })],
    ['badRequest', arrived(Buffer.from('{"inputs":'), { path })],
    ['noTransport', arrived(BLOB, { path, headers: ['Inference-Header-Content-Length', '0'] })],
    ['noTransport', arrived(Buffer.alloc(0), { path: '/v2/models/m/config', method: 'GET' })],
    ['noTransport', arrived(Buffer.alloc(0), { path: '/v2/repository/index' })],
  ])('is refused where it has no such form: %s', (code, call) => {
    expect(refusalOf(call)).toMatchObject({ code })
  })

  it('may ask about a server or a model', () => {
    const about = (url: string) => translated(arrived(Buffer.alloc(0), { path: url, method: 'GET' }))
    expect(about('/v2/health/ready').path).toBe('/inference.GRPCInferenceService/ServerReady')
    expect(about('/v2').path).toBe('/inference.GRPCInferenceService/ServerMetadata')
    const ready = about('/v2/models/m/versions/2/ready')
    expect(ready.path).toBe('/inference.GRPCInferenceService/ModelReady')
    expect(decoded('ModelMetadataRequest', unframed(ready.body))).toEqual({ name: 'm', version: '2' })
    const answered = ready.answer(messageReply(encoded('ModelReadyResponse', { ready: true })))
    expect([answered.status, jsonOf(answered)]).toEqual([200, { ready: true }])
    expect(ready.answer(messageReply(Buffer.alloc(0))).status).toBe(503)
    const metadata = about('/v2/models/m')
    const message = {
      name: 'm',
      versions: ['1'],
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['-1', '2'] }],
    }
    expect(jsonOf(metadata.answer(messageReply(encoded('ModelMetadataResponse', message))))).toEqual({
      ...{ name: 'm', versions: ['1'], platform: '', outputs: [] },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 2] }],
    })
  })
})
