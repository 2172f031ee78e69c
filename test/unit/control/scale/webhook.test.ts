// The webhook against a real server on loopback: signed, tried again, superseded, repeated.
import { createHmac } from 'node:crypto'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { Emitter, ScaleSignal } from '../../../../src/control/scale/signal.ts'
import { createWebhook, type WebhookOptions } from '../../../../src/control/scale/webhook.ts'
import { systemClock } from '../../../../src/lib/clock.ts'
import { Feed } from './feed.ts'

interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

let server: Server | undefined
let emitter: Emitter | undefined

afterEach(async () => {
  emitter?.close()
  server?.closeAllConnections()
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)))
})

/** A server that answers as told, and hands out what it got in order. */
async function receiver(statusOf: (call: number) => number) {
  const got: Received[] = []
  const waiting: (() => void)[] = []
  const take = async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request) body += chunk
    got.push({ headers: request.headers, body })
    response.writeHead(statusOf(got.length)).end()
    waiting.splice(0).forEach((wake) => wake())
  }
  server = createServer((request, response) => void take(request, response))
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const until = async (count: number): Promise<Received[]> => {
    while (got.length < count) await new Promise<void>((wake) => waiting.push(wake))
    return got
  }
  return { url: `http://127.0.0.1:${port}/scale`, until }
}

const open = (options: Partial<WebhookOptions> & { url: string }): Emitter => {
  emitter = createWebhook({ source: '/gateways/test', clock: systemClock, ...options })
  return emitter
}

function signal(id: string, perSecond: number): ScaleSignal {
  const feed = new Feed()
  feed.run(60_000, { perSecond })
  return {
    id,
    token: 7,
    pool: 'ranker',
    atMs: 1_800_000_000_000,
    validUntilMs: 1_800_000_030_000,
    decision: feed.last,
  }
}

describe('the webhook', () => {
  it('sends a CloudEvent whose signature the receiver can check', async () => {
    const { url, until } = await receiver(() => 202)
    open({ url, secret: 'geheim' }).emit(signal('d-1', 400))
    const [first] = await until(1)
    const event = JSON.parse(first?.body ?? '')
    expect(first?.headers['content-type']).toBe('application/cloudevents+json')
    expect(event).toMatchObject({
      specversion: '1.0',
      id: 'd-1',
      source: '/gateways/test',
      subject: 'ranker',
      time: '2027-01-15T08:00:00.000Z',
      data: { token: 7, desired: 6, min: 1, max: 20, validUntil: '2027-01-15T08:00:30.000Z' },
    })
    const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': given } = first?.headers ?? {}
    expect(given).toBe(
      `v1,${createHmac('sha256', 'geheim').update(`${id}.${at}.${first?.body}`).digest('base64')}`,
    )
  })

  it('tries again until it is taken, and says what went wrong', async () => {
    const { url, until } = await receiver((call) => (call < 3 ? 503 : 202))
    const problems: (string | undefined)[] = []
    open({ url, onAttempt: ({ problem }) => problems.push(problem) }).emit(signal('d-1', 400))
    const got = await until(3)
    expect(got.map(({ body }) => JSON.parse(body).id)).toEqual(['d-1', 'd-1', 'd-1'])
    expect(problems.slice(0, 2)).toEqual(['answered 503', 'answered 503'])
  })

  it('drops what is superseded: the newest is what arrives', async () => {
    const { url, until } = await receiver((call) => (call === 1 ? 503 : 202))
    const webhook = open({ url })
    webhook.emit(signal('d-1', 400))
    webhook.emit(signal('d-2', 40))
    webhook.emit(signal('d-3', 200))
    const got = await until(2)
    expect(got.map(({ body }) => JSON.parse(body).id)).toEqual(['d-1', 'd-3'])
  })

  it('repeats an unchanged signal, so that a lost one heals', async () => {
    const { url, until } = await receiver(() => 202)
    open({ url, repeatMs: 50 }).emit(signal('d-1', 400))
    const got = await until(3)
    expect(new Set(got.map(({ body }) => JSON.parse(body).data.desired))).toEqual(new Set([6]))
  })
})
