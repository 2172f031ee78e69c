import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { unpackPredictions } from '../../../src/core/prediction.ts'
import { parseJson } from '../../../src/prediction-log/json-values.ts'
import { jsonl } from '../../../src/prediction-log/jsonl.ts'
import { tfrecord } from '../../../src/prediction-log/tfrecord.ts'
import { readV1 } from '../../../src/prediction-log/v1-tensors.ts'
import { inferBody, inferReply } from '../../support/oip-messages.ts'
import { batchOf, prediction } from '../../support/predictions.ts'
import { decode, encode, framed } from '../../support/tensorflow-serving.ts'

async function* pieces(bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const encoded = (encoder: typeof jsonl, ...args: Parameters<typeof prediction>) =>
  Buffer.from(encoder.encode(prediction(...args)) ?? [])
const line = (...args: Parameters<typeof prediction>) => JSON.parse(encoded(jsonl, ...args).toString())

it('records come out of a batch as they went in', () => {
  const recorded = [{ request: 'a' }, { request: Buffer.from([0, 255]), answer: '' }, {}]
  expect([...unpackPredictions(batchOf(...recorded))]).toEqual(recorded.map(prediction))
})

describe('jsonl', () => {
  it('has bodies as text, whatever text it is', () => {
    const body = '\ufeff{"ä":"\\u2028\n\u2028\0"}'
    expect(line({ request: body }).request).toMatchObject({ encoding: 'utf8', body })
  })

  it.each([
    ['no UTF-8', Buffer.from([0xff, 0x00]), []],
    [
      'binary tensors, though they are UTF-8',
      Buffer.from('{}\0\0'),
      ['inference-header-content-length', '2'],
    ],
  ])('has %s as base64', (_, request, headers) => {
    expect(line({ request, head: { headers } }).request).toMatchObject({
      encoding: 'base64',
      body: request.toString('base64'),
    })
  })

  it('says what a replay needs, and where the answer came from', () => {
    const rows = { hit: 1, join: 0, miss: 1, dup: 0 }
    const head = { headers: ['x-tenant', 'a'], cache: 'hit', tier: 'memory', rows, requestId: 'r1' }
    expect(line({ head })).toMatchObject({
      method: 'POST',
      path: '/v1/models/ranker:predict',
      requestId: 'r1',
      request: { headers: [{ name: 'x-tenant', value: 'a' }], body: '{"instances":[1]}' },
      cache: 'hit',
      tier: 'memory',
      rows,
      response: { body: '{"predictions":[2]}' },
    })
  })
})

describe.each([
  ['jsonl', jsonl],
  ['tfrecord', tfrecord],
])('%s', (_, encoder) => {
  const one = encoded(encoder)
  const two = Buffer.concat([one, one])

  it.each([
    ['whole records', two, two.length],
    ['a record that is cut off', two.subarray(0, two.length - 1), one.length],
    ['a few bytes', one.subarray(0, 5), 0],
    ['nothing', Buffer.alloc(0), 0],
  ])('finds the end of %s', async (_of, file, wanted) => {
    for (const size of [1, 7, 1000]) expect(await encoder.wholeBytes(pieces(file, size))).toBe(wanted)
  })
})

it('a tfrecord file is whole up to the first record that is damaged', async () => {
  const one = encoded(tfrecord)
  const damaged = Buffer.from(one)
  damaged[20] = (damaged[20] as number) ^ 1
  expect(await tfrecord.wholeBytes(pieces(Buffer.concat([one, damaged, one]), 10))).toBe(one.length)
})

describe('what has no tensors is in no tfrecord', () => {
  it.each([
    ['NaN in JSON', { answer: '{"predictions":[NaN]}' }],
    ['another verb', { head: { verb: 'classify' } }],
    ['an encoded body', { head: { headers: ['content-encoding', 'gzip'] } }],
    ['ragged rows', { request: '{"instances":[[1],[1,2]]}' }],
    ['rows of different names', { request: '{"instances":[{"a":1},{"a":1,"b":2}]}' }],
    ['null', { request: '{"instances":[null]}' }],
    ['no JSON', { request: '<xml/>' }],
    [
      'a size that lies',
      {
        head: { verb: 'infer', headers: ['inference-header-content-length', '114'] },
        request: `${'{"inputs":[{"name":"i","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}'.padEnd(114)}abc`,
      },
    ],
  ])('%s', (_, recorded) => expect(tfrecord.encode(prediction(recorded))).toBeUndefined())
})

describe('a call over gRPC is in a tfrecord', () => {
  const GRPC = ['content-type', 'application/grpc']
  const logOf = (...args: Parameters<typeof prediction>) =>
    decode('PredictionLog', encoded(tfrecord, ...args).subarray(12, -4))
  const spec = { name: 'ranker', signature_name: 's' }
  const tensor = { dtype: 1, tensor_shape: { dim: [{ size: 1 }] }, float_val: [1.5] }
  const log_metadata = {
    model_spec: { name: 'ranker', version: { value: '3' } },
    timestamp_secs: String(Math.floor(Date.parse(prediction().head.time) / 1000)),
  }
  const answered = { ...spec, version: { value: 7 } }

  it.each([
    ['predict', 'PredictRequest', { inputs: { x: tensor } }, 'PredictResponse', { outputs: { y: tensor } }],
    ['classify', 'ExampleRequest', {}, 'ClassificationResponse', {}],
    ['regress', 'ExampleRequest', {}, 'RegressionResponse', {}],
  ])('as its messages are: %s', (verb, asked, more, given, result) => {
    const request = encode(asked, { model_spec: spec, ...more })
    const answer = encode(given, { model_spec: answered, ...result })
    const head = { verb, headers: [...GRPC, 'grpc-encoding', 'gzip'], answerHeaders: GRPC }
    const compressed = framed(gzipSync(request))
    compressed[0] = 1
    for (const body of [framed(request), compressed])
      expect(logOf({ head, request: body, answer: framed(answer) })).toEqual({
        log_metadata: { ...log_metadata, model_spec: { ...spec, version: { value: '7' } } },
        [`${verb}_log`]: { request: decode(asked, request), response: decode(given, answer) },
      })
  })

  it('with the model that was asked for, where no answer states one', () => {
    const request = encode('MultiInferenceRequest', { tasks: [{ model_spec: spec }] })
    const head = { verb: 'multi-inference', headers: GRPC, answerHeaders: GRPC }
    expect(logOf({ head, request: framed(request), answer: framed(Buffer.alloc(0)) })).toEqual({
      log_metadata,
      multi_inference_log: { request: decode('MultiInferenceRequest', request), response: {} },
    })
  })

  it('as the tensors of the Open Inference protocol, raw or typed', () => {
    const head = { verb: 'infer', protocol: 'oip', headers: GRPC, answerHeaders: GRPC }
    const shape = { name: 'x', datatype: 'FP32', shape: [1] }
    const raw_input_contents = [Buffer.from(Float32Array.of(1.5).buffer)]
    const answer = inferReply({
      ...{ model_name: 'ranker', model_version: '7' },
      outputs: [{ ...shape, name: 'y', datatype: 'BYTES', contents: { bytes_contents: [Buffer.from('é')] } }],
    }).body
    const typed = { inputs: [{ ...shape, contents: { fp32_contents: [1.5] } }] }
    for (const inputs of [typed, { inputs: [shape], raw_input_contents }]) {
      const request = inferBody({ model_name: 'ranker', ...inputs })
      const tensor_shape = { dim: [{ size: '1' }] }
      const version = { value: '7' }
      expect(logOf({ head, request, answer })).toMatchObject({
        log_metadata: { model_spec: { name: 'ranker', version } },
        predict_log: {
          request: { inputs: { x: { dtype: 1, tensor_shape, tensor_content: '0000c03f' } } },
          response: {
            model_spec: { version },
            outputs: { y: { dtype: 7, tensor_shape, string_val: [Buffer.from('é').toString('hex')] } },
          },
        },
      })
    }
  })

  it('unless it is not one message', () => {
    const head = { headers: GRPC, answerHeaders: GRPC }
    for (const protocol of ['tfserving', 'oip'])
      for (const verb of ['predict', 'infer', 'status'])
        expect(
          tfrecord.encode(prediction({ head: { ...head, verb, protocol }, request: 'x' })),
        ).toBeUndefined()
  })
})

describe('the datatype of a V1 tensor', () => {
  const members = { rows: 'instances', columns: 'inputs' } as const
  it.each([
    ['[[1,2],[3,4]]', 'INT64', [2, 2]],
    ['[9007199254740993]', 'INT64', [1]],
    ['[[1.0,2.0]]', 'FLOAT', [1, 2]],
    ['[1,2.5]', 'FLOAT', [2]],
    ['[1e300]', 'DOUBLE', [1]],
    ['[true]', 'BOOL', [1]],
    ['["a"]', 'STRING', [1]],
    ['[{"b64":"AQI="}]', 'STRING', [1]],
    ['[]', 'FLOAT', [0]],
  ])('%s', (rows, type, shape) => {
    const tensors = readV1(parseJson(`{"instances":${rows}}`), members)
    expect(tensors.get('instances')).toMatchObject({ type, shape })
  })
})
