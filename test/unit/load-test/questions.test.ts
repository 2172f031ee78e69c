/** What is asked: rows and their overlap, the same numbers in every form, and what a server says of its inputs. */
import { describe, expect, it } from 'vitest'
import { cacheUse } from '../../../src/load-test/cache-use.ts'
import type { DialectOptions, LoadProtocol } from '../../../src/load-test/dialects/dialect.ts'
import { parseInput, type RowInput, rowsOf } from '../../../src/load-test/dialects/input.ts'
import * as metadata from '../../../src/load-test/dialects/metadata.ts'
import { questioner } from '../../../src/load-test/dialects/questioner.ts'
import { tensorBytes, valuesOf } from '../../../src/load-test/dialects/tensor.ts'
import { WrittenAnswer } from '../../../src/load-test/written-answer.ts'
import { zipf } from '../../../src/load-test/zipf.ts'
import { PREFIX_BYTES } from '../../../src/protocol/grpc/message.ts'
import { MessageWriter } from '../../../src/protocol/protobuf/writer.ts'
import { decoded } from '../../support/oip-messages.ts'
import { decode } from '../../support/tensorflow-serving.ts'

const OPTIONS: DialectOptions = {
  protocol: 'tfserving',
  model: 'a b',
  rows: 3,
  overlap: 0.5,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 2] }],
  headers: [],
  isHttp2: false,
  path: undefined,
  template: undefined,
  generation: { endpoint: 'stream', maxTokens: 5, temperature: 0, words: 3 },
}

const ask = (options: Partial<DialectOptions>, key = 1) => questioner({ ...OPTIONS, ...options }, 10)(key)
const bodyText = (options: Partial<DialectOptions>, key = 1) => String(ask(options, key).body)

describe('rows', () => {
  it('overlap from key to key, and the last key with the first', () => {
    expect([1, 2, 10].map((key) => rowsOf(key, { rows: 4, overlap: 0.5 }, 10))).toEqual([
      [0, 1, 2, 3],
      [2, 3, 4, 5],
      [18, 19, 0, 1],
    ])
    expect(rowsOf(2, { rows: 4, overlap: 0 }, 10)).toEqual([4, 5, 6, 7])
    expect(rowsOf(2, { rows: 4, overlap: 1 }, 10)).toEqual([1, 2, 3, 4])
  })

  it('are the same each time, and differ from each other', () => {
    const input: RowInput = { name: 'x', datatype: 'INT64', shape: [64] }
    expect(valuesOf(5, input)).toEqual(valuesOf(5, input))
    const distinct = new Set(Array.from({ length: 1000 }, (_, row) => String(valuesOf(row, input))))
    expect(distinct.size).toBe(1000)
    const scalars = new Set(
      Array.from({ length: 1000 }, (_, row) => String(valuesOf(row, { ...input, shape: [1] }))),
    )
    expect(scalars.size).toBe(1000)
  })
})

describe('a question', () => {
  it.each<[LoadProtocol, string, string]>([
    ['tfserving', '/v1/models/a%20b:predict', 'application/json'],
    ['oip', '/v2/models/a%20b/infer', 'application/json'],
    ['oip-grpc', '/inference.GRPCInferenceService/ModelInfer', 'application/grpc'],
    ['tfserving-grpc', '/tensorflow.serving.PredictionService/Predict', 'application/grpc'],
    ['openai', '/v1/chat/completions', 'application/json'],
  ])('%s has its path and type', (protocol, target, type) => {
    const question = ask({ protocol, headers: ['x-a', 'b'] })
    expect(question).toMatchObject({ target, method: 'POST', headers: ['content-type', type, 'x-a', 'b'] })
    expect(question.transport).toBe(type === 'application/grpc' ? 'grpc' : 'http')
    expect(question.rows).toBe(protocol === 'openai' ? 1 : 3)
  })

  it('of one input has bare rows, of several has objects', () => {
    const { instances } = JSON.parse(bodyText({})) as { instances: number[][][] }
    expect(instances).toHaveLength(3)
    expect(instances[0]).toEqual([expect.any(Array), expect.any(Array)])
    const inputs = [...OPTIONS.inputs, { name: 'id', datatype: 'BYTES', shape: [1] }]
    const named = JSON.parse(bodyText({ inputs })) as { instances: object[] }
    expect(named.instances[1]).toEqual({ x: instances[1], id: ['text 1.0'] })
  })

  it('with binary tensors says how long its JSON is', () => {
    const { headers, body } = ask({ protocol: 'oip-binary' })
    const length = Number(headers[headers.indexOf('inference-header-content-length') + 1])
    const json = JSON.parse(String(body?.subarray(0, length))) as { inputs: unknown[] }
    expect(json.inputs).toEqual([
      { name: 'x', shape: [3, 2, 2], datatype: 'FP32', parameters: { binary_data_size: 48 } },
    ])
    expect(body).toHaveLength(length + 48)
  })

  it('of a template has the number of its key', () => {
    expect(bodyText({ template: '{"a":{{key}},"b":"{{key}}"}' }, 7)).toBe('{"a":7,"b":"7"}')
  })

  it('of embeddings has a text a row, each with its own number', () => {
    const generation = { ...OPTIONS.generation, endpoint: 'embeddings' as const }
    const { input } = JSON.parse(bodyText({ protocol: 'openai', generation })) as { input: string[] }
    expect(input.map((text) => text.split(' ').length)).toEqual([3, 3, 3])
    expect(input.map((text) => text.split(' ')[0])).toEqual(['0', '1', '2'])
  })
})

