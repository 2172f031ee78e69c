/** SIGTERM: running calls finish, new connections are refused, and the process ends with 0 in its time. */
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

/** A body in chunks is not plain: node:http reads it, and the connection from then on. */
const CHUNKED = `POST ${PREDICT} HTTP/1.1\r\nHost: a\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n{"instances":[9]}\r\n0\r\n\r\n`
const ONE_HTTP = { workers: 1, fastDoor: false } as const

let backend: ScriptedBackend
beforeAll(async () => {
  backend = await startBackend()
})
afterAll(() => backend?.close())

async function refused(port: number): Promise<void> {
  const socket = net.connect(port, '127.0.0.1')
  const [error] = (await Promise.race([
    once(socket, 'error'),
    once(socket, 'connect').then(() => [undefined]),
  ]).catch((error: unknown) => [error])) as [NodeJS.ErrnoException | undefined]
  socket.destroy()
  if (error?.code !== 'ECONNREFUSED') throw new Error('still accepts connections')
}

it('lets running calls finish, takes no new ones, and ends with 0', async () => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }) })
  await gateway.ready('main')
  let release = () => {}
  backend.script = (...all) => {
    release = () => void summing(...all)
  }
  const running = gateway.post(PREDICT, instances(1, 2))
  await eventually(() => expect(backend.asked.length).toBe(1))
  gateway.signal('SIGTERM')
  await eventually(() => refused(gateway.port))
  const ready = await gateway.ask('/readyz')
  expect(ready.status).toBe(503)
  expect(ready.text).toContain('draining')
  release()
  const answer = await running
  expect(answer.status).toBe(200)
  expect(answer.json).toEqual({ predictions: [1, 2] })
  expect(await gateway.exited).toBe(0)
  backend.script = summing
})

it('a SIGHUP while it drains ends nothing', async () => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }) })
  await gateway.ready('main')
  let release = () => {}
  backend.script = (...all) => {
    release = () => void summing(...all)
  }
  const before = backend.asked.length
  const running = gateway.post(PREDICT, instances(3, 4))
  await eventually(() => expect(backend.asked.length).toBe(before + 1))
  gateway.signal('SIGTERM')
  await eventually(() => refused(gateway.port))
  gateway.signal('SIGHUP')
  expect((await gateway.ask('/readyz')).text).toContain('draining')
  release()
  expect((await running).json).toEqual({ predictions: [3, 4] })
  expect(await gateway.exited).toBe(0)
  backend.script = summing
})

it('does not wait for a kept-alive connection on which nothing runs', async () => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }) })
  const idle = net.connect(gateway.port, '127.0.0.1')
  idle.write('GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(idle, 'data')
  const silent = net.connect(gateway.port, '127.0.0.1')
  await once(silent, 'connect')
  const began = performance.now()
  gateway.signal('SIGTERM')
  expect(await gateway.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(5_000)
  idle.destroy()
  silent.destroy()
})

it.each([
  ['that is answered by then', 0],
  ['whose answer has begun', 1],
])('does not wait for a connection of node:http, kept alive, with a call %s', async (_name, begun) => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: ONE_HTTP }) })
  await gateway.ready('main')
  let release = () => {}
  backend.script = (_, response) => {
    if (begun === 1) response.write('{"predictions":')
    release = () => void response.end(begun === 1 ? '[1]}' : '{"predictions":[1]}')
  }
  const asked = backend.asked.length
  const client = net.connect(gateway.port, '127.0.0.1').setEncoding('latin1')
  const silent = net.connect(gateway.port, '127.0.0.1')
  await once(silent, 'connect')
  let text = ''
  client.on('data', (piece: string) => (text += piece))
  client.write(CHUNKED)
  await eventually(() => expect(backend.asked.length).toBe(asked + 1))
  if (begun === 1) await eventually(() => expect(text).toContain('{"predictions":'))
  gateway.signal('SIGINT')
  await eventually(() => refused(gateway.port))
  release()
  const began = performance.now()
  expect(await gateway.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(5_000)
  expect(text).toContain('[1]}')
  expect(/^connection: close/im.test(text)).toBe(begun === 0)
  backend.script = summing
  client.destroy()
  silent.destroy()
})

it('cuts at the drain timeout what does not end, and still ends with 0', async () => {
  const gateway = await startGateway({
    yaml: settings({ backends: [backend], server: { ...TWO, drainTimeout: '300ms' } }),
  })
  await gateway.ready('main')
  backend.script = () => {}
  const asked = backend.asked.length
  const hanging = gateway.post(PREDICT, instances(3)).catch((error: NodeJS.ErrnoException) => error.code)
  await eventually(() => expect(backend.asked.length).toBe(asked + 1))
  const began = performance.now()
  gateway.signal('SIGTERM')
  expect(await gateway.exited).toBe(0)
  expect(performance.now() - began).toBeLessThan(4_000)
  expect(await hanging).toBe('ECONNRESET')
  backend.script = summing
})

it('ends at once with 1 when told twice', async () => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }) })
  await gateway.ready('main')
  backend.script = () => {}
  const asked = backend.asked.length
  const hanging = gateway.post(PREDICT, instances(4)).catch(() => 'cut')
  await eventually(() => expect(backend.asked.length).toBe(asked + 1))
  gateway.signal('SIGTERM')
  await eventually(() => expect(gateway.logs.some(({ event }) => event === 'gateway.draining')).toBe(true))
  gateway.signal('SIGTERM')
  expect(await gateway.exited).toBe(1)
  expect(await hanging).toBe('cut')
  backend.script = summing
})

