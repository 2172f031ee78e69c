/** The external scaler as KEDA's own client asks it, over gRPC. */
import { fileURLToPath } from 'node:url'
import {
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  makeGenericClientConstructor,
  status,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type KedaScaler, openKedaScaler } from '../../src/control/scale/keda.ts'
import type { Emitter } from '../../src/control/scale/signal.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { createAuthority } from '../support/authority.ts'
import { eventually } from '../support/eventually.ts'
import { signalFor } from '../support/signals.ts'

const PROTO = fileURLToPath(new URL('../support/externalscaler.proto', import.meta.url))
const types = loadSync(PROTO, { longs: Number, defaults: true })
const service = types['externalscaler.ExternalScaler']

type Answer = Readonly<Record<string, unknown>>
type Unary = (
  request: object,
  done: (error: { code: number; details: string } | null, answer: Answer) => void,
) => void
type Streamed = (request: object) => ClientReadableStream<Answer>

const ref = (pool?: string) => ({ name: 'so', namespace: 'ml', scalerMetadata: pool ? { pool } : {} })

let scaler: KedaScaler
let emitter: Emitter
let client: InstanceType<ReturnType<typeof makeGenericClientConstructor>>

beforeEach(async () => {
  expect(loadPackageDefinition(types)).toHaveProperty('externalscaler')
  scaler = await openKedaScaler({ host: '127.0.0.1', port: 0, tls: undefined, clock: systemClock })
  emitter = scaler.pool('ranker')
  const Client = makeGenericClientConstructor(service as never, 'ExternalScaler')
  client = new Client(`127.0.0.1:${scaler.port}`, credentials.createInsecure())
})
afterEach(() => {
  client.close()
  scaler.close()
})

function ask(method: string, request: object): Promise<Answer> {
  const call = (client[method] as unknown as Unary).bind(client)
  return new Promise((resolve, reject) =>
    call(request, (error, answer) =>
      error ? reject(Object.assign(new Error(error.details), error)) : resolve(answer),
    ),
  )
}

function follow(method: string, request: object): Answer[] {
  const heard: Answer[] = []
  const stream = (client[method] as unknown as Streamed).call(client, request)
  stream.on('data', (answer: Answer) => heard.push(answer))
  stream.on('error', () => {})
  return heard
}

it('says the number as a metric whose target is one a replica', async () => {
  emitter.emit(signalFor('ranker', 6))
  const [spec] = (await ask('GetMetricSpec', ref('ranker')))['metricSpecs'] as [Answer]
  expect(spec).toMatchObject({ targetSize: 1, targetSizeFloat: 1 })
  const asked = { scaledObjectRef: ref('ranker'), metricName: spec['metricName'] }
  expect(await ask('GetMetrics', asked)).toEqual({
    metricValues: [{ metricName: spec['metricName'], metricValue: 6, metricValueFloat: 6 }],
  })
  expect(await ask('IsActive', ref('ranker'))).toEqual({ result: true })
  emitter.emit(signalFor('ranker', 0))
  expect(await ask('IsActive', ref('ranker'))).toEqual({ result: false })
})

it('streams whether the pool is active: at once, and then only when that changes', async () => {
  emitter.emit(signalFor('ranker', 0))
  const heard = follow('StreamIsActive', ref('ranker'))
  await eventually(() => expect(heard).toEqual([{ result: false }]))
  emitter.emit(signalFor('ranker', 2))
  emitter.emit(signalFor('ranker', 3))
  emitter.emit(signalFor('ranker', 0))
  await eventually(() => expect(heard).toEqual([{ result: false }, { result: true }, { result: false }]))
})

it('streams the same specification as it gives when it is asked', async () => {
  emitter.emit(signalFor('ranker', 2))
  const heard = follow('StreamMetricSpec', ref('ranker'))
  const asked = await ask('GetMetricSpec', ref('ranker'))
  await eventually(() => expect(heard).toEqual([asked]))
})

it('names what is missing instead of inventing a number', async () => {
  await expect(ask('IsActive', ref())).rejects.toMatchObject({ code: status.INVALID_ARGUMENT })
  await expect(ask('GetMetrics', { scaledObjectRef: ref('ranker') })).rejects.toMatchObject({
    code: status.UNAVAILABLE,
    details: expect.stringContaining('"ranker"'),
  })
})

it('speaks TLS, with certificates that change while it is open', async () => {
  const authority = createAuthority()
  const secured = (name: string) => ({
    certificates: [authority.issue(`/CN=${name}`, `DNS:${name},DNS:localhost`)],
    client: undefined,
    ticketSecret: '00'.repeat(32),
  })
  const options = { host: '127.0.0.1', port: 0, clock: systemClock }
  const secure = await openKedaScaler({ ...options, tls: secured('first') })
  const Client = makeGenericClientConstructor(service as never, 'ExternalScaler')
  const told = async (name: string) => {
    const trusted = credentials.createSsl(Buffer.from(authority.ca))
    const asking = new Client(`127.0.0.1:${secure.port}`, trusted, {
      'grpc.ssl_target_name_override': name,
      'grpc.use_local_subchannel_pool': 1,
    })
    try {
      const call = (asking['IsActive'] as unknown as Unary).bind(asking)
      return await new Promise((resolve, reject) =>
        call(ref('ranker'), (error, answer) => (error ? reject(new Error(error.details)) : resolve(answer))),
      )
    } finally {
      asking.close()
    }
  }
  try {
    secure.pool('ranker').emit(signalFor('ranker', 3))
    expect(await told('first')).toEqual({ result: true })
    await expect(told('second')).rejects.toThrow()
    secure.secure(secured('second'))
    expect(await told('second')).toEqual({ result: true })
  } finally {
    secure.close()
  }
})

it('says where it cannot listen', async () => {
  await expect(
    openKedaScaler({ host: '127.0.0.1', port: scaler.port, tls: undefined, clock: systemClock }),
  ).rejects.toThrow(/cannot listen on 127/)
})