describe('a message over gRPC is what protobufjs reads as well', () => {
  const inputs = [
    { name: 'x', datatype: 'FP32', shape: [2] },
    { name: 'id', datatype: 'BYTES', shape: [1] },
  ]
  const message = (protocol: LoadProtocol) => {
    const { body } = ask({ protocol, inputs, rows: 2 })
    return (body as Buffer).subarray(PREFIX_BYTES)
  }
  const floats = Buffer.from(
    Float32Array.from([0, 1].flatMap((row) => valuesOf(row, inputs[0] as RowInput).map(Number))).buffer,
  ).toString('hex')

  it('of TensorFlow Serving', () => {
    const text = (value: string) => Buffer.from(value).toString('hex')
    const shape = (...sizes: readonly number[]) => ({ dim: sizes.map((size) => ({ size: String(size) })) })
    expect(decode('PredictRequest', message('tfserving-grpc'))).toEqual({
      model_spec: { name: 'a b' },
      inputs: {
        x: { dtype: 1, tensor_shape: shape(2, 2), tensor_content: floats },
        id: { dtype: 7, tensor_shape: shape(2, 1), string_val: [text('text 0.0'), text('text 1.0')] },
      },
    })
  })

  it('of the Open Inference Protocol', () => {
    const request = decoded('ModelInferRequest', message('oip-grpc'))
    expect(request).toMatchObject({
      inputs: [
        { name: 'x', datatype: 'FP32' },
        { name: 'id', datatype: 'BYTES' },
      ],
    })
    expect(JSON.stringify(request)).toMatch(/"shape":\["?2"?,"?2"?\].*"shape":\["?2"?,"?1"?\]/)
    expect(message('oip-grpc').includes(Buffer.from(floats, 'hex'))).toBe(true)
  })
})

it.each(['FP32', 'FP16', 'BF16', 'UINT64', 'BOOL'])('the bytes of %s are its numbers', (datatype) => {
  const input = { name: 'x', datatype, shape: [4] }
  const values = valuesOf(3, input).map(Number)
  const bytes = tensorBytes([3], input)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const read: Readonly<Record<string, (i: number) => number>> = {
    FP32: (i) => view.getFloat32(4 * i, true),
    FP16: (i) => view.getFloat16(2 * i, true),
    BF16: (i) => new Float32Array(Uint32Array.of(view.getUint16(2 * i, true) << 16).buffer)[0] as number,
    UINT64: (i) => Number(view.getBigUint64(8 * i, true)),
    BOOL: (i) => view.getUint8(i),
  }
  expect(values.map((_, i) => read[datatype]?.(i))).toEqual(values)
})

