/** What the model server answers over gRPC is what it answers over HTTP, at the same port. Asked by grpc-js and by node:http2. */
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import http2, { type IncomingHttpHeaders } from 'node:http2'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type ModelProcess, modelFile, startModelServer } from '../support/model-server.ts'
import {
  decoded,
  encoded,
  framed,
  inferBody,
  type Message,
  type MessageName,
} from '../support/oip-messages.ts'
import { ELEMENT, echoModel, pairModel } from '../support/onnx-graph.ts'

const SERVICE = '/inference.GRPCInferenceService/'
const INFER = `${SERVICE}ModelInfer`
const TYPES = Object.keys(ELEMENT).filter((type) => type !== 'FP16') as Exclude<
  keyof typeof ELEMENT,
  'FP16'
>[]

let directory: string
let server: ModelProcess
let client: grpc.Client
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'infergate-grpc-'))
  const graphs = { pair: pairModel(), ...Object.fromEntries(TYPES.map((type) => [type, echoModel(type)])) }
  const models: string[] = ['--model', `digits=${modelFile('digits.onnx')}`]
  for (const [name, bytes] of Object.entries(graphs)) {
    await writeFile(join(directory, `${name}.onnx`), bytes)
    models.push('--model', `${name}=${join(directory, `${name}.onnx`)}`)
  }
  server = await startModelServer(models)
  client = clientOf(server)
})
afterAll(async () => {
  client.close()
  await server.stop()
  await rm(directory, { recursive: true })
})

const clientOf = ({ url }: ModelProcess, options: grpc.ClientOptions = {}) =>
  new grpc.Client(new URL(url).host, grpc.credentials.createInsecure(), options)

type Asked = readonly [path: string, request: MessageName, response: MessageName]

/** Rejects with grpc-js's ServiceError. */
function ask([path, request, response]: Asked, message: Message, by = client): Promise<Message> {
  return new Promise((resolve, reject) =>
    by.makeUnaryRequest(
      path,
      (value: Message) => encoded(request, value),
      (bytes: Buffer) => decoded(response, bytes),
      message,
      (error, answer) => (error ? reject(error) : resolve(answer as Message)),
    ),
  )
}
const infer = (message: Message, by = client) =>
  ask([INFER, 'ModelInferRequest', 'ModelInferResponse'], message, by)

const bytesOf = (value: unknown): Buffer => Buffer.from(value as string | Buffer)

