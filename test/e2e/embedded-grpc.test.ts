/** An embedded model asked over gRPC: its server is asked over gRPC too, and the answer is kept for callers of every form. */
import { readFileSync } from 'node:fs'
import grpc from '@grpc/grpc-js'
import { expect, it } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import { modelFile } from '../support/model-server.ts'
import { decoded, encoded, type Message, type MessageName } from '../support/oip-messages.ts'

const sample = readFileSync(new URL('../../models/samples/digit-7.v2.json', import.meta.url), 'utf8')

it('answers over gRPC, natively, and calls in JSON and over gRPC have one entry', async () => {
  const gateway = await startGateway({
    // Which forms a server answers is known by worker.
    yaml: { server: { workers: 1 }, models: [{ name: 'digits', source: modelFile('digits.onnx') }] },
  })
  await gateway.up()
  const client = new grpc.Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
  const [{ data, ...input }] = (JSON.parse(sample) as { inputs: [{ data: number[] }] }).inputs

  /** The digit, and what the cache did. */
  const overGrpc = (image: readonly number[]) =>
    new Promise<readonly [bigint, string]>((resolve, reject) => {
      let head: grpc.Metadata | undefined
      const message = {
        model_name: 'digits',
        inputs: [input],
        raw_input_contents: [Buffer.from(Float32Array.from(image).buffer)],
      }
      client
        .makeUnaryRequest(
          '/inference.GRPCInferenceService/ModelInfer',
          (value: Message) => encoded('ModelInferRequest', value),
          (bytes: Buffer) => decoded('ModelInferResponse', bytes),
          message,
          (error, value) => {
            if (error) return reject(error)
            const [, digit] = (value as Message)['raw_output_contents'] as Buffer[]
            resolve([Buffer.from(digit as Buffer).readBigInt64LE(), String(head?.get('cache-status'))])
          },
        )
        .on('metadata', (fields) => (head = fields))
    })
  const overHttp = async (image: readonly number[]) => {
    const { headers } = await gateway.post('/v2/models/digits/infer', { inputs: [{ ...input, data: image }] })
    return headers['cache-status']
  }

  expect(await overHttp(data)).toContain('fwd=miss')
  expect(await overGrpc(data)).toEqual([7n, expect.stringContaining('fwd=')])
  expect(await overGrpc(data)).toEqual([7n, expect.stringContaining('; hit;')])
  const other = data.toReversed()
  await overGrpc(other)
  expect(await overHttp(other)).toContain('; hit;')
  // What any client asks first names no model.
  const about = (method: string, answer: MessageName) =>
    new Promise<Message>((resolve, reject) =>
      client.makeUnaryRequest(
        `/inference.GRPCInferenceService/${method}`,
        () => Buffer.alloc(0),
        (bytes: Buffer) => decoded(answer, bytes),
        {},
        (error, value) => (error ? reject(error) : resolve(value as Message)),
      ),
    )
  expect(await about('ServerLive', 'ServerLiveResponse')).toEqual({ live: true })
  expect(await about('ServerReady', 'ModelReadyResponse')).toEqual({ ready: true })
  expect(await about('ServerMetadata', 'ServerMetadataResponse')).toMatchObject({
    name: 'infergate-model-server',
  })
  for (const path of ['/v2/health/live', '/v2/health/ready', '/v2'])
    expect([path, (await gateway.get(path)).status]).toEqual([path, 200])
  // A method that names no model and is not about the server has no route.
  await expect(about('RepositoryIndex', 'RepositoryIndexResponse')).rejects.toMatchObject({
    code: grpc.status.UNIMPLEMENTED,
  })
  client.close()
  const pool = (await (await fetch(`${gateway.admin}/api/v1/pools/digits`)).json()) as { backends: Message[] }
  expect(pool.backends[0]?.['grpc']).toBe(pool.backends[0]?.['url'])
})
