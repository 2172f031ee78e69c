/** What a gRPC server asks of retries by `grpc-retry-pushback-ms` is heeded (grpc/proposal, A6). */
import grpc from '@grpc/grpc-js'
import { afterEach, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import type { Message } from '../support/oip-messages.ts'
import { METHODS } from '../support/oip-server.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close()
})

interface Server {
  readonly url: string
  /** Calls so far. */
  readonly calls: number
}

/** Refuses every call with UNAVAILABLE and this pushback; left out: answers. */
async function startServer(pushback?: string): Promise<Server> {
  let calls = 0
  const server = new grpc.Server()
  server.addService(METHODS, {
    ModelInfer(_: unknown, answer: grpc.sendUnaryData<Message>) {
      calls++
      if (pushback === undefined) return answer(null, { model_name: 'm' })
      const metadata = new grpc.Metadata()
      metadata.set('grpc-retry-pushback-ms', pushback)
      answer({ code: grpc.status.UNAVAILABLE, details: 'busy', metadata })
    },
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  closers.push(() => server.forceShutdown())
  return {
    url: `http://127.0.0.1:${port}`,
    get calls() {
      return calls
    },
  }
}

async function start(...servers: readonly Server[]): Promise<() => Promise<string>> {
  const backends = servers.map(({ url }) => ({ grpc: url }))
  const gateway: RunningGateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: {
        main: {
          backends,
          health: { path: 'off' },
          outlier: { consecutive: 1000 },
          balance: { policy: 'round-robin' },
        },
      },
      routes: [{ pool: 'main' }],
    },
  })
  closers.push(() => gateway.stop())
  await gateway.ready('main', servers.length)
  const client = new grpc.Client(`127.0.0.1:${gateway.port}`, grpc.credentials.createInsecure(), {
    'grpc.enable_retries': 0,
  })
  closers.push(() => client.close())
  const { path, requestSerialize, responseDeserialize } = METHODS.ModelInfer
  return () =>
    new Promise((resolve) =>
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { model_name: 'm' }, (error) =>
        resolve(error ? `${grpc.status[error.code]} ${error.details}` : 'OK'),
      ),
    )
}

it('a server that asks for none is repeated nowhere', async () => {
  const [refusing, well] = [await startServer('-1'), await startServer()]
  const ask = await start(refusing, well)
  const told = []
  for (let i = 0; i < 12; i++) told.push(await ask())
  const refused = told.filter((one) => one === 'UNAVAILABLE busy').length
  expect(refused).toBe(refusing.calls)
  expect(refused).toBeGreaterThan(0)
  expect(refused + well.calls).toBe(12)
})

it('a server that asks for time is asked no more within it, and its call goes to another', async () => {
  const [busy, well] = [await startServer('600000'), await startServer()]
  const ask = await start(busy, well)
  for (let i = 0; i < 12; i++) expect(await ask()).toBe('OK')
  expect(busy.calls).toBe(1)
  expect(well.calls).toBe(12)
})
