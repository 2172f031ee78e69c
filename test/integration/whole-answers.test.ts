/** Through a running gateway: what a server says under 200 without answering is passed on, and kept by nobody. */
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

let backend: ScriptedBackend
let always: RunningGateway
let never: RunningGateway

beforeAll(async () => {
  backend = await startBackend()
  const start = (rows: 'always' | 'never') => {
    const route = { protocol: 'auto', cache: { rows } } as const
    const opaque = { name: 'opaque', match: { path: '/opaque/*' }, protocol: 'opaque', pool: 'main' } as const
    const yaml = settings({ backends: [backend], route })
    return startGateway({ yaml: { ...yaml, routes: [{ ...opaque, cache: {} }, ...(yaml.routes ?? [])] } })
  }
  ;[always, never] = await Promise.all([start('always'), start('never')])
  await Promise.all([always.ready('main'), never.ready('main')])
})
afterAll(async () => {
  await Promise.all([always?.stop(), never?.stop()])
  await backend?.close()
})

/** An answer that only the end of the connection ends. */
function untilClose(response: ServerResponse, body: string): void {
  response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n${body}`)
}

const stored = async (gateway: RunningGateway, path: string, body: unknown) => {
  const { status, text, headers } = await gateway.post(path, body)
  expect(status).toBe(200)
  return { text, isStored: String(headers['cache-status']).includes('stored') }
}

let next = 0
const rows = () => instances(++next, ++next)

describe('under 200', () => {
  it.each(['{"error":"out of memory"}', '<html>login</html>', '', '{}', '{"predictions":null}'])(
    'a %s is passed on and asked for again',
    async (said) => {
      const body = rows()
      for (const gateway of [always, never]) {
        backend.script = (_, response) => void response.end(said)
        expect(await stored(gateway, PREDICT, body)).toEqual({ text: said, isStored: false })
        backend.script = summing
        const { text } = await gateway.post(PREDICT, body)
        expect(JSON.parse(text)).toEqual({ predictions: body.instances })
      }
    },
  )

  it('another number of predictions than instances is kept with rows: never alone', async () => {
    backend.script = (_, response) => void response.end('{"predictions":[1]}')
    const body = rows()
    expect(await stored(always, PREDICT, body)).toEqual({ text: '{"predictions":[1]}', isStored: false })
    expect(await stored(never, PREDICT, body)).toEqual({ text: '{"predictions":[1]}', isStored: true })
  })

  it('an error in place of rows tells nothing of the model, which goes on being split', async () => {
    const [a, b, c, d] = [++next, ++next, ++next, ++next]
    backend.script = summing
    await always.post('/v1/models/fresh:predict', instances(a, b))
    backend.script = (_, response) => void response.end('{"error":"busy"}')
    await always.post('/v1/models/fresh:predict', instances(a, b, c))
    backend.script = summing
    const { headers } = await always.post('/v1/models/fresh:predict', instances(a, b, d))
    expect(headers['cache-status']).toMatch(/rows hit=2 join=0 miss=1 dup=0/)
  })
})

describe('a body whose end nothing marks', () => {
  it('is kept where it is one whole answer of the dialect', async () => {
    const body = rows()
    backend.script = (_, response) => untilClose(response, '{"predictions":[1,2]}')
    expect((await stored(always, PREDICT, body)).isStored).toBe(true)
    backend.script = (_, response) => untilClose(response, '{"predictions":[1,2')
    expect((await stored(always, PREDICT, rows())).isStored).toBe(false)
    expect((await stored(never, PREDICT, rows())).isStored).toBe(false)
  })

  it('is never kept where nobody can tell', async () => {
    backend.script = (_, response) => untilClose(response, 'all of it, or not')
    expect((await stored(always, '/opaque/x', { n: ++next })).isStored).toBe(false)
    backend.script = (_, response) => void response.end('all of it')
    expect((await stored(always, '/opaque/x', { n: ++next })).isStored).toBe(true)
  })
})
