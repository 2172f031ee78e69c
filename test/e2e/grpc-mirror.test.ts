/** A mirror and changed fields on a route of gRPC: unary calls are copied, rows that are missing alone, streams are not. */
import grpc from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import type { Message } from '../support/oip-messages.ts'
import { METHODS, type OipServer, startOipServer } from '../support/oip-server.ts'

const Client = grpc.makeGenericClientConstructor(METHODS, 'GRPCInferenceService')

let first: OipServer
let second: OipServer
let gateway: RunningGateway
let client: InstanceType<typeof Client>

beforeAll(async () => {
  first = await startOipServer()
  // Typed questions are answered raw: another form of the same values.
  second = await startOipServer({ isAlwaysRaw: true })
  const pool = (url: string) => ({ backends: [{ grpc: url }], health: { path: 'off' } })
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { main: pool(first.url), copies: pool(second.url) },
      routes: [
        {
          name: 'main',
          pool: 'main',
          mirror: { pool: 'copies', compare: true },
          headers: { response: { set: { 'x-served-by': 'infergate' } } },
          cache: { rows: 'always' },
        },
      ],
    },
  } as never)
  client = new Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
})
afterAll(async () => {
  client?.close()
  await gateway?.stop()
  for (const server of [first, second]) server?.close()
})

const asking = (rows: number[]): Message => ({
  model_name: 'double',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length, 1], contents: { fp32_contents: rows } }],
})

function infer(...rows: number[]): Promise<string> {
  type Infer = (
    request: Message,
    done: (error: grpc.ServiceError | null, answer?: Message) => void,
  ) => grpc.ClientUnaryCall
  return new Promise((resolve, reject) => {
    let servedBy = ''
    const call = (client['ModelInfer'] as unknown as Infer).call(client, asking(rows), (error) =>
      error ? reject(error) : resolve(servedBy),
    )
    call.on('metadata', (head: grpc.Metadata) => (servedBy = String(head.get('x-served-by'))))
  })
}

const metric = (name: string, labels = {}) =>
  gateway.metric(`infergate_mirror_${name}_total`, { route: 'main', pool: 'copies', ...labels })

it('unary calls are copied, with the rows that are missing alone, and their answers agree', async () => {
  expect(await infer(1, 2)).toBe('infergate')
  await eventually(async () => expect(await metric('compared', { result: 'equal' })).toBe(1))
  // A hit is answered here, and says the same of itself.
  expect(await infer(1, 2)).toBe('infergate')
  expect(await infer(1, 3, 2, 4)).toBe('infergate')
  await eventually(async () => expect(await metric('compared', { result: 'equal' })).toBe(2))
  expect([first.asked, second.asked]).toEqual([
    [2, 2],
    [2, 2],
  ])
  expect(await metric('sent')).toBe(2)
})

it('a refusal agrees with the other server’s, and a stream is not copied', async () => {
  await expect(infer(13)).rejects.toMatchObject({ code: grpc.status.INVALID_ARGUMENT })
  await eventually(async () => expect(await metric('compared', { result: 'equal' })).toBe(3))
  const begun = second.begun
  type Stream = () => grpc.ClientDuplexStream<Message, Message>
  const stream = (client['ModelStreamInfer'] as unknown as Stream).call(client)
  const answered = new Promise<number>((resolve, reject) => {
    let answers = 0
    stream.on('data', () => ++answers === 2 && stream.end())
    stream.on('end', () => resolve(answers))
    stream.on('error', reject)
  })
  stream.write(asking([1]))
  stream.write(asking([2]))
  expect(await answered).toBe(2)
  await infer(5)
  await eventually(async () => expect(await metric('sent')).toBe(4))
  expect(second.begun).toBe(begun + 1)
})
