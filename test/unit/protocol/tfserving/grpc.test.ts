import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import { Chunks } from '../../../../src/core/chunks.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { runToEnd } from '../../../../src/lib/cooperative.ts'
import { MessageWriter } from '../../../../src/protocol/protobuf/writer.ts'
import type { Plan, Row, RowAnswer } from '../../../../src/protocol/protocol.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { verdictOf } from '../../../../src/protocol/verdict.ts'
import { SEED } from '../../../../src/testing/protocol-call.ts'
import {
  decode,
  encode,
  framed,
  grpcCall,
  grpcReply,
  type Message,
  type Method,
  grpcPlan as planOf,
  readGrpc,
  unframed,
} from '../../../support/tensorflow-serving.ts'

const rows = tfserving.rows as NonNullable<typeof tfserving.rows>
const shape = (...sizes: number[]) => ({ dim: sizes.map((size) => ({ size })) })
const FLOATS = { dtype: 1, tensor_shape: shape(3, 2), float_val: [1, 2, 3, 4, 5, 6] }
const asked = (inputs: Message, more: Message = {}) => ({ model_spec: { name: 'm' }, inputs, ...more })

function keyOf(inputs: Message, more?: Message): string {
  const reading = readGrpc('Predict', encode('PredictRequest', asked(inputs, more)))
  return 'bypass' in reading ? `bypass: ${reading.bypass}` : reading.whole
}

const floats = (...values: number[]) => Buffer.from(new Float32Array(values).buffer)

describe('methods', () => {
  const named = { prediction: true, isNamedInBody: true }
  it.each([
    ['PredictionService/Predict', { verb: 'predict', ...named }],
    ['PredictionService/Classify', { verb: 'classify', ...named }],
    ['PredictionService/Regress', { verb: 'regress', ...named }],
    ['PredictionService/MultiInference', { verb: 'multi-inference', ...named }],
    ['PredictionService/GetModelMetadata', { verb: 'metadata', ...named, prediction: false }],
    ['ModelService/GetModelStatus', { verb: 'status', ...named, prediction: false }],
    ['SessionService/SessionRun', { verb: 'forward', ...named, prediction: false }],
    [
      'ModelService/HandleReloadConfigRequest',
      { verb: 'control', prediction: false, deploys: '', manages: true },
    ],
    ['PredictionService/PredictStreamed', { verb: 'forward', prediction: false }],
    ['AnotherService/Else', { verb: 'forward', prediction: false }],
  ])('%s', (method, target) => {
    expect(tfserving.match('POST', `/tensorflow.serving.${method}`)).toEqual(target)
  })

  it('knows no other package and no other HTTP method', () => {
    expect(tfserving.match('POST', '/tensorflow.PredictionService/Predict')).toBeUndefined()
    expect(tfserving.match('GET', '/tensorflow.serving.PredictionService/Predict')).toBeUndefined()
  })
})

