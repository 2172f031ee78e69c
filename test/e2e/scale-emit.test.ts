/** Scale signals as the YAML names them: a webhook and KEDA hear the same number from a running gateway. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { credentials, loadPackageDefinition, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterEach, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { freePort } from '../support/servers.ts'

const PROTO = fileURLToPath(new URL('../support/externalscaler.proto', import.meta.url))

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

it('a webhook and KEDA hear the same number, once backends have had time to register', async () => {
  const events: { type: string; subject: string; data: { desired: number } }[] = []
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    events.push(JSON.parse(body))
    response.writeHead(202).end()
  }
  server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const keda = `127.0.0.1:${await freePort()}`
  const gateway = await startGateway({
    yaml: {
      pools: {
        ranker: {
          backends: [{ url: 'http://127.0.0.1:9' }, { url: 'http://127.0.0.1:10' }],
          health: { path: 'off' },
          scale: {
            min: 1,
            max: 5,
            emit: [
              { type: 'webhook', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/scale` },
              { type: 'keda', listen: keda },
            ],
          },
        },
      },
      routes: [{ pool: 'ranker' }],
    },
  })
  await eventually(() => expect(events.length).toBeGreaterThan(0), { timeoutMs: 40_000 })
  expect(events[0]).toMatchObject({
    type: 'dev.infergate.scale.desired.v1',
    subject: 'ranker',
    data: { desired: 2, reason: 'hold_no_data' },
  })
  const types = loadPackageDefinition(loadSync(PROTO, { longs: Number, defaults: true }))
  const { ExternalScaler } = types['externalscaler'] as unknown as {
    ExternalScaler: ServiceClientConstructor
  }
  const client = new ExternalScaler(keda, credentials.createInsecure())
  const request = { scaledObjectRef: { scalerMetadata: { pool: 'ranker' } }, metricName: 'x' }
  const answer = await new Promise((resolve, reject) =>
    client['GetMetrics']?.bind(client)(request, (error: Error | null, found: unknown) =>
      error ? reject(error) : resolve(found),
    ),
  )
  expect(answer).toMatchObject({ metricValues: [{ metricValue: 2 }] })
  client.close()
  await gateway.stop()
}, 60_000)
