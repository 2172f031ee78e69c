/** Who changed what over the admin API, as the log tells it: with names, without anything that was merely sent. */
import { afterEach, expect, test } from 'vitest'
import { tokenHash } from '../../src/control/admin/auth.ts'
import type { Log } from '../../src/core/log.ts'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { call } from '../support/http.ts'

let plane: ControlPlane | undefined
afterEach(async () => {
  await plane?.close()
  plane = undefined
})

async function start() {
  const lines: Record<string, unknown>[] = []
  const write = (level: string) => (event: string, fields?: object) =>
    void lines.push({ level, event, ...fields })
  const log: Log = { info: write('info'), warn: write('warn'), error: write('error') }
  const tokens = [
    { name: 'deploy', hash: tokenHash('deploy-secret'), scopes: ['register:ranker', 'purge'] },
    { name: 'eyes', hash: tokenHash('eyes-secret'), scopes: ['read'] },
  ]
  plane = await startControlPlane({ admin: { tokens }, log })
  const { port } = plane
  const ask = (method: string, path: string, body?: unknown, token = 'deploy-secret') =>
    call(port, path, {
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body }),
    })
  return { lines, ask }
}

const BACKEND = '/api/v1/pools/ranker/backends/gpu-1'
const about = { who: 'deploy', peer: expect.stringContaining('127.0.0.1') }

test('each write has a line with who, what and the outcome; a renewal and reads have none', async () => {
  const { lines, ask } = await start()
  const url = 'http://127.0.0.1:1'
  const { json } = await ask('PUT', BACKEND, { url, epoch: 1, labels: { a: 'b' } })
  const { generation } = json as { generation: number }
  await ask('POST', `${BACKEND}/renew`, { generation })
  await ask('PATCH', BACKEND, { state: 'draining' })
  await ask('POST', '/api/v1/cache/purge', { model: 'ranker', version: '3' })
  await ask('DELETE', `${BACKEND}?drain=0s`)
  await ask('GET', '/api/v1/pools', undefined, 'eyes-secret')
  const backend = { pool: 'ranker', id: 'gpu-1' }
  const done = { level: 'info', event: 'admin.write', outcome: 'done', ...about }
  expect(lines).toEqual([
    { ...done, action: 'backend.register', ...backend, url, status: 201 },
    { ...done, action: 'backend.change', ...backend, state: 'draining', status: 200 },
    { ...done, action: 'purge', model: 'ranker', version: '3', status: 200 },
    { ...done, action: 'backend.remove', ...backend, drain: '0s', status: 202 },
  ])
})

test('a write that fails is told with its reason, and without its body', async () => {
  const { lines, ask } = await start()
  await ask('PUT', '/api/v1/pools/ranker/backends/x', { url: 'http://u:pass-secret@127.0.0.1:1' })
  await ask('POST', '/api/v1/cache/purge', { pass_secret: 'pass-secret' })
  await ask('PATCH', '/api/v1/pools/ranker/backends/none', { state: 'ready' })
  const refused = { level: 'warn', event: 'admin.write', outcome: 'refused', ...about }
  expect(lines).toEqual([
    { ...refused, action: 'backend.register', pool: 'ranker', id: 'x', status: 400 },
    { ...refused, action: 'purge', status: 400 },
    {
      ...refused,
      action: 'backend.change',
      pool: 'ranker',
      id: 'none',
      status: 404,
      reason: expect.stringContaining('none'),
    },
  ])
})

test('who is refused is named where the token is known, and no credential is written, wherever it stood', async () => {
  const { lines, ask } = await start()
  await ask('POST', '/api/v1/cache/purge', { all: true }, 'eyes-secret')
  await ask('POST', '/api/v1/cache/purge?token=deploy-secret', { all: true }, 'wrong-secret')
  expect(lines).toMatchObject([
    { event: 'admin.refused', status: 403, who: 'eyes', path: '/api/v1/cache/purge' },
    { event: 'admin.refused', status: 401, path: '/api/v1/cache/purge' },
  ])
  expect(lines[1]).not.toHaveProperty('who')
  expect(JSON.stringify(lines)).not.toContain('secret')
})
