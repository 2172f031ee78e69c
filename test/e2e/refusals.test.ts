/**
 * Whoever is refused, at both doors: the fast one, which answers under a head that it knows without making a call of the request,
 * and that of node:http, which has only the long way. The same bytes get the same answers, and are counted alike.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { startBackend, summing } from '../support/backend.ts'
import { RawClient, replies } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { PREDICT } from '../support/settings.ts'

const good = newKey({ name: 'good', tenant: 'good' })
const narrow = newKey({ name: 'narrow', tenant: 'narrow' })
const spent = newKey({ name: 'spent', tenant: 'spent' })
const later = newKey({ name: 'later', tenant: 'good' })
let backend: Awaited<ReturnType<typeof startBackend>>
let fast: RunningGateway
let plain: RunningGateway

const yaml = (fastDoor: boolean) => `
server: { workers: 1, fastDoor: ${fastDoor} }
auth:
  keys:
    ${[good, narrow, spent].map(({ line }) => line).join('\n    ')}
tenants:
  good: {}
  narrow: { models: [other] }
  spent: { rate: { requests: 2/h, burst: 1h } }
pools: { main: { backends: [{ url: "${backend.url}" }], health: { path: "off" } } }
routes:
  - { name: pages, match: { path: "/v1/models/page*" }, pool: main, cors: { origins: ["https://app.example"] } }
  - { name: main, match: { path: "/v*" }, pool: main, cache: { rows: never } }
  - { name: rest, match: { path: "/opaque/*" }, pool: main, protocol: opaque }
`

beforeAll(async () => {
  backend = await startBackend(summing)
  ;[fast, plain] = await Promise.all([
    startGateway({ yaml: yaml(true) }),
    startGateway({ yaml: yaml(false) }),
  ])
  await Promise.all([fast.ready('main'), plain.ready('main')])
})
afterAll(async () => {
  await Promise.all([fast?.stop(), plain?.stop()])
  await backend?.close()
})

const by = ({ key }: { readonly key: string }) => `Authorization: Bearer ${key}`
const WRONG = 'Authorization: Bearer ig_wrong'

function post(fields: readonly string[], { path = PREDICT, body = '{"instances":[1]}' } = {}): string {
  const lines = [`POST ${path} HTTP/1.1`, 'Host: gateway', 'Content-Type: application/json', ...fields]
  return `${[...lines, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`
}
const get = (fields: readonly string[], { method = 'GET', path = '/v1/models/sum' } = {}) =>
  `${[`${method} ${path} HTTP/1.1`, 'Host: gateway', ...fields].join('\r\n')}\r\n\r\n`

/** What the fast door says to requests of one connection, each sent when the one before it was answered. */
async function said({ port }: { readonly port: number }, requests: readonly string[]): Promise<string> {
  const client = await RawClient.connect(port)
  for (const [i, request] of requests.entries()) {
    client.send(request)
    const [method = ''] = request.split(' ')
    await eventually(() => expect(replies(client.received, method)).toHaveLength(i + 1))
  }
  client.destroy()
  return client.received
}

/** What node:http says to them; it closes a connection whose request was not read to its end. */
async function saidPlainly(requests: readonly string[]): Promise<string> {
  let text = ''
  for (const request of requests) text += await said(plain, [request])
  return text
}

/** Without the fields that are the connection's and the moment's. */
const comparable = (text: string) =>
  text
    .replace(/^(?:Date|Connection|Keep-Alive|X-Request-Id): .*\r\n/gim, '')
    .replace(/^(Retry-After: |RateLimit: .*;t=)(\d+)/gm, (_, name, seconds) => {
      expect(Number(seconds)).toBeGreaterThan(600)
      return `${name}soon`
    })

const statuses = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))

/** What was counted of answers, but for the door and the time. */
async function counted(gateway: RunningGateway): Promise<string[]> {
  const { text } = await gateway.ask('/metrics')
  return text
    .split('\n')
    .filter((line) =>
      /^infergate_(?:calls|requests|faults|tenant_\w+)_total|^infergate_call_seconds_count/.test(line),
    )
    .map((line) => line.replace(/door="\w+",?/, ''))
    .sort()
}

const SCENARIOS: readonly (readonly [string, number, () => string])[] = [
  ['a wrong key', 401, () => post([WRONG])],
  ['no key', 401, () => post([])],
  ['two keys', 401, () => post([by(good), `X-Api-Key: ${narrow.key}`])],
  ['a wrong key, without a body', 401, () => get([WRONG])],
  ['a wrong key, for the head alone', 401, () => get([WRONG], { method: 'HEAD' })],
  ['a wrong key, in another dialect', 401, () => post([WRONG], { path: '/v2/models/sum/infer' })],
  ['a wrong key, without a dialect', 401, () => post([WRONG], { path: '/opaque/x' })],
  ['a wrong key, where there is no route', 401, () => post([WRONG], { path: '/nowhere' })],
  ['a key, where there is no route', 404, () => post([by(good)], { path: '/nowhere' })],
  ['a model that the tenant may not use', 403, () => post([by(narrow)])],
  ['the same, for the head alone', 403, () => get([by(narrow)], { method: 'HEAD' })],
  [
    'a page that may read it',
    401,
    () => post(['Origin: https://app.example'], { path: '/v1/models/page:predict' }),
  ],
  [
    'a page that may not',
    401,
    () => post(['Origin: https://evil.example'], { path: '/v1/models/page:predict' }),
  ],
  ['a body that is no JSON', 401, () => post([WRONG], { body: '{' })],
]