describe('the model that a body names', () => {
  const spec = (model_spec: Message) => encode('PredictRequest', { model_spec })
  const task = (model_spec: Message) => ({ model_spec, method_name: 'tensorflow/serving/classify' })
  it.each([
    ['a name', spec({ name: 'm' }), { model: 'm' }],
    [
      'a version',
      spec({ name: 'é', version: { value: '9007199254740993' } }),
      { model: 'é', version: '9007199254740993' },
    ],
    ['the version 0', spec({ name: 'm', version: {} }), { model: 'm', version: '0' }],
    ['a label', spec({ name: 'm', version_label: '7' }), { model: 'm', version: 'labels/7' }],
    ['no name', spec({ signature_name: 's' }), undefined],
    ['no ModelSpec', encode('PredictRequest', { output_filter: ['y'] }), undefined],
    [
      'the tasks of a MultiInference',
      encode('MultiInferenceRequest', {
        tasks: [
          task({ name: 'm', version: { value: 3 } }),
          task({ name: 'm', version: { value: 3 }, signature_name: 's' }),
        ],
      }),
      { model: 'm', version: '3' },
    ],
    [
      'tasks of two models',
      encode('MultiInferenceRequest', { tasks: [task({ name: 'm' }), task({ name: 'n' })] }),
      undefined,
    ],
    ['two ModelSpecs', Buffer.concat([spec({ name: 'm' }), spec({ name: 'n' })]), undefined],
    ['a name with control characters', spec({ name: '\n\u0001m\u0000' }), undefined],
    ['no UTF-8', Buffer.from([0x0a, 3, 0x0a, 1, 0xff]), undefined],
    ['what is cut', spec({ name: 'model' }).subarray(0, -1), undefined],
  ])('%s', (_, message, named) => {
    const body = framed(message)
    expect(tfserving.model?.(body)).toEqual(named)
    const chunks = new Chunks([...body].map((byte) => Uint8Array.of(byte)))
    expect(runToEnd((tfserving.modelChunks as NonNullable<typeof tfserving.modelChunks>)(chunks))).toEqual(
      named,
    )
    const compressed = framed(gzipSync(message))
    compressed[0] = 1
    expect(tfserving.model?.(compressed)).toEqual(named)
  })

  it('is read wherever it stands', () => {
    const message = Buffer.concat([encode('PredictRequest', { inputs: { x: FLOATS } }), spec({ name: 'm' })])
    expect(tfserving.model?.(framed(message))).toEqual({ model: 'm' })
  })
})

