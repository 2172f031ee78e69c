/** gRPC through the gateway as its users run it, with a client and a server of grpc-js at its two ends. */
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import grpc from '@grpc/grpc-js'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import type { Message } from '../support/oip-messages.ts'
import { METHODS, type OipServer, startOipServer } from '../support/oip-server.ts'

const Client = grpc.makeGenericClientConstructor(METHODS, 'GRPCInferenceService')
type Infer = (
  request: Message,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  done: (error: grpc.ServiceError | null, answer?: Message) => void,
) => grpc.ClientUnaryCall

let server: OipServer
let gateway: RunningGateway
let client: InstanceType<typeof Client>

beforeAll(async () => {
  server = await startOipServer()
})
afterAll(() => server.close())
beforeEach(() => {
  server.asked.length = 0
  server.delayMs = 0
})
afterEach(() => client.close())

/** A gateway in front of the server, by its gRPC address alone, and a client of it. */
async function start(route: object, more: object = {}): Promise<void> {
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { main: { backends: [{ grpc: server.url }], health: { interval: '200ms' } } },
      routes: [{ name: 'main', pool: 'main', ...route }],
      ...more,
    },
  })
  await gateway.ready('main')
  client = new Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
}

interface Answered {
  readonly message: Message | undefined
  readonly error: grpc.ServiceError | null
  readonly head: grpc.Metadata | undefined
  readonly trailers: grpc.Metadata
}

function infer(
  request: Message,
  { metadata = {}, ...options }: grpc.CallOptions & { metadata?: Record<string, string> } = {},
) {
  const fields = new grpc.Metadata()
  for (const [name, value] of Object.entries(metadata)) fields.set(name, value)
  let call: grpc.ClientUnaryCall | undefined
  const answered = new Promise<Answered>((resolve) => {
    let head: grpc.Metadata | undefined
    let error: grpc.ServiceError | null = null
    let message: Message | undefined
    call = (client['ModelInfer'] as unknown as Infer).call(
      client,
      request,
      fields,
      options,
      (failed, answer) => {
        error = failed
        message = answer
      },
    )
    call.on('metadata', (given: grpc.Metadata) => (head = given))
    call.on('status', ({ metadata: trailers }: grpc.StatusObject) =>
      setImmediate(() => resolve({ message, error, head, trailers })),
    )
  })
  return Object.assign(answered, { cancel: () => call?.cancel() })
}

const typed = (...rows: number[]): Message => ({
  model_name: 'double',
  id: `id-${rows.join()}`,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length, 1], contents: { fp32_contents: rows } }],
})

const raw = (...rows: number[]): Message => ({
  model_name: 'double',
  inputs: [{ name: 'x', datatype: 'FP32', shape: [rows.length, 1] }],
  raw_input_contents: [Buffer.from(new Float32Array(rows).buffer)],
})

const cacheStatus = ({ head }: Answered) => String(head?.get('cache-status'))
const floats = ({ message }: Answered) => {
  const [blob] = (message?.['raw_output_contents'] ?? []) as Buffer[]
  const [y] = (message?.['outputs'] ?? []) as { contents: { fp32_contents: number[] } | null }[]
  return blob ? [...new Float32Array(Uint8Array.from(blob).buffer)] : y?.contents?.fp32_contents
}

/** Asks the server behind; rejects with the error that it gets. */
function isReady(): Promise<unknown> {
  type Ask = (request: Message, done: (error: grpc.ServiceError | null, answer?: Message) => void) => void
  return new Promise((resolve, reject) => {
    const done = (error: grpc.ServiceError | null, answer?: Message) =>
      error ? reject(error) : resolve(answer?.['ready'])
    ;(client['ServerReady'] as unknown as Ask).call(client, {}, done)
  })
}

