/** Which fields of a backend's answer a caller reads: all of them who asked it, those that are safe who did not. */
import { request } from 'node:http'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { hasRead, hold } from '../support/held.ts'

let backend: ScriptedBackend
let gateway: RunningGateway
let serial = 0
let row: number

const PER_CALL: Script = (asked, response) => {
  const { instances } = JSON.parse(asked.body.toString()) as { instances: number[] }
  const origin = asked.headers.origin
  if (origin) response.setHeader('Access-Control-Allow-Origin', origin).setHeader('Vary', 'Origin')
  if (asked.headers['ce-id']) response.setHeader('ce-id', `re-${String(asked.headers['ce-id'])}`)
  response.setHeader('X-Call', `r${backend.asked.length}`).setHeader('X-Served-By', 'one')
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify({ predictions: instances }))
}

beforeAll(async () => {
  backend = await startBackend(PER_CALL)
  gateway = await startGateway({
    yaml: {
      pools: { main: { backends: [{ url: backend.url }] } },
      routes: [
        { name: 'whole', match: { path: '/v1/models/whole:*' }, pool: 'main', cache: { rows: 'never' } },
        { name: 'rows', pool: 'main', cache: { rows: 'always' } },
      ],
    },
  })
  await gateway.up()
})

afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

beforeEach(() => {
  backend.script = PER_CALL
  backend.asked.length = 0
  row = ++serial * 100
})

const ask = (model: string, rows: readonly number[], headers: Record<string, string> = {}) =>
  gateway.post(`/v1/models/${model}:predict`, { instances: rows }, headers)

it.each(['whole', 'rows'])(
  'who asks the backend reads all that it says, who does not what is safe (%s)',
  async (model) => {
    const first = await ask(model, [row])
    expect(first.headers).toMatchObject({ 'x-call': 'r1', 'x-served-by': 'one' })
    // The third is given without being read.
    for (let i = 0; i < 3; i++) {
      const again = await ask(model, [row])
      expect(again.headers['cache-status']).toContain('hit')
      expect(again.headers).not.toHaveProperty('x-call')
    }
    // A new answer replaces what was ready, and is not given with its fields either.
    const anew = await ask(model, [row], { 'cache-control': 'no-cache' })
    expect(anew.headers['x-call']).toBe('r2')
    for (let i = 0; i < 3; i++) expect((await ask(model, [row])).headers).not.toHaveProperty('x-call')
  },
)

it('a batch of which a part is known has the fields of what was asked for the rest', async () => {
  await ask('rows', [row])
  const { headers, json } = await ask('rows', [row, row + 1])
  expect(headers['cache-status']).toContain('fwd=partial')
  expect([headers['x-call'], json]).toEqual(['r2', { predictions: [row, row + 1] }])
})

it.each(['whole', 'rows'])('of those who ask at once only who leads reads them (%s)', async (model) => {
  const held = hold(backend)
  const all = Array.from({ length: 5 }, () => ask(model, [row]))
  await held.asked(1)
  await hasRead(gateway)
  held.release()
  const ids = (await Promise.all(all)).map(({ headers }) => headers['x-call'])
  expect(ids.filter((id) => id !== undefined)).toEqual(['r1'])
})

it.each(['whole', 'rows'])(
  'what is allowed to the pages of one origin is given to those (%s)',
  async (model) => {
    const from = async (origin: string) => {
      const { headers } = await ask(model, [row], { origin })
      const status = /hit|miss/.exec(String(headers['cache-status']))?.[0]
      return [headers['access-control-allow-origin'], headers['vary'], status]
    }
    const [a, b] = ['https://a.example', 'https://b.example']
    // The second hit on is given without being read.
    expect([await from(a), await from(a), await from(b), await from(a), await from(a)]).toEqual([
      [a, 'Origin', 'miss'],
      [a, 'Origin', 'hit'],
      [b, 'Origin', 'miss'],
      [a, 'Origin', 'hit'],
      [a, 'Origin', 'hit'],
    ])
  },
)

it('a call in an envelope of CloudEvents is answered in one each time', async () => {
  for (const id of ['1', '2']) {
    const { headers } = await ask('whole', [row], { 'ce-specversion': '1.0', 'ce-id': id })
    expect([headers['ce-id'], headers['cache-status']]).toEqual([
      `re-${id}`,
      expect.stringContaining('cloudevent'),
    ])
  }
})

it('trailers come behind the answer of who asked for it', async () => {
  backend.script = (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', trailer: 'x-checked' })
    response.write(`{"predictions":[`)
    // The others would frame or route a message, and are none of a trailer's (RFC 9110, section 6.5.1).
    response.addTrailers({ 'x-checked': 'yes', 'Content-Length': '3', Connection: 'close', Host: 'h' })
    response.end(`${row}]}`)
  }
  const { trailers, text } = await withTrailers({ instances: [row] })
  expect([trailers, text]).toEqual([{ 'x-checked': 'yes' }, `{"predictions":[${row}]}`])
  expect((await withTrailers({ instances: [row] })).trailers).toEqual({})
  expect(backend.asked).toHaveLength(1)
})

function withTrailers(body: object): Promise<{ trailers: NodeJS.Dict<string>; text: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      port: gateway.port,
      host: '127.0.0.1',
      path: '/v1/models/whole:predict',
      method: 'POST',
    }
    const headers = { 'content-type': 'application/json' }
    const sent = request({ ...options, headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => (text += piece)).on('error', reject)
      response.on('end', () => resolve({ trailers: response.trailers, text }))
    })
    sent.on('error', reject).end(JSON.stringify(body))
  })
}
