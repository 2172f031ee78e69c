/** Answers of two servers to one call: what agrees, and what is said of what does not. */
import { expect, it } from 'vitest'
import type { RawPairs } from '../../../src/core/call.ts'
import { runToEnd } from '../../../src/lib/cooperative.ts'
import { compareReplies } from '../../../src/protocol/compare.ts'
import type { ComparedReply } from '../../../src/protocol/difference.ts'
import { oip } from '../../../src/protocol/oip/oip.ts'
import { opaque } from '../../../src/protocol/opaque.ts'
import { openai } from '../../../src/protocol/openai/openai.ts'
import type { Protocol } from '../../../src/protocol/protocol.ts'
import { tfserving } from '../../../src/protocol/tfserving/tfserving.ts'
import { torchserve } from '../../../src/protocol/torchserve/torchserve.ts'
import { inferReply } from '../../support/oip-messages.ts'
import { encode, grpcReply } from '../../support/tensorflow-serving.ts'

const JSON_TYPE = ['content-type', 'application/json']
const reply = (body: string | Uint8Array, status = 200, headers: RawPairs = JSON_TYPE): ComparedReply => ({
  status,
  headers,
  body: Buffer.from(body),
})
const difference = (protocol: Protocol, a: ComparedReply, b: ComparedReply) =>
  runToEnd(compareReplies(protocol, a, b))
const texts = (protocol: Protocol, a: unknown, b: unknown) =>
  difference(
    protocol,
    reply(typeof a === 'string' ? a : JSON.stringify(a)),
    reply(typeof b === 'string' ? b : JSON.stringify(b, null, 2)),
  )

it('numbers within the tolerance agree, and the row and the largest difference of others are told', () => {
  const predictions = [
    [0.1, 0.9],
    [0.3, 0.7],
  ]
  expect(
    texts(
      tfserving,
      { predictions },
      {
        predictions: [
          [0.1000001, 0.9],
          [0.3, 0.7],
        ],
      },
    ),
  ).toBeUndefined()
  const found = texts(
    tfserving,
    { predictions: [[1.5], [2.5], [3.5]] },
    { predictions: [[1.5], [2.75], [4.5]] },
  )
  expect(found).toEqual({ what: 'value', output: 'predictions', row: 1, rows: 2, by: 1 })
  expect(texts(tfserving, '{"predictions":[NaN,1.5]}', '{"predictions":[NaN, 1.5]}')).toBeUndefined()
})

it('outputs by name are compared by name, in any order', () => {
  const outputs = { a: [[1.5]], b: [['x']] }
  expect(texts(tfserving, { outputs }, { outputs: { b: [['x']], a: [[1.5]] } })).toBeUndefined()
  expect(texts(tfserving, { outputs }, { outputs: { a: [[1.5]], b: [['y']] } })).toMatchObject({
    what: 'text',
    output: 'outputs.b',
    row: 0,
  })
  expect(texts(tfserving, { outputs }, { outputs: { a: [[1.5]] } })).toEqual({
    what: 'shape',
    output: 'outputs.b',
  })
  expect(texts(tfserving, { predictions: [1.5] }, { predictions: [1.5, 2.5] })).toEqual({
    what: 'shape',
    output: 'predictions',
  })
})

it('refusals agree by their kind, and a refusal never with an answer', () => {
  const [good, bad] = [reply('{"predictions":[1]}'), reply('{"error":"a"}', 400)]
  expect(difference(tfserving, good, bad)).toEqual({ what: 'status' })
  expect(difference(tfserving, bad, reply('{"error":"b"}', 400))).toBeUndefined()
})

const tensor = (data: readonly number[]) => ({ name: 'y', datatype: 'FP32', shape: [data.length, 1], data })

