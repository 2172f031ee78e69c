/**
 * A gRPC client of TensorFlow Serving through the gateway on real sockets: what is kept, what goes upstream of a batch, and that
 * callers read what the server gives.
 */
import { Client, credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Route } from '../../src/data/route/routes.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { type Asked, answerGrpc, bodyOf, type Http2Backend, http2Backend } from '../support/http2-backend.ts'
import { silentObserver } from '../support/observer.ts'
import { CACHE } from '../support/pipeline.ts'
import { type RunningPlane, startPlane } from '../support/plane.ts'
import { decode, encode, framed, type Message, type Method, unframed } from '../support/tensorflow-serving.ts'

interface GrpcAnswer {
  readonly message: Uint8Array
  readonly status: number
  readonly details: string
  readonly cacheStatus: string
}

const ROUTE: Omit<Route, 'cache'> = {
  name: 'm',
  match: { model: 'm' },
  protocols: [tfserving],
  pool: 'm',
  timeout: 10_000,
  pure: true,
}

let backend: Http2Backend
let plane: RunningPlane
let client: Client
/** The rows of each request that the backend got. */
const upstream: number[] = []

beforeEach(async () => {
  upstream.length = 0
  backend = await http2Backend(serving)
  await start('always')
})
afterEach(async () => {
  client.close()
  await plane.close()
  backend.close()
})

async function start(rows: 'always' | 'auto' | 'never'): Promise<void> {
  const cache = { ...CACHE, rows, maxEntryBytes: 1 << 20 }
  plane = await startPlane({
    routes: [{ ...ROUTE, cache }],
    pools: { m: [{ grpc: backend.url }] },
    observer: silentObserver,
  })
  client = new Client(`127.0.0.1:${plane.port}`, credentials.createInsecure())
  plane.deployments.learn({ pool: 'm', model: 'm', evidence: '7', versions: ['7'] })
}

const SPEC = { name: 'm', signature_name: 'serving_default', version: { value: 7 } }

/** Twice each value; 13 is refused. Classify: the number of features, and the first value. */
async function serving({ stream, headers }: Asked): Promise<void> {
  const message = unframed(await bodyOf(stream))
  if (headers[':path']?.endsWith('Classify')) {
    const { input } = decode('ExampleRequest', message) as {
      input: { example_list: { examples: Message[] } }
    }
    const { examples } = input.example_list
    upstream.push(examples.length)
    const classifications = examples.map((example) => ({
      classes: [{ label: JSON.stringify(example), score: 0.5 }],
    }))
    return answerGrpc(
      stream,
      framed(encode('ClassificationResponse', { result: { classifications }, model_spec: SPEC })),
    )
  }
  const { inputs } = decode('PredictRequest', message) as { inputs: { x: Message } }
  const { float_val, tensor_content, tensor_shape } = inputs.x
  const values = (float_val as number[] | undefined) ?? floatsIn(Buffer.from(tensor_content as string, 'hex'))
  upstream.push(values.length)
  if (values.includes(13)) return answerGrpc(stream, '', { 'grpc-status': '3', 'grpc-message': 'not 13' })
  const doubled = { dtype: 1, tensor_shape, float_val: values.map((value) => 2 * value) }
  const count = { dtype: 9, tensor_shape, int64_val: values.map(() => 1) }
  answerGrpc(
    stream,
    framed(encode('PredictResponse', { outputs: { y: doubled, n: count }, model_spec: SPEC })),
  )
}

function floatsIn(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))
}

function ask(method: Method, message: Uint8Array): Promise<GrpcAnswer> {
  return new Promise((resolve) => {
    let cacheStatus = ''
    let answer: Buffer = Buffer.alloc(0)
    const call = client.makeUnaryRequest(
      `/tensorflow.serving.PredictionService/${method}`,
      (sent: Uint8Array) => Buffer.from(sent),
      (received: Buffer) => received,
      message,
      (_, received) => (answer = received ?? answer),
    )
    call.on('metadata', (metadata) => (cacheStatus = metadata.get('cache-status').join()))
    call.on('status', ({ code, details }) => resolve({ message: answer, status: code, details, cacheStatus }))
  })
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

function predict(values: readonly number[], isContent = false): Promise<GrpcAnswer> {
  const head = { dtype: 1, tensor_shape: { dim: [{ size: values.length }] } }
  const own = isContent
    ? { tensor_content: Buffer.from(new Float32Array(values).buffer) }
    : { float_val: values }
  return ask(
    'Predict',
    encode('PredictRequest', { model_spec: { name: 'm' }, inputs: { x: { ...head, ...own } } }),
  )
}

const outputs = ({ message }: GrpcAnswer) =>
  decode('PredictResponse', message) as { outputs: { y: Message; n: Message }; model_spec: Message }

it('of 128 rows of which 120 are known, 8 go upstream, and the answer is that of the server', async () => {
  await predict(range(100, 220))
  const answer = await predict(range(96, 224), true)
  expect(upstream).toEqual([120, 8])
  expect(answer.status).toBe(0)
  expect(outputs(answer)).toEqual({
    outputs: {
      y: {
        dtype: 1,
        tensor_shape: { dim: [{ size: '128' }] },
        float_val: range(96, 224).map((value) => 2 * value),
      },
      n: { dtype: 9, tensor_shape: { dim: [{ size: '128' }] }, int64_val: range(96, 224).map(() => '1') },
    },
    model_spec: { ...SPEC, version: { value: '7' } },
  })
})

it.each(['always', 'auto', 'never'] as const)(
  'a repeat is a hit, in whichever fields its values are (rows: %s)',
  async (rows) => {
    await plane.close()
    await start(rows)
    const [first, again, other] = [await predict([1, 2]), await predict([1, 2]), await predict([1, 2], true)]
    expect(upstream[0]).toBe(2)
    // Where rows are to be proved first, the batch is asked for again in two parts.
    if (rows !== 'auto') expect(upstream).toHaveLength(1)
    expect([again.cacheStatus, other.cacheStatus]).toEqual([
      expect.stringContaining('hit'),
      expect.stringContaining('hit'),
    ])
    expect([again.status, other.status]).toEqual([0, 0])
    expect([outputs(again), outputs(other)]).toEqual([outputs(first), outputs(first)])
  },
)

it('an error is that of the server, and is not kept', async () => {
  for (let i = 0; i < 2; i++) expect(await predict([13])).toMatchObject({ status: 3, details: 'not 13' })
  expect(upstream).toEqual([1, 1])
})

it('Classify has rows by example', async () => {
  const classify = (...values: number[]) => {
    const examples = values.map((value) => ({
      features: { feature: { x: { float_list: { value: [value] } } } },
    }))
    return ask(
      'Classify',
      encode('ExampleRequest', { model_spec: { name: 'm' }, input: { example_list: { examples } } }),
    )
  }
  await classify(1, 2)
  const answer = await classify(2, 3, 1)
  expect(upstream).toEqual([2, 1])
  const { result } = decode('ClassificationResponse', answer.message) as {
    result: { classifications: Message[] }
  }
  expect(JSON.stringify(result)).toMatch(/2\].*3\].*1\]/)
  expect(answer.status).toBe(0)
})
