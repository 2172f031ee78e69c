/**
 * TensorFlow Serving's gRPC messages through the gateway on real sockets: what is kept, what goes upstream of a batch, and that
 * callers read what the server gives. The transport does not matter to the dialect; here it is HTTP/1.1 with trailers.
 */
import { request } from 'node:http'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Route } from '../../src/data/route/routes.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { silentObserver } from '../support/observer.ts'
import { CACHE } from '../support/pipeline.ts'
import { type RunningPlane, startPlane } from '../support/plane.ts'
import { decode, encode, framed, type Message, type Method, unframed } from '../support/tensorflow-serving.ts'

interface GrpcAnswer {
  readonly message: Uint8Array
  readonly status: string | undefined
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

let backend: ScriptedBackend
let plane: RunningPlane
/** The rows of each request that the backend got. */
const upstream: number[] = []

beforeEach(async () => {
  upstream.length = 0
  backend = await startBackend(serving)
  await start('always')
})
afterEach(async () => {
  await plane.close()
  await backend.close()
})

async function start(rows: 'always' | 'auto' | 'never'): Promise<void> {
  const cache = { ...CACHE, rows, maxEntryBytes: 1 << 20 }
  plane = await startPlane({
    routes: [{ ...ROUTE, cache }],
    pools: { m: [backend.url] },
    observer: silentObserver,
  })
  plane.deployments.learn({ pool: 'm', model: 'm', evidence: '7', versions: ['7'] })
}

const SPEC = { name: 'm', signature_name: 'serving_default', version: { value: 7 } }

/** Twice each value; 13 is refused. Classify: the number of features, and the first value. */
const serving: Script = ({ path, body }, response) => {
  const message = unframed(body)
  response.writeHead(200, { 'content-type': 'application/grpc', trailer: 'grpc-status' })
  if (path.endsWith('Classify')) {
    const { input } = decode('ExampleRequest', message) as {
      input: { example_list: { examples: Message[] } }
    }
    const { examples } = input.example_list
    upstream.push(examples.length)
    const classifications = examples.map((example) => ({
      classes: [{ label: JSON.stringify(example), score: 0.5 }],
    }))
    response.write(
      framed(encode('ClassificationResponse', { result: { classifications }, model_spec: SPEC })),
    )
    response.addTrailers({ 'grpc-status': '0' })
    return void response.end()
  }
  const { inputs } = decode('PredictRequest', message) as { inputs: { x: Message } }
  const { float_val, tensor_content, tensor_shape } = inputs.x
  const values = (float_val as number[] | undefined) ?? floatsIn(Buffer.from(tensor_content as string, 'hex'))
  upstream.push(values.length)
  if (values.includes(13)) {
    response.addTrailers({ 'grpc-status': '3' })
    return void response.end()
  }
  const doubled = { dtype: 1, tensor_shape, float_val: values.map((value) => 2 * value) }
  const count = { dtype: 9, tensor_shape, int64_val: values.map(() => 1) }
  response.write(framed(encode('PredictResponse', { outputs: { y: doubled, n: count }, model_spec: SPEC })))
  response.addTrailers({ 'grpc-status': '0' })
  response.end()
}

function floatsIn(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4))
}

function ask(method: Method, message: Uint8Array): Promise<GrpcAnswer> {
  const body = framed(message)
  const headers = { 'content-type': 'application/grpc', te: 'trailers', 'content-length': body.length }
  const path = `/tensorflow.serving.PredictionService/${method}`
  return new Promise((resolve, reject) => {
    const sent = request(
      { port: plane.port, host: '127.0.0.1', path, method: 'POST', headers },
      (response) => {
        const pieces: Buffer[] = []
        response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject)
        response.on('end', () => {
          const status = response.trailers['grpc-status'] ?? response.headers['grpc-status']
          resolve({
            message: Buffer.concat(pieces).subarray(5),
            status: status as string | undefined,
            cacheStatus: String(response.headers['cache-status']),
          })
        })
      },
    )
    sent.on('error', reject).end(body)
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
  expect(answer.status).toBe('0')
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
    expect([again.status, other.status]).toEqual(['0', '0'])
    expect([outputs(again), outputs(other)]).toEqual([outputs(first), outputs(first)])
  },
)

it('an error is that of the server, and is not kept', async () => {
  for (let i = 0; i < 2; i++) expect(await predict([13])).toMatchObject({ status: '3' })
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
  expect(answer.status).toBe('0')
})