describe('keys of Predict', () => {
  const typed = keyOf({ x: FLOATS })

  it.each<[string, Message]>([
    ['content', { dtype: 1, tensor_shape: shape(3, 2), tensor_content: floats(1, 2, 3, 4, 5, 6) }],
    ['empty fields', { ...FLOATS, tensor_content: Buffer.alloc(0), int_val: [], version_number: 0 }],
  ])('are the same for %s', (_, tensor) => {
    expect(keyOf({ x: tensor })).toBe(typed)
  })

  it('are the same for values that are not packed, and for packed lists in parts', () => {
    const head = encode('TensorProto', { dtype: 1, tensor_shape: shape(3, 2) })
    const request = (values: MessageWriter) => {
      const tensor = new MessageWriter().raw(head).raw(values.join())
      const input = new MessageWriter().text(1, 'x').message(2, tensor)
      return new MessageWriter().message(1, new MessageWriter().text(1, 'm')).message(2, input).join()
    }
    const single = new MessageWriter()
    for (const value of FLOATS.float_val) single.float(5, value)
    const inParts = new MessageWriter()
      .bytes(5, floats(1, 2))
      .bytes(5, floats())
      .float(5, 3)
      .bytes(5, floats(4, 5, 6))
    for (const values of [single, inParts]) expect(planOf('Predict', request(values)).whole).toBe(typed)
  })

  it.each<[string, Message, Message]>([
    ['one value fills the tensor', { float_val: [2] }, { tensor_content: floats(2, 2, 2, 2, 2, 2) }],
    ['the last value is repeated', { float_val: [1, 2] }, { tensor_content: floats(1, 2, 2, 2, 2, 2) }],
    ['no value is zeros', {}, { tensor_content: Buffer.alloc(24) }],
  ])('%s', (_, short, full) => {
    const tensor = { dtype: 1, tensor_shape: shape(3, 2) }
    expect(keyOf({ x: { ...tensor, ...short } })).toBe(keyOf({ x: { ...tensor, ...full } }))
  })

  it.each<[string, number, Message, string]>([
    ['FLOAT', 1, { float_val: [1.5, -0] }, '0000c03f00000080'],
    ['DOUBLE', 2, { double_val: [1.5, -0] }, '000000000000f83f0000000000000080'],
    ['INT32', 3, { int_val: [1, -2] }, '01000000feffffff'],
    ['UINT8', 4, { int_val: [1, 255] }, '01ff'],
    ['INT16', 5, { int_val: [1, -2] }, '0100feff'],
    ['INT8', 6, { int_val: [1, -2] }, '01fe'],
    ['COMPLEX64', 8, { scomplex_val: [1, 2, 3, 4] }, '0000803f000000400000404000008040'],
    ['INT64', 9, { int64_val: [1, '-9223372036854775808'] }, '01000000000000000000000000000080'],
    ['BOOL', 10, { bool_val: [true, false] }, '0100'],
    ['QINT8', 11, { int_val: [-1, 1] }, 'ff01'],
    ['QUINT8', 12, { int_val: [255, 1] }, 'ff01'],
    ['QINT32', 13, { int_val: [-1, 1] }, 'ffffffff01000000'],
    ['BFLOAT16', 14, { half_val: [0x3f80, 0xc000] }, '803f00c0'],
    ['QINT16', 15, { int_val: [-1, 1] }, 'ffff0100'],
    ['QUINT16', 16, { int_val: [65535, 1] }, 'ffff0100'],
    ['UINT16', 17, { int_val: [65535, 1] }, 'ffff0100'],
    [
      'COMPLEX128',
      18,
      { dcomplex_val: [1, 2, 3, 4] },
      '000000000000f03f000000000000004000000000000008400000000000001040',
    ],
    ['HALF', 19, { half_val: [0x3c00, 0xc000] }, '003c00c0'],
    ['UINT32', 22, { uint32_val: [1, 4294967295] }, '01000000ffffffff'],
    ['UINT64', 23, { uint64_val: [1, '18446744073709551615'] }, '0100000000000000ffffffffffffffff'],
    ['FLOAT8_E4M3FN', 25, { float8_val: Buffer.from([1, 2]) }, '0102'],
  ])('%s: typed values and content are the same, and rows of each', (_, dtype, values, content) => {
    const tensor = { dtype, tensor_shape: shape(2) }
    const made = [values, { tensor_content: Buffer.from(content, 'hex') }].map((own) =>
      planOf('Predict', encode('PredictRequest', asked({ x: { ...tensor, ...own } }))),
    )
    const [one, other] = made as [Plan, Plan]
    expect(one.whole).toBe(other.whole)
    expect(one.rows?.map(({ digest }) => digest)).toEqual(other.rows?.map(({ digest }) => digest))
    expect(one.rows).toHaveLength(2)
    // A row that is joined alone is the row.
    for (const plan of made) {
      const body = rows.join(plan, [plan.rows?.[1] as Row], Buffer.alloc(0)).body
      const again = planOf('Predict', unframed(body))
      expect(again.rows?.[0]?.digest).toBe(plan.rows?.[1]?.digest)
      const [field] = Object.keys(plan === one ? values : { tensor_content: 1 })
      const { inputs } = decode('PredictRequest', unframed(body)) as { inputs: { x: Message } }
      expect(inputs.x).toHaveProperty(field as string)
    }
  })

  it('are of what is asked, in any order', () => {
    const other = {
      dtype: 7,
      tensor_shape: shape(3),
      string_val: ['a', '', 'c'].map((text) => Buffer.from(text)),
    }
    const request = encode('PredictRequest', asked({ x: FLOATS, s: other }, { output_filter: ['y', 'z'] }))
    const another = encode('PredictRequest', {
      output_filter: ['z', 'y'],
      inputs: { s: other, x: FLOATS },
      model_spec: { name: 'm', signature_name: 'serving_default' },
      client_id: Buffer.from('me'),
      request_options: { client_id: Buffer.from('me') },
    })
    const [one, two] = [planOf('Predict', request), planOf('Predict', another)]
    expect(one.whole).toBe(two.whole)
    expect(one.rows?.map(({ digest }) => digest)).toEqual(two.rows?.map(({ digest }) => digest))
    expect(one.batch).toBe(two.batch)
  })

  it.each<[string, Message, Message?]>([
    ['another value', { x: { ...FLOATS, float_val: [1, 2, 3, 4, 5, 7] } }],
    ['another shape', { x: { ...FLOATS, tensor_shape: shape(2, 3) } }],
    [
      'another dtype',
      { x: { dtype: 3, tensor_shape: shape(3, 2), tensor_content: floats(1, 2, 3, 4, 5, 6) } },
    ],
    ['another name', { y: FLOATS }],
    ['another input', { x: FLOATS, y: FLOATS }],
    ['a version of the tensor', { x: { ...FLOATS, version_number: 1 } }],
    [
      'a name of a dimension',
      { x: { ...FLOATS, tensor_shape: { dim: [{ size: 3, name: 'n' }, { size: 2 }] } } },
    ],
    ['a filter', { x: FLOATS }, { output_filter: ['y'] }],
    ['a signature', { x: FLOATS }, { model_spec: { name: 'm', signature_name: 's' } }],
    ['a version', { x: FLOATS }, { model_spec: { name: 'm', version: { value: 1 } } }],
    ['a label', { x: FLOATS }, { model_spec: { name: 'm', version_label: '1' } }],
    ['options', { x: FLOATS }, { request_options: { deterministic_mode: 1 } }],
  ])('differ by %s', (_, inputs, more) => {
    expect(keyOf(inputs, more)).toMatch(/^(?!bypass)/)
    expect(keyOf(inputs, more)).not.toBe(typed)
  })

  it('tell -0 from 0', () => {
    expect(keyOf({ x: { ...FLOATS, float_val: [-0] } })).not.toBe(keyOf({ x: { ...FLOATS, float_val: [0] } }))
  })

  it('cover a field that nobody knows, at every level', () => {
    const unknown = (value: number) => new MessageWriter().varint(1000, value).join()
    const dim = (more: Uint8Array) => new MessageWriter().varint(1, 1).raw(more)
    const request = ([top, spec, tensor, tensorShape, ofDim]: readonly Uint8Array[]) =>
      new MessageWriter()
        .message(1, new MessageWriter().text(1, 'm').raw(spec as Uint8Array))
        .message(
          2,
          new MessageWriter().text(1, 'x').message(
            2,
            new MessageWriter()
              .varint(1, 1)
              .message(
                2,
                new MessageWriter().message(2, dim(ofDim as Uint8Array)).raw(tensorShape as Uint8Array),
              )
              .raw(tensor as Uint8Array)
              .float(5, 1),
          ),
        )
        .raw(top as Uint8Array)
        .join()
    const none = Buffer.alloc(0)
    const none5 = [none, none, none, none, none]
    const keys = [request(none5)]
    for (let i = 0; i < 5; i++)
      for (const value of [1, 2])
        keys.push(request(none5.map((bytes, at) => (at === i ? unknown(value) : bytes))))
    const plans = keys.map((message) => planOf('Predict', message))
    expect(new Set(plans.map(({ whole }) => whole)).size).toBe(11)
    expect(new Set(plans.map((plan) => plan.rows?.[0]?.digest)).size).toBe(11)
    expect(new Set(plans.map(({ batch }) => batch)).size).toBe(11)
  })

  it.each<[string, Message, string]>([
    ['an unknown rank', { ...FLOATS, tensor_shape: { unknown_rank: true } }, 'tensor-shape'],
    ['a negative size', { ...FLOATS, tensor_shape: shape(-1, 2) }, 'tensor-shape'],
    ['a shape beyond counting', { ...FLOATS, tensor_shape: shape(2 ** 40, 2 ** 40) }, 'tensor-shape'],
    ['a resource', { ...FLOATS, dtype: 20 }, 'tensor-type'],
    ['a variant', { ...FLOATS, dtype: 21 }, 'tensor-type'],
    ['a reference', { ...FLOATS, dtype: 101 }, 'tensor-type'],
    ['more values than the shape has', { ...FLOATS, tensor_shape: shape(5) }, 'tensor-values'],
    ['values of another type', { ...FLOATS, dtype: 3 }, 'tensor-values'],
    ['content and values', { ...FLOATS, tensor_content: floats(1, 2, 3, 4, 5, 6) }, 'tensor-values'],
    [
      'content of another length',
      { dtype: 1, tensor_shape: shape(3), tensor_content: floats(1) },
      'tensor-values',
    ],
    ['a fill that is too long', { dtype: 1, tensor_shape: shape(1 << 20), float_val: [1] }, 'tensor-padding'],
  ])('are not made of %s', (_, tensor, bypass) => {
    expect(keyOf({ x: tensor })).toBe(`bypass: ${bypass}`)
  })

  it('are not made of what is no protobuf call, or names no model', () => {
    const message = encode('PredictRequest', asked({ x: FLOATS }))
    const read = (call: Call & { body: Uint8Array }) =>
      tfserving.read(call, call.body, { seed: SEED, split: true })
    const call = grpcCall('Predict', message)
    expect(read({ ...call, headers: ['content-type', 'application/grpc+json'] })).toEqual({
      bypass: 'grpc-codec',
    })
    expect(read({ ...call, headers: ['content-type', 'application/json'] })).toEqual({
      bypass: 'content-type',
    })
    expect(read({ ...call, body: call.body.subarray(0, -1) })).toEqual({ bypass: 'grpc-message' })
    expect(readGrpc('Predict', encode('PredictRequest', { inputs: { x: FLOATS } }))).toEqual({
      bypass: 'no-model',
    })
    expect(readGrpc('Predict', message.subarray(0, -1))).toHaveProperty('bypass')
  })

  it('are the same with rows and without, and have the seed in them', () => {
    const call = grpcCall('Predict', encode('PredictRequest', asked({ x: FLOATS })))
    const copy = Buffer.from(call.body)
    const read = (split: boolean, seed = SEED) => tfserving.read(call, call.body, { seed, split }) as Plan
    expect(read(false).whole).toBe(read(true).whole)
    const [one, other] = [read(true), read(true, digestOf('another'))]
    expect(other.whole).not.toBe(one.whole)
    expect(other.batch).not.toBe(one.batch)
    for (const [i, row] of (one.rows ?? []).entries()) {
      expect(row.digest).not.toBe(other.rows?.[i]?.digest)
      expect(row.digest).not.toBe(one.whole)
    }
    expect(call.body.equals(copy)).toBe(true)
  })

  it('are not those of the REST form', () => {
    const call = grpcCall('Predict', encode('PredictRequest', asked({ x: FLOATS })))
    const rest = { ...call, target: { verb: 'predict', model: 'm', prediction: true } }
    expect(tfserving.read(rest, call.body, { seed: SEED, split: true })).toHaveProperty('bypass')
  })

  it('are the same for a compressed message', () => {
    const message = encode('PredictRequest', asked({ x: FLOATS }))
    const compressed = framed(gzipSync(message))
    compressed[0] = 1
    const call = grpcCall('Predict', message, ['grpc-encoding', 'gzip'])
    const reading = tfserving.read(call, compressed, { seed: SEED, split: true }) as Plan
    expect(reading.whole).toBe(planOf('Predict', message).whole)
    const joined = rows.join(reading, (reading.rows ?? []).slice(0, 1), compressed)
    expect(joined.headers).toEqual(['grpc-encoding', 'identity'])
    expect(decode('PredictRequest', unframed(joined.body))).toMatchObject({
      inputs: { x: { float_val: [1, 2] } },
    })
  })
})

