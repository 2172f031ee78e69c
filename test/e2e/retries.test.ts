/** Another backend takes over where asking twice harms nobody, and only there. */

import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { startLoad } from '../support/load.ts'
import { type BackendProcess, startBackendProcess } from '../support/scripted-backend.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

async function killable(name: string): Promise<BackendProcess> {
  const started = await startBackendProcess(name, 20)
  cleanup.push(() => started.kill())
  return started
}

it('no prediction fails when a backend is killed under load', async () => {
  const [doomed, other] = await Promise.all([killable('doomed'), killable('other')])
  const gateway = await startGateway({ yaml: settings({ backends: [doomed, other] }) })
  await gateway.ready('main', 2)
  const load = startLoad((n) => gateway.post(PREDICT, instances(n)))
  const from = (name: string) => load.answers.filter(({ text }) => text.includes(name)).length
  await eventually(() => {
    expect(from('doomed')).toBeGreaterThan(20)
    expect(from('other')).toBeGreaterThan(20)
  })
  await doomed.kill()
  const before = from('other')
  await eventually(() => expect(from('other')).toBeGreaterThan(before + 100), { timeoutMs: 10_000 })
  await load.stop()
  expect(load.failed()).toEqual([])
  expect(load.broken).toEqual([])
  expect(await gateway.metric('infergate_retries_total')).toBeGreaterThan(0)
  await gateway.stop()
})

/** Takes what it is sent and then cuts the connection. */
async function cutting(): Promise<{ url: string; readonly asked: () => number }> {
  let asked = 0
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => {
      asked++
      socket.destroy()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked: () => asked }
}

it('what was sent and is no prediction is not sent again, a prediction is', async () => {
  const [bad, good] = [await cutting(), await startBackend()]
  cleanup.push(() => good.close())
  const base = settings({
    backends: [bad, good],
    tiers: [],
    // The cutting backend stays in, or it would be ejected before the last of the three had its turn.
    pool: {
      health: { path: 'off' },
      balance: { policy: 'round-robin' },
      outlier: { consecutive: 1000, panicPercent: 100 },
    },
  })
  const pool = base.pools?.['main'] ?? {}
  const gateway = await startGateway({
    yaml: {
      ...base,
      // A pool each: a backend that fails is soon left out, and the next case needs it.
      pools: { one: pool, two: pool, three: pool },
      routes: [
        { name: 'predictions', match: { path: '/v1/*' }, pool: 'one' },
        { name: 'impure', match: { path: '/v2/*' }, pool: 'two', pure: false },
        { name: 'opaque', pool: 'three', protocol: 'opaque' },
      ],
    },
  })
  const rounds = 10
  const statuses = async (path: string, body: object) => {
    const before = bad.asked()
    const out: number[] = []
    for (let i = 0; i < rounds; i++) out.push((await gateway.post(path, body)).status)
    return { out, cut: bad.asked() - before }
  }
  const predictions = await statuses(PREDICT, instances(1))
  expect(new Set(predictions.out)).toEqual(new Set([200]))
  expect(predictions.cut).toBeGreaterThan(0)

  const opaque = await statuses('/orders', { instances: [1] })
  expect(opaque.cut).toBeGreaterThan(0)
  expect(opaque.out.filter((status) => status === 502)).toHaveLength(opaque.cut)

  const impure = await statuses('/v2/models/m/infer', { instances: [1] })
  expect(impure.cut).toBeGreaterThan(0)
  expect(impure.out.filter((status) => status === 502)).toHaveLength(impure.cut)
  await gateway.stop()
})

it('what may be asked twice is, where the first time got no answer', async () => {
  let asked: string[] = []
  const server: Server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      const line = /^(\w+ \S+) HTTP\/1\.1/.exec(bytes.toString())?.[1]
      if (line === undefined) return
      asked.push(line)
      // The first on each connection is answered, the next finds it gone.
      if (asked.filter((one) => one === line).length % 2 === 1) return void socket.resetAndDestroy()
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const base = settings({
    backends: [{ url }],
    tiers: [],
    pool: { health: { path: 'off' }, outlier: { consecutive: 1000, panicPercent: 100 } },
  })
  const gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        { name: 'impure', match: { path: '/impure/*' }, pool: 'main', protocol: 'opaque', pure: false },
        { name: 'opaque', pool: 'main', protocol: 'opaque' },
      ],
    },
  })
  const send = async (method: string, path: string, body?: string | ReadableStream) =>
    (
      await fetch(gateway.url + path, {
        method,
        ...(body === undefined ? {} : { body, duplex: 'half' }),
      })
    ).status
  const streaming = (text: string) =>
    new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(text))
        controller.close()
      },
    })
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'PUT']) {
    const body = method === 'PUT' ? 'x' : undefined
    expect([method, await send(method, `/${method}`, body)]).toEqual([method, 200])
  }
  expect(await send('PUT', '/streamed', streaming('x'))).toBe(200)
  expect(asked).toHaveLength(12)
  asked = []
  expect(await send('POST', '/once', 'x')).toBe(502)
  expect(await send('PATCH', '/once', 'x')).toBe(502)
  expect(await send('PUT', '/impure/once', 'x')).toBe(502)
  expect(asked).toHaveLength(3)
  await gateway.stop()
})

it('a call that reached nobody is sent to another, whatever it is', async () => {
  const [gone, good] = [await startBackend(), await startBackend((_, response) => void response.end('ok'))]
  cleanup.push(() => good.close())
  const base = settings({
    backends: [gone, good],
    tiers: [],
    pool: { health: { path: 'off' }, balance: { policy: 'round-robin' } },
    route: { protocol: 'opaque' },
  })
  await gone.close()
  const gateway = await startGateway({ yaml: base })
  for (let i = 0; i < 6; i++) expect((await gateway.post('/orders', 'x')).status).toBe(200)
  expect(await gateway.metric('infergate_retries_total', { reason: 'backendRefused' })).toBeGreaterThan(0)
  await gateway.stop()
})
