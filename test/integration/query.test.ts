/** QUERY stands for POST on predictions, and its answers may be kept by whoever stands before us (RFC 10008, RFC 9111). */
import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

let backend: ScriptedBackend
let gateway: RunningGateway

beforeAll(async () => {
  backend = await startBackend()
  const base = settings({ backends: [backend] })
  const cache = { rows: 'always', ttl: '100s', jitter: 0 } as const
  gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        {
          name: 'open',
          match: { path: '/v1/models/open*' },
          pool: 'main',
          cache: { ...cache, scope: 'shared', vary: ['accept-language'] },
        },
        { name: 'main', pool: 'main', cache },
      ],
    },
  })
  await gateway.ready('main')
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

const query = (body: unknown, headers: Record<string, string> = {}, path = PREDICT) =>
  call(gateway.port, path, { method: 'QUERY', body, headers })

const etagOf = (text: string) => `W/"${hash('sha256', text, 'hex').slice(0, 16)}"`

describe('an answer to QUERY', () => {
  it('shares its entry with POST, which the backend is asked by', async () => {
    const first = await query(instances(1, 2))
    expect(first.headers['cache-status']).toBe('infergate; fwd=miss; fwd-status=200; stored')
    expect(backend.asked.at(-1)?.method).toBe('POST')
    const second = await gateway.post(PREDICT, instances(1, 2))
    expect(second.headers['cache-status']).toMatch(/^infergate; hit; /)
    expect(second.text).toBe(first.text)
  })

  it('has a weak validator of its bytes and tells how long it stays fresh, hit or miss', async () => {
    const miss = await query(instances(3))
    const hit = await query(instances(3))
    for (const { headers, text } of [miss, hit]) {
      expect(headers.etag).toBe(etagOf(text))
      expect(headers['cache-control']).toMatch(/^private, max-age=(100|99)$/)
    }
    expect(hit.headers['cache-status']).toMatch(/; hit; ttl=(100|99);/)
  })

  it('is a 304 for who has it, without a body, and the backend is not asked', async () => {
    const { headers, text } = await query(instances(4))
    const before = backend.asked.length
    for (const condition of [headers.etag as string, `"x", ${etagOf(text).slice(2)}`, '*']) {
      const again = await query(instances(4), { 'if-none-match': condition })
      expect(again.status).toBe(304)
      expect(again.text).toBe('')
      expect(again.headers['content-length']).toBeUndefined()
      expect(again.headers.etag).toBe(headers.etag)
      expect(again.headers['cache-control']).toMatch(/max-age=\d+$/)
      expect(again.headers['cache-status']).toMatch(/; hit; /)
    }
    expect(backend.asked.length).toBe(before)
  })

  it('is whole for who has another one, and the condition does not reach the backend', async () => {
    const { status, text } = await query(instances(5), { 'if-none-match': 'W/"0123456789abcdef"' })
    expect(status).toBe(200)
    expect(text).toBe('{"predictions":[5]}')
    expect(backend.asked.at(-1)?.headers['if-none-match']).toBeUndefined()
  })

  it('is shared downstream only where the route shares it, and varies as the route does', async () => {
    const { headers } = await query(instances(6), { 'accept-language': 'de' }, '/v1/models/open:predict')
    expect(headers['cache-control']).toMatch(/^max-age=(100|99)$/)
    expect(headers['vary']).toMatch(/^accept-language, origin, .*\bseldon-model\b/)
  })

  it('carries no freshness where it was not kept', async () => {
    backend.script = (_, response) =>
      void response
        .writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-store' })
        .end('{}')
    const { headers } = await query(instances(7))
    backend.script = summing
    expect(headers.etag).toBeUndefined()
    expect(headers['cache-control']).toBe('no-store')
  })

  it('with no-transform is kept for the very same bytes only', async () => {
    const ask = (body: string, headers: Record<string, string> = {}) =>
      query(body, { 'content-type': 'application/json', ...headers })
    await ask('{"instances":[8]}')
    const exact = { 'cache-control': 'no-transform' }
    const spaced = '{"instances": [8]}'
    expect((await ask(spaced)).headers['cache-status']).toMatch(/; hit; /)
    expect((await ask(`${spaced} `, exact)).headers['cache-status']).toMatch(/fwd=miss/)
    expect((await ask(`${spaced} `, exact)).headers['cache-status']).toMatch(/; hit; /)
    expect((await ask(`${spaced}  `, exact)).headers['cache-status']).toMatch(/fwd=miss/)
  })

  it.each(['QUERY', 'POST'])(
    '%s with no-transform is not given what is ready for the same bytes',
    async (method) => {
      const ask = async (body: string, headers: Record<string, string> = {}) => {
        const fields = { 'content-type': 'application/json', ...headers }
        return (await call(gateway.port, PREDICT, { method, body, headers: fields })).headers['cache-status']
      }
      const exact = { 'cache-control': 'no-transform' }
      const row = method.length
      await ask(`{"instances":[${row},80]}`)
      const spaced = `{"instances": [${row},80]}`
      for (let i = 0; i < 3; i++) expect(await ask(spaced)).toMatch(/; hit; /)
      expect(await ask(spaced, exact)).toMatch(/fwd=miss/)
      for (let i = 0; i < 3; i++) expect(await ask(spaced, exact)).toMatch(/; hit; /)
    },
  )
})

it('a QUERY that does not say what its content is, is refused', async () => {
  const { status, json } = await call(gateway.port, PREDICT, { method: 'QUERY', body: '{"instances":[1]}' })
  expect(status).toBe(400)
  expect(json).toEqual({ error: expect.stringContaining('Content-Type') })
})

it('a POST answer carries no freshness of ours, and its conditions pass by', async () => {
  const first = await gateway.post(PREDICT, instances(9))
  const second = await gateway.post(PREDICT, instances(9))
  for (const { headers } of [first, second]) {
    expect(headers.etag).toBeUndefined()
    expect(headers['cache-control']).toBeUndefined()
  }
  const conditional = await gateway.post(PREDICT, instances(9), { 'if-none-match': etagOf(second.text) })
  expect(conditional.status).toBe(200)
  expect(conditional.headers['cache-status']).toBe(
    'infergate; fwd=bypass; fwd-status=200; detail=if-none-match',
  )
})

it('QUERY on what is no prediction is no alias of anything', async () => {
  const { status, headers } = await query(instances(1), {}, '/v1/models/sum/metadata')
  expect(headers.etag).toBeUndefined()
  expect(headers['cache-status'] ?? '').not.toMatch(/stored|hit/)
  expect(status).toBeLessThan(500)
  expect(backend.asked.at(-1)?.method).toBe('QUERY')
})