describe('rows of Predict', () => {
  const message = encode(
    'PredictRequest',
    asked(
      {
        x: FLOATS,
        s: {
          dtype: 7,
          tensor_shape: shape(3, 1),
          string_val: ['a', 'bb', ''].map((text) => Buffer.from(text)),
        },
      },
      { output_filter: ['z', 'y'], request_options: { deterministic_mode: 1 } },
    ),
  )
  const plan = planOf('Predict', message)
  const model_spec = { name: 'm', signature_name: 'serving_default', version: { value: 7 } }
  const answer = encode('PredictResponse', {
    outputs: {
      z: {
        dtype: 9,
        tensor_shape: shape(3),
        tensor_content: Buffer.from(new BigInt64Array([1n, -2n, 3n]).buffer),
      },
      y: {
        dtype: 7,
        tensor_shape: shape(3, 2),
        string_val: ['1', '', '22', 'x', '', '333'].map((text) => Buffer.from(text)),
      },
    },
    model_spec,
  })
  const reply = grpcReply(answer)
  const cut = () => rows.cut(reply, reply.body, 3, plan) as readonly RowAnswer[]

  it('are joined in the request as the caller wrote it', () => {
    const joined = rows.join(plan, [plan.rows?.[2], plan.rows?.[0]] as Row[], Buffer.alloc(0))
    expect(joined.headers).toEqual([])
    expect(decode('PredictRequest', unframed(joined.body))).toEqual(
      decode(
        'PredictRequest',
        encode(
          'PredictRequest',
          asked(
            {
              s: { dtype: 7, tensor_shape: shape(2, 1), string_val: [Buffer.from(''), Buffer.from('a')] },
              x: { dtype: 1, tensor_shape: shape(2, 2), float_val: [5, 6, 1, 2] },
            },
            { output_filter: ['z', 'y'], request_options: { deterministic_mode: 1 } },
          ),
        ),
      ),
    )
  })

  it('are cut out of an answer, which is put together again as it was', () => {
    const assembled = rows.assemble(plan, cut())
    expect(verdictOf(tfserving, assembled as NonNullable<typeof assembled>).kind).toBe('ok')
    expect(decode('PredictResponse', unframed(assembled?.body))).toEqual(decode('PredictResponse', answer))
    expect(tfserving.version?.(reply, reply.body)).toBe('7')
  })

  it('are put together from answers that write them differently, and have outputs in another order', () => {
    const typed = encode('PredictResponse', {
      model_spec,
      outputs: {
        y: { dtype: 7, tensor_shape: shape(1, 2), string_val: ['q', 'r'].map((text) => Buffer.from(text)) },
        z: { dtype: 9, tensor_shape: shape(1), int64_val: [9] },
      },
    })
    const [one] = rows.cut(grpcReply(typed), framed(typed), 1, plan) ?? []
    const [first] = cut()
    const assembled = rows.assemble(plan, [one, first] as RowAnswer[])
    expect(decode('PredictResponse', unframed(assembled?.body))).toMatchObject({
      outputs: { z: { int64_val: ['9', '1'] }, y: { string_val: ['71', '72', '31', ''] } },
    })
  })

  it('are not there unless dimension 0 is equal, and not of one row where batches are compared', () => {
    const message = encode(
      'PredictRequest',
      asked({ x: FLOATS, y: { ...FLOATS, tensor_shape: shape(2, 3) } }),
    )
    expect(planOf('Predict', message).rows).toBeUndefined()
    const scalar = encode('PredictRequest', asked({ x: { dtype: 1, float_val: [1] } }))
    expect(planOf('Predict', scalar).rows).toBeUndefined()
    const call = grpcCall(
      'Predict',
      encode('PredictRequest', asked({ x: { ...FLOATS, tensor_shape: shape(1, 6) } })),
    )
    const options = { seed: SEED, split: true, onlyBatches: true }
    expect(tfserving.read(call, call.body, options)).not.toHaveProperty('rows')
  })

  it.each<[string, Uint8Array, number, string?]>([
    ['too few rows', answer, 2],
    ['too many rows', answer, 4],
    ['an error', answer, 3, '3'],
    ['an output that was not asked for', encode('PredictResponse', { outputs: { y: FLOATS, w: FLOATS } }), 3],
    ['an output that is missing', encode('PredictResponse', { outputs: { y: FLOATS } }), 3],
    [
      'outputs of unequal length',
      encode('PredictResponse', { outputs: { y: FLOATS, z: { ...FLOATS, tensor_shape: shape(2, 3) } } }),
      3,
    ],
    ['no outputs', encode('PredictResponse', {}), 3],
    ['what is cut', answer.subarray(0, -1), 3],
  ])('are not cut out of %s', (_, message, count, status) => {
    const reply = grpcReply(message, status)
    expect(rows.cut(reply, reply.body, count, plan)).toBeUndefined()
  })

  it('agree within the tolerance of their type', () => {
    const answered = (dtype: number, own: Message) => {
      const message = encode('PredictResponse', { outputs: { y: { dtype, tensor_shape: shape(1), ...own } } })
      return rows.cut(grpcReply(message), framed(message), 1)?.[0] as RowAnswer
    }
    expect(
      rows.agree(answered(1, { float_val: [1] }), answered(1, { tensor_content: floats(1.00001) })),
    ).toBe(true)
    expect(rows.agree(answered(1, { float_val: [1] }), answered(1, { float_val: [1.1] }))).toBe(false)
    expect(rows.agree(answered(2, { double_val: [1] }), answered(2, { double_val: [1.00001] }))).toBe(true)
    expect(rows.agree(answered(3, { int_val: [1] }), answered(3, { int_val: [2] }))).toBe(false)
    expect(rows.agree(answered(1, { float_val: [1] }), answered(2, { double_val: [1] }))).toBe(false)
  })

  it('are whole where the outputs are all there', () => {
    const isStorable = (message: Uint8Array, status?: string) => {
      const reply = grpcReply(message, status)
      return tfserving.storable?.(reply, reply.body, plan, true)
    }
    expect(isStorable(answer)).toBe(true)
    expect(isStorable(answer, '13')).toBe(false)
    expect(isStorable(encode('PredictResponse', { outputs: { y: FLOATS } }))).toBe(false)
    expect(isStorable(answer.subarray(0, -1))).toBe(false)
    const compressed = grpcReply(gzipSync(answer))
    compressed.body[0] = 1
    expect(tfserving.storable?.(compressed, compressed.body, plan, true)).toBe(false)
  })
})