it('tensors agree in whichever encoding, whatever the server says of itself', () => {
  const json = { model_name: 'm', model_version: '1', outputs: [tensor([1.5, 2.5])] }
  const values = Buffer.alloc(8)
  values.writeFloatLE(1.5, 0)
  values.writeFloatLE(2.5, 4)
  const head = JSON.stringify({
    model_name: 'm',
    model_version: '2',
    outputs: [{ name: 'y', datatype: 'FP32', shape: [2, 1], parameters: { binary_data_size: 8 } }],
  })
  const binary = reply(Buffer.concat([Buffer.from(head), values]), 200, [
    'content-type',
    'application/octet-stream',
    'inference-header-content-length',
    String(head.length),
  ])
  expect(difference(oip, reply(JSON.stringify(json)), binary)).toBeUndefined()
  values.writeFloatLE(3.5, 4)
  const other = { ...binary, body: Buffer.concat([Buffer.from(head), values]) }
  expect(difference(oip, reply(JSON.stringify(json)), other)).toEqual({
    what: 'value',
    output: 'y',
    row: 1,
    rows: 1,
    by: 1,
  })
  expect(texts(oip, json, { ...json, outputs: [tensor([1.5])] })).toEqual({ what: 'shape', output: 'y' })
})

it('tensors over gRPC', () => {
  const infer = (value: number) =>
    inferReply({
      model_name: 'm',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], contents: { fp32_contents: [value] } }],
    })
  expect(difference(oip, infer(0.5), infer(0.5000001))).toBeUndefined()
  expect(difference(oip, infer(0.5), infer(0.75))).toEqual({
    what: 'value',
    output: 'y',
    row: 0,
    rows: 1,
    by: 0.25,
  })

  const predict = (version: number, floats: number[]) =>
    grpcReply(
      encode('PredictResponse', {
        model_spec: { name: 'm', version: { value: version } },
        outputs: { y: { dtype: 1, tensor_shape: { dim: [{ size: 2 }] }, float_val: floats } },
      }),
    )
  expect(difference(tfserving, predict(1, [0.5, 1]), predict(2, [0.5, 1]))).toBeUndefined()
  expect(difference(tfserving, predict(1, [0.5, 1]), predict(1, [0.5, 3]))).toEqual({
    what: 'value',
    output: 'y',
    row: 1,
    rows: 1,
    by: 2,
  })
  const regress = (value: number) =>
    grpcReply(encode('RegressionResponse', { result: { regressions: [{ value: 0.5 }, { value }] } }))
  expect(difference(tfserving, regress(1), regress(1.0000001))).toBeUndefined()
  expect(difference(tfserving, regress(1), regress(2))).toMatchObject({ output: 'results', row: 1, by: 1 })
  const classify = (score: number, label = 'a') =>
    grpcReply(
      encode('ClassificationResponse', { result: { classifications: [{ classes: [{ label, score }] }] } }),
    )
  expect(difference(tfserving, classify(0.5), classify(0.5000001))).toBeUndefined()
  expect(difference(tfserving, classify(0.5), classify(0.5, 'b'))).toMatchObject({ what: 'text', row: 0 })
})

it('ids, times and usage of the API of OpenAI are not compared, and vectors are in either form', () => {
  const item = (embedding: unknown) => ({
    id: Math.random(),
    object: 'list',
    data: [{ object: 'embedding', index: 0, embedding }],
    usage: { total_tokens: Math.round(Math.random() * 1e6) },
  })
  const encoded = (value: number) => Buffer.from(Float32Array.of(value, 1).buffer).toString('base64')
  expect(texts(openai, item([0.5, 1]), item([0.5000001, 1]))).toBeUndefined()
  expect(texts(openai, item(encoded(0.5)), item(encoded(0.5000001)))).toBeUndefined()
  expect(texts(openai, item(encoded(0.5)), item(encoded(0.75)))).toEqual({
    what: 'value',
    output: 'data',
    row: 0,
    rows: 1,
    by: 0.25,
  })
})

it('what no dialect knows is compared as JSON, and byte for byte where it is none', () => {
  expect(texts(torchserve, [0.5, 1.5], [0.5, 1.5])).toBeUndefined()
  expect(texts(torchserve, [0.5, 1.5], [0.5, 1.25])).toMatchObject({ what: 'value', row: 1, by: 0.25 })
  expect(texts(torchserve, '{', '{ ')).toBeUndefined()
  const plain = (text: string) => reply(text, 200, ['content-type', 'text/plain'])
  expect(difference(opaque, plain('a'), plain('a'))).toBeUndefined()
  expect(difference(opaque, plain('a'), plain('a '))).toEqual({ what: 'text' })
})