describe('what a server says of a model', () => {
  const described = [{ name: 'image', datatype: 'FP32', shape: [-1, 8, -1] }]

  it('over V1', () => {
    const dim = ['-1', '8', '-1'].map((size) => ({ size, name: '' }))
    const inputs = { image: { dtype: 'DT_FLOAT', tensor_shape: { dim } } }
    const signatures = { signature_def: { serving_default: { inputs } } }
    expect(metadata.readV1Metadata({ metadata: { signature_def: signatures } })).toEqual(described)
    expect(metadata.readV1Metadata({ error: 'no' })).toBeUndefined()
  })

  it('over V2', () => {
    expect(metadata.readV2Metadata({ name: 'm', inputs: described })).toEqual(described)
    expect(
      metadata.readV2Metadata({ inputs: [{ name: 'x', datatype: 'STRING', shape: [1] }] }),
    ).toBeUndefined()
    expect(metadata.readV2Metadata(null)).toBeUndefined()
  })

  it('over gRPC', () => {
    const shape = new MessageWriter().varint(3, -1).varint(3, 8).varint(3, -1)
    const tensor = new MessageWriter().text(1, 'image').text(2, 'FP32').raw(shape.join())
    expect(metadata.readV2Message(new MessageWriter().text(1, 'm').message(4, tensor).join())).toEqual(
      described,
    )
  })

  it('over gRPC of TensorFlow Serving', () => {
    const shape = new MessageWriter()
    for (const size of [-1, 8, -1]) shape.message(2, new MessageWriter().varint(1, size))
    const info = new MessageWriter().text(1, 'image:0').varint(2, 1).message(3, shape)
    const signature = new MessageWriter().message(1, new MessageWriter().text(1, 'image').message(2, info))
    const map = new MessageWriter().message(
      1,
      new MessageWriter().text(1, 'serving_default').message(2, signature),
    )
    const any = new MessageWriter().text(1, 'type').message(2, map)
    const answer = new MessageWriter().message(
      2,
      new MessageWriter().text(1, 'signature_def').message(2, any),
    )
    expect(metadata.readV1Message(answer.join())).toEqual(described)
  })

  it('is turned into rows: without the batch, with a size for what is open', () => {
    expect(metadata.inputsOf(described, 5)).toEqual([{ name: 'image', datatype: 'FP32', shape: [8, 5] }])
  })

  it('or a flag says it', () => {
    expect(parseInput('image:FP32:8x8')).toEqual({ name: 'image', datatype: 'FP32', shape: [8, 8] })
    expect(parseInput('id:INT64')).toEqual({ name: 'id', datatype: 'INT64', shape: [1] })
    expect(['image', 'x:FLOAT:1', 'x:FP32:0', 'x:FP32:8x', ':FP32'].map(parseInput)).toEqual(
      Array(5).fill(undefined),
    )
  })
})

it.each([
  ['infergate; hit; ttl=598; detail=memory', 'hit', 8],
  ['infergate; fwd=miss; fwd-status=200; stored', 'miss', 0],
  ['infergate; fwd=miss; fwd-status=200; collapsed', 'collapsed', 8],
  ['infergate; fwd=partial; stored; detail="rows hit=4 join=1 miss=2 dup=1"', 'partial', 6],
  ['infergate; fwd=bypass; detail="sampled"', 'bypass', 0],
  ['infergate; hit; ttl=5, cdn; fwd=miss', 'miss', 0],
])('%s is a %s', (field, kind, savedRows) => {
  expect(cacheUse(['Cache-Status', field], 8)).toEqual({ kind, savedRows })
})

it('a server without a cache says nothing', () => {
  expect(cacheUse(['content-type', 'application/json'], 8)).toBeUndefined()
})

it('tokens are the events with text, or what the usage says; the first counts from the beginning', () => {
  const written = new WrittenAnswer(1000)
  const event = (value: unknown) => Buffer.from(`data: ${JSON.stringify(value)}\n\n`)
  written.push(event({ choices: [{ delta: { role: 'assistant', content: '' } }] }), 1010)
  written.push(event({ choices: [{ delta: { content: 'a' } }] }), 1020)
  written.push(
    Buffer.concat([event({ choices: [{ delta: { content: 'b' } }] }), Buffer.from('data: [DO')]),
    1025,
  )
  written.push(Buffer.from('NE]\n\n'), 1030)
  expect(written.times()).toEqual({ firstUs: 20_000, betweenUs: [5000], tokens: 2 })
  written.push(event({ choices: [], usage: { completion_tokens: 9 } }), 1031)
  expect(written.times().tokens).toBe(9)
  expect(written.hasError).toBe(false)
  written.push(event({ error: { message: 'out of memory' } }), 1032)
  expect(written.hasError).toBe(true)
})

it('keys are drawn by the law of Zipf', () => {
  const draw = zipf({ keys: 100, exponent: 1, seed: 3 })
  const counts = new Map<number, number>()
  for (let i = 0; i < 50_000; i++) {
    const key = draw()
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  expect(Math.min(...counts.keys())).toBe(1)
  expect(Math.max(...counts.keys())).toBe(100)
  expect((counts.get(1) ?? 0) / (counts.get(10) ?? 1)).toBeGreaterThan(8)
  expect((counts.get(1) ?? 0) / (counts.get(10) ?? 1)).toBeLessThan(12)
})
