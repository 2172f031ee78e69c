/** The admin listener of a running gateway: closed to web pages, and its numbers are those of the calls made. */
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { hasRead, hold } from '../support/held.ts'
import { freePort } from '../support/servers.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

let backend: ScriptedBackend
let gateway: RunningGateway
beforeAll(async () => {
  backend = await startBackend()
  const base = settings({ backends: [backend], pool: { health: { path: 'off' } }, server: TWO })
  gateway = await startGateway({
    yaml: {
      ...base,
      routes: [
        { name: 'split', match: { path: '/v1/models/rows*' }, pool: 'main', cache: { rows: 'always' } },
        { name: 'main', match: { path: '/v1/*' }, pool: 'main', cache: { rows: 'never' } },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
})

describe('the metrics', () => {
  it('are the numbers of the calls made', async () => {
    const held = hold(backend)
    const three = [1, 2, 3].map(() => gateway.post(PREDICT, instances(9)))
    await held.asked(1)
    const more = await hasRead(gateway)
    held.release()
    await Promise.all(three)
    for (let i = 0; i < 4; i++) await gateway.post(PREDICT, instances(9))
    await gateway.post(PREDICT, instances(10))
    await gateway.post(PREDICT, instances(11), { 'cache-control': 'no-store' })
    await gateway.post(PREDICT, instances(12), { 'cache-control': 'only-if-cached' })
    await gateway.get('/nowhere')

    const calls = (labels: Record<string, string>) => gateway.metric('infergate_calls_total', labels)
    expect({
      miss: await calls({ route: 'main', cache: 'miss', status: '2xx' }),
      collapsed: await calls({ route: 'main', cache: 'collapsed', status: '2xx' }),
      hit: await calls({ route: 'main', cache: 'hit', status: '2xx' }),
      bypass: await calls({ route: 'main', cache: 'bypass', status: '2xx' }),
      refused: await calls({ route: 'main', cache: 'none', status: '5xx' }),
      unrouted: await calls({ route: '', status: '4xx' }),
      attempts: await gateway.metric('infergate_backend_attempts_total', { pool: 'main', ending: 'ok' }),
      notCached: await gateway.metric('infergate_faults_total', { route: 'main', fault: 'notCached' }),
      unknownRoute: await gateway.metric('infergate_faults_total', { fault: 'unknownRoute' }),
      timed: await gateway.metric('infergate_call_seconds_count', { route: 'main' }),
      retries: await gateway.metric('infergate_retries_total'),
    }).toEqual({
      miss: 2,
      collapsed: 2,
      hit: 4,
      bypass: 1,
      refused: 1,
      unrouted: 1 + more,
      attempts: 3,
      notCached: 1,
      unknownRoute: 1 + more,
      timed: 10,
      retries: 0,
    })
    expect(backend.asked).toHaveLength(3)
  })

  it('count rows where a route splits batches', async () => {
    const path = '/v1/models/rows:predict'
    await gateway.post(path, instances(1, 2, 3))
    const { text, headers } = await gateway.post(path, instances(1, 2, 3, 4, 4))
    expect(text).toBe('{"predictions":[1,2,3,4,4]}')
    expect(headers['cache-status']).toBe(
      'infergate; fwd=partial; fwd-status=200; stored; detail="rows hit=3 join=0 miss=1 dup=1"',
    )
    expect(JSON.parse(backend.asked.at(-1)?.body.toString() ?? '')).toEqual({ instances: [4] })
    const rows = (result: string) => gateway.metric('infergate_cache_rows_total', { model: 'rows', result })
    expect([await rows('hit'), await rows('miss'), await rows('dup')]).toEqual([3, 4, 1])
  })

  it('list what an operator needs', async () => {
    const { text, headers } = await gateway.ask('/metrics')
    expect(headers['content-type']).toMatch(/^text\/plain/)
    for (const name of [
      'infergate_calls_total',
      'infergate_faults_total',
      'infergate_call_seconds',
      'infergate_backend_attempts_total',
      'infergate_backend_seconds',
      'infergate_retries_total',
      'infergate_cache_operations_total',
      'infergate_cache_lookup_seconds',
      'infergate_cache_rows_total',
      'infergate_config_reloads_total',
      'infergate_model_process_exits_total',
    ])
      expect(text).toContain(`# TYPE ${name} `)
  })
})

describe('the admin listener', () => {
  const put = (headers: Record<string, string>) =>
    gateway.ask('/api/v1/pools/main/backends/evil', {
      method: 'PUT',
      body: { url: 'http://127.0.0.1:9' },
      headers,
    })

  it.each([
    ['a foreign Host', { host: 'evil.example' }, 403],
    ['a foreign Origin', { origin: 'https://evil.example' }, 403],
    ['the Origin of a file', { origin: 'null' }, 403],
    ['the marks of another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['a form', { 'content-type': 'text/plain' }, 415],
  ])('refuses a write with %s', async (_, headers, status) => {
    const answer = await put(headers)
    expect(answer.status).toBe(status)
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    const { json } = await gateway.ask('/api/v1/pools/main')
    expect((json as { backends: { id: string }[] }).backends.map(({ id }) => id)).not.toContain('evil')
  })

  it('refuses a read under a foreign name, which a rebound page would have', async () => {
    expect((await gateway.ask('/api/v1/pools', { headers: { host: 'evil.example' } })).status).toBe(403)
  })

  it('serves no calls', async () => {
    const { status } = await gateway.ask(PREDICT, { method: 'POST', body: instances(1) })
    expect(status).toBe(404)
  })

  it('says what it would do with a call', async () => {
    const { status, json } = await gateway.ask('/api/v1/cache/explain', {
      method: 'POST',
      body: {
        method: 'POST',
        path: PREDICT,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(instances(9)),
      },
    })
    expect(status).toBe(200)
    expect(JSON.stringify(json)).toMatch(/tfserving/)
  })

  it('says it of a long batch within bounds: a thousand rows, and of a longer body its key alone', async () => {
    const explained = async (rows: number) => {
      const path = '/v1/models/rows:predict'
      const headers = { 'content-type': 'application/json' }
      const batch = JSON.stringify({ instances: Array.from({ length: rows }, (_, row) => [row]) })
      const body = { method: 'POST', path, headers, body: batch }
      const { json } = await gateway.ask('/api/v1/cache/explain', { method: 'POST', body })
      return json as { key: string; rows?: unknown[]; rowCount?: number }
    }
    const short = await explained(5_000)
    expect([short.rows?.length, short.rowCount]).toEqual([1_000, 5_000])
    const long = await explained(100_000)
    expect(long).toMatchObject({ cacheable: true, key: expect.any(String) })
    expect(long.rows).toBeUndefined()
  })

  it('purges a name that it does not know, and says so', async () => {
    await gateway.post('/v1/models/called:predict', instances(9))
    const purge = async (...names: string[]) => {
      const { code, stdout, stderr } = await runInfergate(['purge', ...names, '--admin', gateway.admin])
      return { code, stderr, unknown: (JSON.parse(stdout) as { unknown?: string[] }).unknown }
    }
    expect(await purge('--model', 'called', '--route', 'main')).toMatchObject({
      code: 0,
      stderr: '',
      unknown: undefined,
    })
    const { code, stderr, unknown } = await purge('--model', 'nosuch', '--route', 'mian', '--tag', 'x')
    expect([code, unknown]).toEqual([0, ['model:nosuch', 'route:mian', 'tag:x']])
    expect(stderr).toContain('nothing here is known as model nosuch; it was purged all the same')
    expect((await purge('--key', 'abc')).stderr).toContain('"abc" is no key')
  })

  it('is load-tested from the shell: answers by status, and 1 where nearly all failed', async () => {
    const bench = (path: string) =>
      runInfergate([
        'bench',
        gateway.url,
        '--path',
        path,
        '--duration',
        '1',
        '--connections',
        '2',
        '--keys',
        '2',
      ])
    const [good, bad] = await Promise.all([bench('/v1/models/rows:predict'), bench('/nope')])
    expect([good.code, good.stderr]).toEqual([0, ''])
    expect(good.stdout).toMatch(/^status +200: \d+$/m)
    expect(good.stdout).toMatch(/^latency +p50 [\d.]+ (?:µs|ms), /m)
    expect(bad.code).toBe(1)
    expect(bad.stdout).toMatch(/^status +404: \d+$/m)
    expect(bad.stderr).toMatch(/calls to \S+ failed, most with 404: is --model right, or --path\?/)
  })

  it('is not load-tested with what cannot be, and a password in a URL is not told again', async () => {
    const bench = async (...args: string[]) => {
      const { code, stdout, stderr } = await runInfergate(['bench', '--duration', '1', ...args])
      return { code, text: stdout + stderr }
    }
    const wrong = [
      ['--keys', '1e12'],
      ['--rows', '60000', '--features', '60000'],
      ['--connections', '1e9'],
      ['--duration', '1e9'],
      ['ftp://h'],
      ['--path', 'nope'],
    ]
    for (const args of wrong) {
      const { code, text } = await bench(...args)
      expect([code, text.includes('    at ')], args.join(' ')).toEqual([1, false])
    }
    const secret = await bench(`http://u:geheim@127.0.0.1:${await freePort()}`)
    expect(secret.code).toBe(1)
    expect(secret.text).toContain('give credentials by --headers-file')
    expect(secret.text).not.toMatch(/geheim| {4}at /)
    const unwritten = await bench(gateway.url, '--path', '/nope', '--json', tmpdir())
    expect(unwritten.code).toBe(1)
    expect(unwritten.text).toContain('cannot write --json')
    expect(unwritten.text).not.toContain('    at ')
  })

  it('is asked from the shell', async () => {
    const { code, stdout } = await runInfergate(['backends', 'list', 'main', '--admin', gateway.admin])
    expect(code).toBe(0)
    expect(stdout).toContain(backend.url)
    expect(stdout).toMatch(/ready/)
  })
})

it('is not ended by a name in a path, whatever token it comes with', async () => {
  const token = 'least'
  const hash = `sha256:${createHash('sha256').update(token).digest('hex')}`
  const guarded = await startGateway({
    yaml: {
      ...settings({ backends: [backend] }),
      admin: { tokens: [{ name: 'least', hash, scopes: ['read'] }] },
    },
  })
  for (const name of ['q%00', 'q%0a', '%E2%82%AC', 'q%0d%0ax', 'q%22']) {
    const { status, headers, json } = await guarded.ask(`/api/v1/pools/${name}/backends/z`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${token}` },
      body: {},
    })
    expect([name, status]).toEqual([name, 400])
    expect(headers['content-type']).toBe('application/problem+json')
    expect(json).toMatchObject({ detail: expect.stringContaining('name has 1 to 64 letters') })
  }
  const other = await guarded.ask('/api/v1/pools/q/backends/z', {
    method: 'PUT',
    headers: { authorization: `Bearer ${token}` },
    body: {},
  })
  expect(other.status).toBe(403)
  expect(other.headers['www-authenticate']).toContain('scope="register:q"')
  expect((await guarded.ask('/livez')).status).toBe(200)
  await guarded.stop()
})

it('with tokens asks for one everywhere but where it must not', async () => {
  const token = 'correct-horse-battery-staple'
  const guarded = await startGateway({
    yaml: {
      ...settings({ backends: [backend] }),
      admin: {
        tokens: [
          {
            name: 'reader',
            hash: `sha256:${createHash('sha256').update(token).digest('hex')}`,
            scopes: ['read'],
          },
        ],
      },
    },
  })
  expect((await guarded.ask('/livez')).status).toBe(200)
  expect((await guarded.ask('/readyz')).status).toBe(200)
  expect((await guarded.ask('/metrics')).status).toBe(401)
  expect((await guarded.ask('/api/v1/pools')).status).toBe(401)
  const headers = { authorization: `Bearer ${token}` }
  expect((await guarded.ask('/api/v1/pools', { headers })).status).toBe(200)
  const purge = { method: 'POST', body: { all: true }, headers }
  expect((await guarded.ask('/api/v1/cache/purge', purge)).status).toBe(403)
  await guarded.stop()
})