/** The same inference with binary tensors over HTTP. */
async function inferBinary(model: string, datatype: string, blob: Buffer, shape: readonly number[]) {
  const input = { name: 'x', shape, datatype, parameters: { binary_data_size: blob.length } }
  const head = JSON.stringify({ inputs: [input], parameters: { binary_data_output: true } })
  const response = await fetch(`${server.url}/v2/models/${model}/infer`, {
    method: 'POST',
    body: Buffer.concat([Buffer.from(head), blob]),
    headers: { 'inference-header-content-length': String(head.length) },
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  return bytes.subarray(Number(response.headers.get('inference-header-content-length')))
}

describe('every datatype', () => {
  const VALUES: Readonly<
    Record<(typeof TYPES)[number], readonly [field: string, values: unknown[], blob: Buffer]>
  > = {
    BOOL: ['bool_contents', [true, false], Buffer.of(1, 0)],
    INT8: ['int_contents', [-128, 127], Buffer.from(Int8Array.of(-128, 127).buffer)],
    INT16: ['int_contents', [-32_768, 32_767], Buffer.from(Int16Array.of(-32_768, 32_767).buffer)],
    INT32: ['int_contents', [-(2 ** 31), 7], Buffer.from(Int32Array.of(-(2 ** 31), 7).buffer)],
    INT64: [
      'int64_contents',
      ['-9007199254740993', '1'],
      Buffer.from(BigInt64Array.of(-9007199254740993n, 1n).buffer),
    ],
    UINT8: ['uint_contents', [255, 0], Buffer.of(255, 0)],
    UINT16: ['uint_contents', [65_535, 1], Buffer.from(Uint16Array.of(65_535, 1).buffer)],
    UINT32: ['uint_contents', [4_294_967_295, 1], Buffer.from(Uint32Array.of(4_294_967_295, 1).buffer)],
    UINT64: [
      'uint64_contents',
      ['18446744073709551615', '1'],
      Buffer.from(BigUint64Array.of(2n ** 64n - 1n, 1n).buffer),
    ],
    FP32: ['fp32_contents', [0.5, -0], Buffer.from(Float32Array.of(0.5, -0).buffer)],
    FP64: ['fp64_contents', [0.1, Infinity], Buffer.from(Float64Array.of(0.1, Infinity).buffer)],
    BYTES: ['bytes_contents', ['é', ''], Buffer.from('\x02\0\0\0\xc3\xa9\0\0\0\0', 'latin1')],
  }

  it.each(TYPES)('%s is answered raw to raw contents, and typed to typed ones', async (datatype) => {
    const [field, values, blob] = VALUES[datatype]
    const input = { name: 'x', datatype, shape: [2] }
    const raw = await infer({ model_name: datatype, id: 'q-1', inputs: [input], raw_input_contents: [blob] })
    expect(raw).toMatchObject({
      model_name: datatype,
      model_version: '1',
      id: 'q-1',
      outputs: [{ name: 'y', datatype, shape: ['2'] }],
    })
    const [answer] = raw['raw_output_contents'] as unknown[]
    expect(bytesOf(answer)).toEqual(await inferBinary(datatype, datatype, blob, [2]))
    expect(bytesOf(answer)).toEqual(blob)

    const contents = { [field]: datatype === 'BYTES' ? values.map(bytesOf) : values }
    const typed = await infer({ model_name: datatype, inputs: [{ ...input, contents }] })
    expect(typed['raw_output_contents']).toEqual([])
    const [output] = typed['outputs'] as { contents: Record<string, unknown[]> }[]
    const got = output?.contents[field]
    expect(datatype === 'BYTES' ? got?.map((text) => bytesOf(text).toString()) : got).toEqual(values)
  })

  it('a tensor without elements has neither contents nor bytes', async () => {
    const typed = await infer({ model_name: 'INT64', inputs: [{ name: 'x', datatype: 'INT64', shape: [0] }] })
    expect(typed['outputs']).toMatchObject([{ shape: ['0'] }])
  })
})

describe('answers', () => {
  it('have the outputs that were asked for, those of HTTP', async () => {
    const { instances } = JSON.parse(await readFile(modelFile('samples/batch.v1.json'), 'utf8')) as {
      instances: number[][]
    }
    const blob = Buffer.from(Float32Array.from(instances.flat()).buffer)
    const inputs = [{ name: 'image', datatype: 'FP32', shape: [8, 64] }]
    const both = await infer({ model_name: 'digits', inputs, raw_input_contents: [blob] })
    expect((both['outputs'] as Message[]).map(({ name }) => name)).toEqual(['probabilities', 'digit'])
    const one = await infer({
      model_name: 'digits',
      model_version: '1',
      inputs: [{ ...inputs[0], contents: { fp32_contents: instances.flat() } }],
      outputs: [{ name: 'digit', parameters: { binary_data: { bool_param: true } } }],
      parameters: { sequence_id: { int64_param: 0 }, priority: { uint64_param: 1 } },
    })
    expect(one['outputs']).toMatchObject([
      { name: 'digit', shape: ['8'], contents: { int64_contents: ['2', '0', '9', '8', '2', '2', '2', '9'] } },
    ])
  })

  it('are those that calls get alone, for many of both protocols at a time', async () => {
    const over = async (i: number): Promise<number> => {
      if (i % 2 === 0) {
        const input = { name: 'x', datatype: 'FP32', shape: [1], contents: { fp32_contents: [i] } }
        const { outputs } = await infer({ model_name: 'FP32', inputs: [input] })
        return (outputs as { contents: { fp32_contents: number[] } }[])[0]?.contents.fp32_contents[0] ?? -1
      }
      const answer = await server.post('/v1/models/FP32:predict', { instances: [i] })
      return ((await answer.json()) as { predictions: number[] }).predictions[0] ?? -1
    }
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => over(i)))
    expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => i))
  })

  it.each(['gzip', 'deflate'])('to a message in %s', async (name) => {
    const algorithm = grpc.compressionAlgorithms[name as 'gzip' | 'deflate']
    const by = clientOf(server, { 'grpc.default_compression_algorithm': algorithm })
    const blob = Buffer.alloc(4 * 1000)
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1000] }]
    const answer = await infer({ model_name: 'FP32', inputs, raw_input_contents: [blob] }, by)
    by.close()
    expect(bytesOf((answer['raw_output_contents'] as unknown[])[0])).toEqual(blob)
  })
})