describe('long bodies', () => {
  const read = (method: Method, message: Uint8Array, size: number) => {
    const call = grpcCall(method, message)
    const pieces: Uint8Array[] = []
    for (let at = 0; at < call.body.length; at += size) pieces.push(call.body.subarray(at, at + size))
    return runToEnd(tfserving.readChunks(call, new Chunks(pieces), { seed: SEED, split: false }))
  }
  const examples = [{ features: { feature: { x: { float_list: { value: [1, 2] } } } } }, {}]

  it.each<[Method, Uint8Array]>([
    [
      'Predict',
      encode(
        'PredictRequest',
        asked(
          {
            x: FLOATS,
            s: { dtype: 7, tensor_shape: shape(4), string_val: [Buffer.from('abc'), Buffer.from('de')] },
          },
          { output_filter: ['y'] },
        ),
      ),
    ],
    [
      'Predict',
      encode(
        'PredictRequest',
        asked({
          x: {
            dtype: 9,
            tensor_shape: shape(300),
            int64_val: Array.from({ length: 290 }, (_, i) => String(7n ** BigInt(i % 20))),
          },
        }),
      ),
    ],
    [
      'Predict',
      encode(
        'PredictRequest',
        asked({ x: { dtype: 18, tensor_shape: shape(3), dcomplex_val: [1, 2, 3, 4] } }),
      ),
    ],
    [
      'Classify',
      encode('ExampleRequest', { model_spec: { name: 'm' }, input: { example_list: { examples } } }),
    ],
    [
      'Regress',
      encode('ExampleRequest', {
        model_spec: { name: 'm' },
        input: { example_list_with_context: { examples, context: {} } },
      }),
    ],
    [
      'MultiInference',
      encode('MultiInferenceRequest', {
        tasks: [{ model_spec: { name: 'm' } }],
        input: { example_list: { examples } },
      }),
    ],
  ])('%s: the key does not depend on the pieces', (method, message) => {
    const { whole } = planOf(method, message)
    for (const size of [1, 3, 64, message.length + 5])
      expect(read(method, message, size)).toHaveProperty('whole', whole)
  })

  it('of more fields than can be read at once are not read, and neither are compressed ones', () => {
    const many = encode(
      'PredictRequest',
      asked({
        s: {
          dtype: 7,
          tensor_shape: shape(20_000),
          string_val: Array.from({ length: 20_000 }, () => Buffer.from('x')),
        },
      }),
    )
    expect(read('Predict', many, 4096)).toEqual({ bypass: 'many-fields' })
    const list = Array.from({ length: 20_000 }, () => ({}))
    const message = encode('ExampleRequest', {
      model_spec: { name: 'm' },
      input: { example_list: { examples: list } },
    })
    expect(read('Classify', message, 4096)).toHaveProperty('whole', planOf('Classify', message).whole)
    const call = grpcCall('Classify', message)
    const compressed = framed(gzipSync(message))
    compressed[0] = 1
    const chunks = new Chunks([compressed])
    expect(runToEnd(tfserving.readChunks(call, chunks, { seed: SEED, split: false }))).toEqual({
      bypass: 'grpc-message',
    })
  })
})
