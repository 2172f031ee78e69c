/** Fields that tell of a body's bytes, on routes where rows of several calls share a request. */
import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { startBackend } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { settings } from '../support/settings.ts'

/** As RFC 9530 has it. */
const digestOf = (body: Buffer) => `sha-256=:${createHash('sha256').update(body).digest('base64')}:`

it('a server that looks at a digest of the body is asked as the call came where its rows were refused: alone, in part, and in company', async () => {
  const server = await startBackend(({ headers, body }, response) => {
    const isRight = headers['content-digest'] === digestOf(body)
    const { instances } = JSON.parse(body.toString()) as { instances: number[] }
    response.setHeader('content-type', 'application/json').writeHead(isRight ? 200 : 400)
    response.end(JSON.stringify(isRight ? { predictions: instances } : { error: 'another body' }))
  })
  const route = { cache: { rows: 'always' as const }, batch: { maxRows: 8, maxDelay: '20ms' } }
  const pool = { backends: [{ url: server.url, concurrency: 1 }] }
  const own = await startGateway({ yaml: settings({ pool, route }) })
  await own.ready('main')
  const post = async (rows: readonly number[]) => {
    const body = `{ "instances" : [ ${rows.join(' , ')} ] }`
    const headers = { 'content-type': 'application/json', 'content-digest': digestOf(Buffer.from(body)) }
    const { status, json } = await call(own.port, '/v1/models/m:predict', { method: 'POST', body, headers })
    return { status, json }
  }
  const right = (rows: readonly number[]) => ({ status: 200, json: { predictions: rows } })
  for (const rows of [
    [1, 2],
    [2, 3],
    [4, 4],
  ])
    expect(await post(rows)).toEqual(right(rows))
  const all = Array.from({ length: 12 }, (_, i) => [10 + 2 * i, 11 + 2 * i])
  expect(await Promise.all(all.map(post))).toEqual(all.map(right))
  await Promise.all([own.stop(), server.close()])
})