describe('a route that caches', () => {
  beforeAll(() => start({ cache: { rows: 'always' } }))
  beforeEach(() => {
    client = new Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
  })

  it('answers the second call from memory, each with its own id', async () => {
    const first = await infer(typed(1, 2))
    expect(first.error).toBeNull()
    expect(cacheStatus(first)).toContain('fwd=miss')
    expect(floats(first)).toEqual([2, 4])
    const second = await infer(typed(1, 2))
    expect(cacheStatus(second)).toMatch(/^infergate; hit; .*detail=memory$/)
    expect(second.head?.get('age')).toEqual(['0'])
    expect(second.message).toEqual(first.message)
    const third = await infer({ ...typed(1, 2), id: 'mine' })
    expect(third.message).toMatchObject({ id: 'mine', model_name: 'double', model_version: '1' })
    expect(server.asked).toEqual([2])
  })

  it('asks the server for the rows that are not known, raw or typed', async () => {
    await infer(typed(10, 11, 12))
    const mixed = await infer(typed(10, 21, 11, 22, 12))
    expect(floats(mixed)).toEqual([20, 42, 22, 44, 24])
    expect(cacheStatus(mixed)).toContain('rows hit=3 join=0 miss=2 dup=0')
    expect(floats(await infer(raw(10, 31)))).toEqual([20, 62])
    expect(floats(await infer(raw(31, 10)))).toEqual([62, 20])
    expect(server.asked.slice(0, 2)).toEqual([3, 2])
  })

  it('is one entry for JSON and gRPC', async () => {
    const { error } = await infer(raw(40, 41))
    expect(error).toBeNull()
    const body = { inputs: [{ name: 'x', datatype: 'FP32', shape: [2, 1], data: [40, 41] }] }
    const first = await gateway.post('/v2/models/double/infer', body)
    const second = await gateway.post('/v2/models/double/infer', body)
    expect(first.json).toMatchObject({ model_name: 'double', outputs: [{ name: 'y', data: [80, 82] }] })
    expect(second.headers['cache-status']).toContain('hit')
    expect(second.json).toEqual(first.json)
  })

  it('gives a herd of 200 what the server was asked for once', async () => {
    server.delayMs = 100
    const answers = await Promise.all(Array.from({ length: 200 }, () => infer(typed(50))))
    expect(answers.every((answer) => floats(answer)?.[0] === 100)).toBe(true)
    expect(server.asked).toEqual([1])
  })

  it('passes on the status and the message of an error', async () => {
    const { error } = await infer(typed(13))
    expect(error).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: '13 is refused: ä' })
  })

  it('ends the work of the server at the deadline of the caller, and when the caller leaves', async () => {
    server.delayMs = 20_000
    const before = server.cancelled
    const late = await infer(typed(60), { deadline: Date.now() + 300 })
    expect(late.error?.code).toBe(grpc.status.DEADLINE_EXCEEDED)
    await eventually(() => expect(server.cancelled).toBe(before + 1))
    const { begun } = server
    const left = infer(typed(61))
    await eventually(() => expect(server.begun).toBe(begun + 1))
    left.cancel()
    expect((await left).error?.code).toBe(grpc.status.CANCELLED)
    await eventually(() => expect(server.cancelled).toBe(before + 2))
  })

  it('passes streams on, both ways', async () => {
    const stream = (
      client['ModelStreamInfer'] as unknown as () => grpc.ClientDuplexStream<Message, Message>
    ).call(client)
    const answers: Message[] = []
    stream.on('data', (answer: Message) => answers.push(answer))
    for (const value of [1, 2, 3]) {
      stream.write(typed(value))
      await eventually(() => expect(answers).toHaveLength(value))
    }
    const status = new Promise<grpc.StatusObject>((resolve) => stream.on('status', resolve))
    stream.end()
    expect((await status).code).toBe(grpc.status.OK)
    expect(answers.map((message) => floats({ message } as Answered))).toEqual([[2], [4], [6]])
  })

  it('says in gRPC what it says of its own', async () => {
    const { error, trailers } = await infer(
      { model_name: 'double' },
      { metadata: { 'cache-control': 'only-if-cached' } },
    )
    expect(error?.code).toBe(grpc.status.FAILED_PRECONDITION)
    expect(String(trailers.get('proxy-status'))).toContain('infergate')
  })

  it('heeds the cache-control of a call', async () => {
    await infer(typed(70))
    const fresh = await infer(typed(70), { metadata: { 'cache-control': 'no-cache' } })
    expect(cacheStatus(fresh)).not.toContain('hit;')
    expect(server.asked).toEqual([1, 1])
  })
})