describe('what is said of server and models', () => {
  const get = async (path: string) => (await fetch(server.url + path)).json() as Promise<Message>

  it('the metadata are those of HTTP', async () => {
    const metadata = [`${SERVICE}ServerMetadata`, 'HealthCheckRequest', 'ServerMetadataResponse'] as const
    expect(await ask(metadata, {})).toEqual(await get('/v2'))
    const ofModel = [`${SERVICE}ModelMetadata`, 'ModelMetadataRequest', 'ModelMetadataResponse'] as const
    const model = await ask(ofModel, { name: 'digits' })
    const sizes = (tensors: unknown) =>
      (tensors as { shape: string[] }[]).map((tensor) => ({ ...tensor, shape: tensor.shape.map(Number) }))
    expect({ ...model, inputs: sizes(model['inputs']), outputs: sizes(model['outputs']) }).toEqual(
      await get('/v2/models/digits'),
    )
  })

  it.each<readonly [string, Asked, Message, Message]>([
    ['live', [`${SERVICE}ServerLive`, 'HealthCheckRequest', 'ServerLiveResponse'], {}, { live: true }],
    ['ready', [`${SERVICE}ServerReady`, 'HealthCheckRequest', 'ModelReadyResponse'], {}, { ready: true }],
    [
      'model',
      [`${SERVICE}ModelReady`, 'ModelMetadataRequest', 'ModelReadyResponse'],
      { name: 'pair' },
      { ready: true },
    ],
    [
      'health',
      ['/grpc.health.v1.Health/Check', 'HealthCheckRequest', 'HealthCheckResponse'],
      {},
      { status: 1 },
    ],
    [
      'service',
      ['/grpc.health.v1.Health/Check', 'HealthCheckRequest', 'HealthCheckResponse'],
      { service: 'inference.GRPCInferenceService' },
      { status: 1 },
    ],
  ])('%s', async (_, asked, message, wanted) => {
    expect(await ask(asked, message)).toEqual(wanted)
  })

  it('the index has every model and version', async () => {
    const index = [`${SERVICE}RepositoryIndex`, 'RepositoryIndexRequest', 'RepositoryIndexResponse'] as const
    const { models } = await ask(index, { ready: true })
    expect((models as Message[]).map(({ name }) => name)).toEqual((await get('/v2/models'))['models'])
    expect(models).toContainEqual({ name: 'digits', version: '1', state: 'READY', reason: '' })
  })
})

