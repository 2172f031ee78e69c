/** A client that writes new values into fields for traces and deadlines with each call: nothing of an earlier call is taken for this one's. */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { RawClient } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { PREDICT } from '../support/settings.ts'

const named = (name: string) =>
  startBackend((asked, response) => {
    if (asked.body.includes('hang')) return
    response.setHeader('content-type', 'application/json')
    response.end(`{"predictions":["${name}"]}`)
  })

let main: ScriptedBackend
let picked: ScriptedBackend
let gateway: RunningGateway
beforeAll(async () => {
  ;[main, picked] = await Promise.all([named('main'), named('picked')])
  gateway = await startGateway({ yaml: settings({}) })
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all([main?.close(), picked?.close()])
})

const settings = (headers: Record<string, string>) =>
  JSON.stringify({
    server: { workers: 1 },
    pools: {
      main: { backends: [{ url: main.url }], health: { path: 'off' } },
      picked: { backends: [{ url: picked.url }], health: { path: 'off' } },
    },
    routes: [
      { name: 'picked', match: { headers: { 'x-picked': '1', ...headers } }, pool: 'picked', cache: {} },
      { name: 'main', pool: 'main', cache: {} },
    ],
  })

function request(row: string, ...fields: string[]): { head: string; body: string } {
  const body = JSON.stringify({ instances: [row] })
  const lines = [`POST ${PREDICT} HTTP/1.1`, 'Host: h', 'Content-Type: application/json', ...fields]
  return { head: [...lines, `Content-Length: ${body.length}`, '', ''].join('\r\n'), body }
}

async function ask(client: RawClient, row: string, ...fields: string[]) {
  const before = client.answers.length
  const { head, body } = request(row, ...fields)
  client.send(head + body)
  return eventually(() => client.answers[before] ?? Promise.reject(new Error(client.received)))
}

it('has as long as this call allows, under a head that is known', async () => {
  const client = await RawClient.connect(gateway.port)
  for (const trace of ['a', 'b', 'c']) {
    const { status } = await ask(client, 'easy', `traceparent: ${trace}`, 'grpc-timeout: 90S')
    expect(status).toBe(200)
  }
  // The others had longer than this test.
  expect((await ask(client, 'hang', 'traceparent: d', 'grpc-timeout: 99m')).status).toBe(504)
  client.destroy()
})

it('is routed by its own fields where the settings change while its body arrives', async () => {
  const client = await RawClient.connect(gateway.port)
  for (const trace of ['a1', 'a2', 'a3']) await ask(client, '1', `traceparent: ${trace}`, 'X-Picked: 1')
  expect((await ask(client, '1', 'traceparent: a4', 'X-Picked: 1')).headers.get('cache-status')).toContain(
    'hit',
  )
  // A head is known to all connections once it came on two.
  const asker = await RawClient.connect(gateway.port)
  await ask(asker, '1', 'traceparent: a0', 'X-Picked: 1')
  const waiting = [await RawClient.connect(gateway.port), await RawClient.connect(gateway.port)]
  const traces = ['a5', 'b1']
  for (const [i, trace] of traces.entries())
    waiting[i]?.send(request('1', `traceparent: ${trace}`, 'X-Picked: 1').head)
  // Both heads have arrived when a call that was sent behind them is answered.
  await ask(client, '2', 'traceparent: a6', 'X-Picked: 1')
  writeFileSync(gateway.file, settings({ traceparent: 'b*' }))
  await eventually(async () => expect((await ask(asker, '1', 'X-Picked: 1')).body).toContain('main'))
  for (const one of waiting) one.send(request('1').body)
  const told = await Promise.all(
    waiting.map((one) => eventually(() => one.answers[0]?.body ?? Promise.reject(new Error(one.received)))),
  )
  expect(told.map((body) => JSON.parse(body))).toEqual([
    { predictions: ['main'] },
    { predictions: ['picked'] },
  ])
  for (const [trace, name] of [
    // The very bytes that told the old settings where to go, and then others.
    ['a1', 'main'],
    ['a1', 'main'],
    ['b2', 'picked'],
    ['a8', 'main'],
  ] as const)
    expect(JSON.parse((await ask(client, '1', `traceparent: ${trace}`, 'X-Picked: 1')).body)).toEqual({
      predictions: [name],
    })
  for (const one of [client, asker, ...waiting]) one.destroy()
})