it('before a server that always answers raw, one entry is for typed, raw and JSON', async () => {
  const triton = await startOipServer({ isAlwaysRaw: true })
  try {
    const pools = { main: { backends: [{ grpc: triton.url }], health: { path: 'off' } } }
    await start({ cache: { rows: 'never' } }, { pools })
    const json = async (value: number) => {
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [value] }]
      const { headers } = await gateway.post('/v2/models/double/infer', { inputs })
      return String(headers['cache-status'])
    }
    // The server is seen to take each form.
    for (const ask of [typed, raw]) expect(cacheStatus(await infer(ask(1)))).toContain('fwd=miss')
    expect(await json(1)).toContain('fwd=miss')
    const isRaw = ({ message }: Answered) => [message?.['raw_output_contents']].flat().length === 1
    for (const [i, first] of [typed, raw, typed].entries()) {
      if (i === 2) expect(await json(10 + i)).toContain('fwd=miss')
      for (const ask of [first, raw, typed]) {
        const answer = await infer(ask(10 + i))
        expect(floats(answer)).toEqual([20 + 2 * i])
        expect(isRaw(answer)).toBe(true)
        if (ask !== first) expect(cacheStatus(answer)).toContain('; hit;')
      }
      expect(await json(10 + i)).toContain('; hit;')
    }
    expect(triton.asked).toHaveLength(6)
  } finally {
    triton.close()
  }
})

it('asks callers who they are, and says so in the status', async () => {
  const key = 'ig_0123456789abcdefghijklmnopqrstuvwxyz'
  await start(
    { cache: { rows: 'never' } },
    {
      auth: { required: true, keys: [{ name: 'me', tenant: 'us', hash: `sha256:${hash('sha256', key)}` }] },
      tenants: { us: {} },
    },
  )
  const { error } = await infer(typed(1))
  expect(error?.code).toBe(grpc.status.UNAUTHENTICATED)
  const known = await infer(typed(1), { metadata: { authorization: `Bearer ${key}` } })
  expect(known.error).toBeNull()
})

it('asks a server that speaks HTTP alone in its own way', async () => {
  gateway = await startGateway()
  await gateway.up()
  client = new Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure())
  const pixels = Array.from({ length: 64 }, (_, i) => (i * 7) % 17)
  const request = {
    model_name: 'digits',
    inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 8, 8], contents: { fp32_contents: pixels } }],
  }
  const metadata = await gateway.get('/v2/models/digits')
  const [input] = (metadata.json as { inputs: { name: string; shape: number[] }[] }).inputs
  if (!input) throw new Error('the model has no input')
  const own = { ...request.inputs[0], name: input.name, shape: [1, ...input.shape.slice(1)] }
  const over = await infer({ ...request, inputs: [own] })
  expect(over.error).toBeNull()
  const { json } = await gateway.post('/v2/models/digits/infer', {
    inputs: [{ name: own.name, datatype: 'FP32', shape: own.shape, data: pixels }],
  })
  const names = (json as { outputs: { name: string }[] }).outputs.map(({ name }) => name)
  expect(over.message).toMatchObject({ outputs: names.map((name) => ({ name })) })
  const missing = await infer({ ...request, model_name: 'nobody' })
  expect(missing.error?.code).toBe(grpc.status.UNIMPLEMENTED)
})

it('asks a server that speaks HTTP alone whether it is ready', async () => {
  const asked: string[] = []
  const http = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.end()
  }).listen(0, '127.0.0.1')
  await once(http, 'listening')
  try {
    const { port } = http.address() as AddressInfo
    await start(
      {},
      { pools: { main: { backends: [{ url: `http://127.0.0.1:${port}` }], health: { path: 'tcp' } } } },
    )
    expect(await isReady()).toBe(true)
    expect(asked).toContain('GET /v2/health/ready')
    const { error } = await infer({ ...raw(1), model_name: 'a/b' })
    expect(error).toMatchObject({
      code: grpc.status.INVALID_ARGUMENT,
      details: 'the name of the model cannot stand in a path',
    })
  } finally {
    http.close()
  }
})