describe('at the fast door as at that of node:http', () => {
  it.each(SCENARIOS)('is refused: %s', async (_, status, request) => {
    const requests = [request(), request(), request()]
    const [ours, theirs] = await Promise.all([said(fast, requests), saidPlainly(requests)])
    expect(statuses(ours)).toEqual([status, status, status])
    expect(comparable(ours)).toBe(comparable(theirs))
    // A head that is known from another connection.
    expect(comparable(await said(fast, [request()]))).toBe(comparable(await saidPlainly([request()])))
  })

  it('a trace that differs from call to call changes nothing', async () => {
    const requests = ['a', 'b', 'c', 'd'].map((trace) => post([WRONG, `traceparent: ${trace}`]))
    const [ours, theirs] = await Promise.all([said(fast, requests), saidPlainly(requests)])
    expect(statuses(ours)).toEqual([401, 401, 401, 401])
    expect(comparable(ours)).toBe(comparable(theirs))
  })

  it('a tenant that has used up its rate is told when to come again, for what is kept and what is not', async () => {
    const asks = ['[1]', '[1]', '[1]', '[1]', '[2]', '[3]'].map((rows) =>
      post([by(spent)], { body: `{"instances":${rows}}` }),
    )
    const requests = [...asks, get([by(spent)]), get([by(spent)], { method: 'HEAD' })]
    const [ours, theirs] = await Promise.all([said(fast, requests), saidPlainly(requests)])
    expect(statuses(ours)).toEqual([200, 200, 429, 429, 429, 429, 429, 429])
    // The hits have their age.
    const refused = (text: string) => comparable(text.slice(text.indexOf('HTTP/1.1 429')))
    expect(refused(ours)).toBe(refused(theirs))
  })

  it('is counted alike', async () => {
    const [ours, theirs] = [await counted(fast), await counted(plain)]
    expect(ours.filter((line) => line.includes('unauthenticated')).length).toBeGreaterThan(2)
    expect(ours.filter((line) => line.includes('requests'))).not.toEqual([])
    expect(ours).toEqual(theirs)
    const used = async (gateway: RunningGateway) => {
      const { json } = await gateway.ask('/api/v1/tenants')
      return { ...(json as object), since: undefined }
    }
    expect(await used(fast)).toEqual(await used(plain))
  })
})

it('who is refused and who is not take turns on a connection, whole or in pieces, and each gets its own', async () => {
  const client = await RawClient.connect(fast.port)
  const ok = post([by(good)])
  client.send(post([WRONG]) + ok + get([WRONG]) + post([WRONG]) + ok + post([by(narrow)]) + ok)
  await eventually(() => expect(client.answers).toHaveLength(7))
  for (const piece of (post([WRONG]) + ok + post([WRONG])).match(/.{1,90}/gs) ?? []) {
    client.send(piece)
    await new Promise(setImmediate)
  }
  await eventually(() => expect(client.answers.length).toBeGreaterThan(7))
  expect(client.answers.slice(0, 7).map(({ status }) => status)).toEqual([401, 200, 401, 401, 200, 403, 200])
  expect(client.answers[7]?.status).toBe(401)
  client.destroy()
})

it('what is refused ends with the settings, and begins with them, on connections that are open', async () => {
  const clients = await Promise.all([later, narrow, good].map(() => RawClient.connect(fast.port)))
  const ask = async (i: number, key: { readonly key: string }) => {
    const client = clients[i] as RawClient
    const before = client.answers.length
    client.send(post([by(key)]))
    return eventually(() => client.answers[before]?.status ?? Promise.reject(new Error(client.received)))
  }
  const all = () => Promise.all([ask(0, later), ask(1, narrow), ask(2, good)])
  for (let i = 0; i < 3; i++) expect(await all()).toEqual([401, 403, 200])
  const before = readFileSync(fast.file, 'utf8')
  writeFileSync(fast.file, before.replace(good.line, later.line).replace('models: [other]', 'models: [sum]'))
  await eventually(async () => expect(await ask(1, narrow)).toBe(200))
  for (let i = 0; i < 3; i++) expect(await all()).toEqual([200, 200, 401])
  writeFileSync(fast.file, before)
  await eventually(async () => expect(await ask(1, narrow)).toBe(403))
  for (let i = 0; i < 3; i++) expect(await all()).toEqual([401, 403, 200])
  for (const client of clients) client.destroy()
})
