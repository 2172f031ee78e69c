/** Calls over gRPC in the prediction log, as TensorFlow reads it: by a client of grpc-js, before a server of TensorFlow Serving's shape. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { decode, encode, type Message } from '../support/tensorflow-serving.ts'

const METHOD = {
  path: '/tensorflow.serving.PredictionService/Predict',
  requestStream: false,
  responseStream: false,
  requestSerialize: (message: Message) => encode('PredictRequest', message),
  requestDeserialize: (bytes: Buffer) => decode('PredictRequest', bytes),
  responseSerialize: (message: Message) => encode('PredictResponse', message),
  responseDeserialize: (bytes: Buffer) => decode('PredictResponse', bytes),
} as const

const SPEC = { name: 'm', version: { value: 7 }, signature_name: 'serving_default' }
const tensor = (value: number) => ({ dtype: 1, tensor_shape: { dim: [{ size: 1 }] }, float_val: [value] })

let folder: string
let server: grpc.Server
let gateway: RunningGateway
let client: grpc.Client

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'infergate-predictions-'))
  server = new grpc.Server()
  server.addService(
    { Predict: METHOD },
    {
      Predict(call: grpc.ServerUnaryCall<Message, Message>, answer: grpc.sendUnaryData<Message>) {
        const { inputs } = call.request as { inputs: { x: { float_val: [number] } } }
        const [value] = inputs.x.float_val
        if (value === 13) return answer({ code: grpc.status.INVALID_ARGUMENT, details: 'not 13' })
        answer(null, { outputs: { y: tensor(2 * value) }, model_spec: SPEC })
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { main: { backends: [{ grpc: `http://127.0.0.1:${port}` }], health: { path: 'off' } } },
      routes: [{ pool: 'main', cache: { rows: 'never' }, log: { to: folder, format: 'tfrecord' } }],
    },
  })
  await gateway.ready('main')
  client = new grpc.Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
})
afterAll(async () => {
  client?.close()
  await gateway?.stop()
  server?.forceShutdown()
  rmSync(folder, { recursive: true, force: true })
})

function predict(value: number): Promise<Message | grpc.ServiceError> {
  const request = { model_spec: { name: 'm' }, inputs: { x: tensor(value) } }
  return new Promise((resolve) =>
    client.makeUnaryRequest(
      METHOD.path,
      METHOD.requestSerialize,
      METHOD.responseDeserialize,
      request,
      (error, message?: Message) => resolve(error ?? (message as Message)),
    ),
  )
}

it('hits and misses are in it with their messages, and errors are not', async () => {
  for (const value of [1, 1, 13]) await predict(value)
  const outcome = { outcome: 'written' }
  await eventually(async () =>
    expect(await gateway.metric('infergate_prediction_log_records_total', outcome)).toBe(2),
  )
  expect(await predict(13)).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: 'not 13' })
  await gateway.stop()
  const [name = ''] = readdirSync(folder).filter((file) => file.endsWith('.tfrecord'))
  const file = readFileSync(join(folder, name))
  const records: Message[] = []
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at))
    records.push(decode('PredictionLog', file.subarray(at + 12, at + 12 + length)))
    at += length + 16
  }
  const x = { ...tensor(1), tensor_shape: { dim: [{ size: '1' }] } }
  const model_spec = { ...SPEC, version: { value: '7' } }
  const logged = {
    log_metadata: { model_spec, timestamp_secs: expect.stringMatching(/^\d+$/) },
    predict_log: {
      request: { model_spec: { name: 'm' }, inputs: { x } },
      response: { model_spec, outputs: { y: { ...x, float_val: [2] } } },
    },
  }
  expect(records).toEqual([logged, logged])
})
