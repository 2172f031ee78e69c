/** The event hub's bounds, on a clock the test owns and responses of a real server. */
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EventHub } from '../../src/control/admin/events.ts'
import { silentLog } from '../../src/core/log.ts'
import { encodeEvent } from '../../src/lib/sse.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'

let clock: FakeClock
let hub: EventHub
let refused: unknown[]
const server = createServer((_, response) => attach(response))

function attach(response: ServerResponse): void {
  try {
    hub.attach(response)
  } catch (error) {
    refused.push(error)
    response.writeHead(503).end()
  }
}

beforeEach(async () => {
  clock = new FakeClock()
  refused = []
  hub = new EventHub({
    clock,
    log: silentLog,
    present: () => [{ text: encodeEvent({ event: 'now', data: 1 }) }],
    maxClients: 2,
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})

afterEach(async () => {
  hub.close()
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

async function follow(): Promise<{ response: IncomingMessage; text: () => string }> {
  const { port } = server.address() as AddressInfo
  const [response] = (await once(get({ host: '127.0.0.1', port, agent: false }), 'response')) as [
    IncomingMessage,
  ]
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  response.on('error', () => {})
  return { response, text: () => text }
}

test('a client hears a heartbeat every 15 seconds, and the clock rests once nobody listens', async () => {
  const { response, text } = await follow()
  clock.advance(14_999)
  hub.publish('mark', null)
  clock.advance(1)
  await eventually(() => expect(text()).toMatch(/event: mark\ndata: null\n\n: beat\n\n$/))
  clock.advance(15_000)
  await eventually(() => expect(text()).toMatch(/: beat\n\n: beat\n\n$/))
  response.destroy()
  await eventually(() => expect(hub.size).toBe(0))
  clock.advance(15_000)
  expect(clock.pending).toBe(0)
})

test('more clients than there is room for are refused', async () => {
  await follow()
  await follow()
  expect((await follow()).response.statusCode).toBe(503)
  expect(refused).toHaveLength(1)
  expect(hub.size).toBe(2)
})

test('a closed hub ends its clients and leaves no timer', async () => {
  const { response } = await follow()
  const ended = once(response, 'end')
  hub.close()
  await ended
  expect(clock.pending).toBe(0)
})