it('behind a balancer that asks /readyz loses no call: it goes on, unready, before the port closes', async () => {
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }) })
  await gateway.ready('main')
  await gateway.up()
  const agent = new http.Agent({ keepAlive: true })
  const other = Number(new URL(backend.url).port)
  const seen = { isReady: true, told: 0, afterSignal: 0, elsewhere: 0 }
  const lost: unknown[] = []

  /** As a balancer of the usual kind: it hears of an end when it asks the next time, and not before. */
  const asking = setInterval(() => {
    gateway.ask('/readyz').then(
      ({ status }) => (seen.isReady = status === 200),
      () => (seen.isReady = false),
    )
  }, 100)
  const calling = async (name: number) => {
    for (let i = 0; seen.elsewhere < 50; i++) {
      const port = seen.isReady ? gateway.port : other
      const answer = await answered({ agent, port }, instances(1000 * name + i))
      if ('error' in answer || answer.status !== 200) lost.push(answer)
      if (!seen.isReady) seen.elsewhere++
      else if (seen.told > 0) seen.afterSignal++
      if (i === 20 && name === 0) {
        gateway.signal('SIGTERM')
        seen.told = performance.now()
      }
    }
  }
  await Promise.all([0, 1, 2, 3, 4, 5].map(calling))
  clearInterval(asking)
  agent.destroy()
  expect(lost).toEqual([])
  expect(seen.afterSignal).toBeGreaterThan(0)
  expect(await gateway.exited).toBe(0)
  expect(
    gateway.logs.map(({ event }) => event).filter((event) => /leaving|draining/.test(event ?? '')),
  ).toEqual(['gateway.leaving', 'gateway.draining'])
})

it.each([
  [1, true],
  [2, true],
  [1, false],
])(
  'a client that keeps its connections loses no call: %i workers, fast door: %s',
  async (workers, fastDoor) => {
    const server = { workers, fastDoor, shutdownDelay: '2s' } as const
    const gateway = await startGateway({ yaml: settings({ backends: [backend], server }) })
    await gateway.ready('main')
    await gateway.up()
    const agent = new http.Agent({ keepAlive: true })
    const to = { agent, port: gateway.port }
    const seen = { before: 0, after: 0, keptUntil: 0 }
    const lost: unknown[] = []
    let left = Number.POSITIVE_INFINITY
    const sinceLeft = () => performance.now() - left

    /** Goes on until its connections are refused: nobody tells it of the end but the answers. */
    const calling = async (name: number) => {
      for (let i = 0; ; i++) {
        // Of two that are equal the second is a hit, for which no call is made.
        const answer = await answered(to, instances(1000 * name + (i >> 1)))
        if ('error' in answer) {
          // Who connects at the moment at which the port closes is turned away; nobody else is, and not before.
          if (answer.isReused || sinceLeft() < 2000) lost.push(answer)
          return
        }
        if (answer.status !== 200) lost.push(answer)
        if (left === Number.POSITIVE_INFINITY) seen.before++
        else seen.after++
        if (answer.isKept) seen.keptUntil = performance.now()
      }
    }
    const all = Array.from({ length: 8 }, (_, name) => calling(name))
    await eventually(() => expect(seen.before).toBeGreaterThan(100))
    left = performance.now()
    gateway.signal('SIGTERM')
    await Promise.all(all)
    agent.destroy()
    expect(lost).toEqual([])
    expect(seen.after).toBeGreaterThan(100)
    expect(seen.keptUntil - left).toBeLessThan(1500)
    expect(await gateway.exited).toBe(0)
  },
)

it('does not go on after SIGINT, nor after a second signal', async () => {
  const yaml = settings({ backends: [backend], server: { workers: 1, shutdownDelay: '60s' } })
  const [one, two] = await Promise.all([startGateway({ yaml }), startGateway({ yaml })])
  one.signal('SIGINT')
  expect(await one.exited).toBe(0)
  two.signal('SIGTERM')
  await eventually(() => expect(two.logs.some(({ event }) => event === 'gateway.leaving')).toBe(true))
  expect((await two.ask('/readyz')).status).toBe(503)
  expect((await two.post(PREDICT, instances(5))).status).toBe(200)
  two.signal('SIGTERM')
  expect(await two.exited).toBe(0)
})

type Answered =
  | { readonly status: number | undefined; readonly isKept: boolean }
  | { readonly error: Error; readonly isReused: boolean }

/** `isKept`: the connection stays for another call. `isReused`: it had answered one before. */
function answered({ agent, port }: { agent: http.Agent; port: number }, body: unknown): Promise<Answered> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json' }
    const sent = http.request({ agent, port, host: '127.0.0.1', path: PREDICT, method: 'POST', headers })
    const failed = (error: Error) => resolve({ error, isReused: sent.reusedSocket })
    sent.on('error', failed).on('response', (response) => {
      const { statusCode: status, headers } = response
      response
        .on('end', () => resolve({ status, isKept: headers.connection !== 'close' }))
        .on('error', failed)
        .resume()
    })
    sent.end(JSON.stringify(body))
  })
}
