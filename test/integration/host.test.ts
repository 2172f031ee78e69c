/** `pools.*.host: keep`: backends behind an ingress that routes by Host; the host is in the key then. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { exchange } from '../support/raw.ts'

/** As an ingress: every host is another server, and who names none of them is told so. */
const HOSTS = ['a.models.example', 'b.models.example:8443', 'probed.models.example']
const probes = new Set<string>()
let ingress: Server
let own: string
let gateway: RunningGateway

beforeAll(async () => {
  ingress = createServer((request, response) => void serve(request, response))
  await new Promise<void>((resolve) => ingress.listen(0, '127.0.0.1', resolve))
  const { port } = ingress.address() as AddressInfo
  own = `127.0.0.1:${port}`
  HOSTS.push(own)
  const url = `http://${own}`
  gateway = await startGateway({
    yaml: {
      pools: {
        kept: { host: 'keep', backends: [{ url, models: [{ name: 'm' }] }] },
        own: { backends: [{ url }] },
      },
      routes: [
        { name: 'own', match: { path: '/v1/models/own*' }, pool: 'own', cache: {} },
        { name: 'probed', match: { host: 'probed.models.example' }, pool: 'kept', cache: {} },
        { name: 'kept', pool: 'kept', cache: {} },
      ],
    },
  })
  await gateway.ready('kept')
  await gateway.ready('own')
})
afterAll(async () => {
  await gateway?.stop()
  ingress?.closeAllConnections()
  ingress?.close()
})

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, headers, url } = request
  const host = headers.host ?? ''
  if (method === 'GET') probes.add(`${host} ${url}`)
  const isKnown = HOSTS.includes(host)
  const body = isKnown ? answer(host, await instancesOf(request)) : '{"error":"no such host"}'
  response.writeHead(isKnown ? 200 : 404, {
    'content-type': 'application/json',
    'content-length': body.length,
  })
  response.end(body)
}

async function instancesOf(request: IncomingMessage): Promise<unknown[]> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return chunks.length === 0
    ? []
    : (JSON.parse(Buffer.concat(chunks).toString()) as { instances: [] }).instances
}

const answer = (host: string, rows: unknown[]) => JSON.stringify({ predictions: rows.map(() => host) })

/** `how`: lines that decide the door, the client of the backend, or the host. */
async function ask(host: string, { model = 'm', target = '', how = '', chunked = false } = {}) {
  const body = '{"instances":[1]}'
  const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`
  const sent = chunked ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body
  const line = `POST ${target}/v1/models/${model}:predict HTTP/1.1\r\nHost: ${host}`
  const {
    status,
    head,
    body: text,
  } = await exchange(gateway.port, `${line}\r\n${how}${framing}\r\n\r\n${sent}`)
  const { predictions } = JSON.parse(text) as { predictions?: string[] }
  return { status, host: predictions?.[0], isHit: /^cache-status: infergate; hit/im.test(head) }
}

it('gives the backend the caller’s Host, and nobody the answer of another', async () => {
  for (const isHit of [false, true])
    for (const host of HOSTS.slice(0, 2)) expect(await ask(host)).toEqual({ status: 200, host, isHit })
  // Names of hosts have no case.
  expect(await ask('A.Models.Example')).toEqual({ status: 200, host: 'a.models.example', isHit: true })
  expect(await ask('nobody.example')).toMatchObject({ status: 404, isHit: false })
})

it('takes the host of an absolute target in place of Host', async () => {
  const target = 'http://a.models.example'
  expect(await ask('b.models.example:8443', { target })).toMatchObject({ host: 'a.models.example' })
})

it('does so on the way past the cache, with a body that streams', async () => {
  const how = 'Cache-Control: no-cache, no-store\r\n'
  const past = await ask('a.models.example', { how, chunked: true })
  expect(past).toEqual({ status: 200, host: 'a.models.example', isHit: false })
  const text = 'POST /other HTTP/1.1\r\nHost: b.models.example:8443\r\nTransfer-Encoding: chunked\r\n\r\n'
  const { body } = await exchange(gateway.port, `${text}11\r\n{"instances":[1]}\r\n0\r\n\r\n`)
  expect(body).toBe('{"predictions":["b.models.example:8443"]}')
})

it('gives it its own by default, which is in no key', async () => {
  expect(await ask('a.models.example', { model: 'own' })).toEqual({ status: 200, host: own, isHit: false })
  expect(await ask('b.models.example', { model: 'own' })).toEqual({ status: 200, host: own, isHit: true })
})

it('probes by the host that a route to the pool names', async () => {
  expect([...probes]).toEqual(
    expect.arrayContaining(['probed.models.example /v2/health/ready', `${own} /v2/health/ready`]),
  )
  const asked = [...probes].filter((probe) => probe.endsWith('/v1/models/m'))
  expect(asked).toEqual(['probed.models.example /v1/models/m'])
})