describe('errors have the message of HTTP, and the status that stands for its own', () => {
  const x = { name: 'x', datatype: 'INT64', shape: [1], contents: { int64_contents: ['1'] } }
  const json = { name: 'x', datatype: 'INT64', shape: [1], data: [1] }
  const call = { model_name: 'INT64', inputs: [x] }
  const { INVALID_ARGUMENT, NOT_FOUND } = grpc.status

  it.each<readonly [string, Message, [path: string, body: object], grpc.status]>([
    ['an unknown model', { ...call, model_name: 'nope' }, ['nope', {}], NOT_FOUND],
    ['an unknown version', { ...call, model_version: '9' }, ['INT64/versions/9', {}], NOT_FOUND],
    ['no input', { model_name: 'INT64' }, ['INT64', { inputs: [] }], INVALID_ARGUMENT],
    [
      'a foreign input',
      { ...call, inputs: [{ ...x, name: '"é' }] },
      ['INT64', { inputs: [{ ...json, name: '"é' }] }],
      INVALID_ARGUMENT,
    ],
    ['an input twice', { ...call, inputs: [x, x] }, ['INT64', { inputs: [json, json] }], INVALID_ARGUMENT],
    [
      'another datatype',
      { ...call, inputs: [{ ...x, datatype: 'FP32' }] },
      ['INT64', { inputs: [{ ...json, datatype: 'FP32' }] }],
      INVALID_ARGUMENT,
    ],
    [
      'a size below 0',
      { ...call, inputs: [{ ...x, shape: [-1] }] },
      ['INT64', { inputs: [{ ...json, shape: [-1] }] }],
      INVALID_ARGUMENT,
    ],
    [
      'another shape',
      { ...call, inputs: [{ ...x, shape: [1, 1] }] },
      ['INT64', { inputs: [{ ...json, shape: [1, 1] }] }],
      INVALID_ARGUMENT,
    ],
    [
      'a foreign output',
      { ...call, outputs: [{ name: 'z' }] },
      ['INT64', { inputs: [json], outputs: [{ name: 'z' }] }],
      INVALID_ARGUMENT,
    ],
    [
      'a sequence',
      { ...call, parameters: { sequence_id: { string_param: 'a' } } },
      ['INT64', { inputs: [json], parameters: { sequence_id: 'a' } }],
      INVALID_ARGUMENT,
    ],
    [
      'a classification',
      { ...call, outputs: [{ name: 'y', parameters: { classification: { int64_param: 2 } } }] },
      ['INT64', { inputs: [json], outputs: [{ name: 'y', parameters: { classification: 2 } }] }],
      INVALID_ARGUMENT,
    ],
  ])('%s', async (_, message, [path, body], code) => {
    const { error } = (await (await server.post(`/v2/models/${path}/infer`, body)).json()) as {
      error: string
    }
    await expect(infer(message)).rejects.toMatchObject({ code, details: error })
  })

  it.each<readonly [string, Message, string]>([
    ['too few values', { ...call, inputs: [{ ...x, shape: [2] }] }, 'are not the elements of INT64 [2]'],
    [
      'values of another type',
      { ...call, inputs: [{ ...x, contents: { int_contents: [1] } }] },
      '"contents" are not',
    ],
    [
      'raw contents too short',
      { ...call, inputs: [{ ...x, contents: {} }], raw_input_contents: [Buffer.alloc(4)] },
      'exactly one of',
    ],
    [
      'raw contents of no input',
      { ...call, raw_input_contents: [Buffer.alloc(8), Buffer.alloc(8)] },
      '2 raw contents for 1',
    ],
    [
      'text that is none',
      {
        model_name: 'BYTES',
        inputs: [
          { name: 'x', datatype: 'BYTES', shape: [1], contents: { bytes_contents: [Buffer.of(0xff)] } },
        ],
      },
      'not UTF-8',
    ],
  ])('%s', async (_, message, said) => {
    await expect(infer(message)).rejects.toMatchObject({
      code: INVALID_ARGUMENT,
      details: expect.stringContaining(said),
    })
  })

  it('an unknown method, and an unknown service of the health check', async () => {
    const load = [`${SERVICE}RepositoryModelLoad`, 'HealthCheckRequest', 'HealthCheckResponse'] as const
    await expect(ask(load, {})).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED })
    const health = ['/grpc.health.v1.Health/Check', 'HealthCheckRequest', 'HealthCheckResponse'] as const
    await expect(ask(health, { service: 'x' })).rejects.toMatchObject({ code: NOT_FOUND })
  })
})

describe('on the wire', () => {
  let session: http2.ClientHttp2Session
  beforeEach(() => {
    session = http2.connect(server.url).on('error', () => undefined)
    return () => session.destroy()
  })

  /** All fields of the answer, of head and trailers. */
  async function send(body: Buffer, fields: http2.OutgoingHttpHeaders = {}): Promise<IncomingHttpHeaders> {
    const stream = session.request({
      ':method': 'POST',
      ':path': INFER,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...fields,
    })
    const heard: IncomingHttpHeaders = {}
    stream.on('response', (head) => Object.assign(heard, head))
    stream.on('trailers', (trailers) => Object.assign(heard, trailers))
    stream
      .on('error', () => undefined)
      .resume()
      .end(body)
    if (!stream.closed) await once(stream, 'close')
    return heard
  }

  it.each<readonly [string, Buffer, http2.OutgoingHttpHeaders, string]>([
    ['no message', Buffer.alloc(0), {}, '3'],
    ['half a message', Buffer.of(0, 0, 0, 0, 9, 1), {}, '3'],
    ['no protobuf', framed(Buffer.of(0x0b)), {}, '3'],
    ['an encoding that is not read', Buffer.of(1, 0, 0, 0, 0), { 'grpc-encoding': 'br' }, '12'],
    ['what only says that it is gzip', Buffer.of(1, 0, 0, 0, 0), { 'grpc-encoding': 'gzip' }, '3'],
    ['more than 64 MiB', framed(Buffer.alloc(64 * 1024 * 1024 + 1)), {}, '8'],
  ])('%s', async (_, body, fields, status) => {
    expect(await send(body, fields)).toMatchObject({ ':status': 200, 'grpc-status': status })
  })

  it('what is no gRPC is 415, and the connection stays', async () => {
    expect(await send(Buffer.from('{}'), { 'content-type': 'application/json' })).toMatchObject({
      ':status': 415,
    })
    expect(await send(framed(Buffer.alloc(0)))).toMatchObject({ 'grpc-status': '5' })
  })

  it.each([
    ['POST /v2/models/FP32/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 'HTTP/1.1 405'],
    ['GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 'HTTP/1.1 200'],
  ])('bytes that come one by one: %s', async (text, wanted) => {
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname).setNoDelay()
    for (const byte of text) await new Promise((written) => socket.write(byte, written))
    let heard = ''
    for await (const chunk of socket) heard += String(chunk)
    expect(heard).toContain(wanted)
  })
})

describe('a slow server', () => {
  let slow: ModelProcess
  beforeEach(async () => {
    slow = await startModelServer([
      ...['--model', `FP32=${join(directory, 'FP32.onnx')}`],
      // Long enough for what comes behind a call to come while it runs.
      ...['--delay', '1000', '--max-batch', '1'],
    ])
    return () => slow.stop('SIGKILL')
  })

  const one = {
    model_name: 'FP32',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1], contents: { fp32_contents: [1] } }],
  }
  const running = async () =>
    ((await (await fetch(`${slow.url}/probe`)).json()) as { running: number }).running

  it('answers DEADLINE_EXCEEDED, and calls that were given up leave the queue', async () => {
    const session = http2.connect(slow.url)
    const fields = { ':method': 'POST', ':path': INFER, 'content-type': 'application/grpc', te: 'trailers' }
    const first = session.request(fields)
    const answered = once(first.end(inferBody(one)), 'response')
    await eventually(async () => expect(await running()).toBe(1))
    const late = session.request({ ...fields, 'grpc-timeout': '10m' })
    late.end(inferBody(one))
    const [head] = (await once(late, 'response')) as [IncomingHttpHeaders]
    expect(head).toMatchObject({ 'grpc-status': '4' })
    const left = session.request(fields)
    left.on('error', () => undefined).end(inferBody(one))
    await eventually(async () => expect(await running()).toBe(2))
    left.close(http2.constants.NGHTTP2_CANCEL)
    await eventually(async () => expect(await running()).toBeLessThan(2))
    const [good] = (await answered) as [IncomingHttpHeaders]
    expect(good).toMatchObject({ ':status': 200 })
    session.destroy()
  })

  it('answers the calls that run when it is stopped, then ends', async () => {
    const by = clientOf(slow)
    const answers = Promise.all([infer(one, by), infer(one, by)])
    await eventually(async () => expect(await running()).toBe(2))
    expect(await slow.stop()).toBe(0)
    for (const { outputs } of await answers)
      expect(outputs).toMatchObject([{ contents: { fp32_contents: [1] } }])
    by.close()
  })
})
