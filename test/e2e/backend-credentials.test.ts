/** Credentials of the gateway's own towards backends: with every request to them, and with none to anybody else. */
import { renameSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { runInfergate, startGateway, written } from '../support/gateway.ts'

interface Recording {
  readonly url: string
  /** All that came: probes and questions after versions as well. */
  readonly asked: { method: string; path: string; headers: IncomingMessage['headers'] }[]
}

/** A model server that refuses whoever has not this value in this field. */
async function startLocked(right: () => string | undefined, field = 'authorization'): Promise<Recording> {
  const asked: Recording['asked'] = []
  const server = createServer((request, response) => {
    const { method = '', url: path = '', headers } = request
    asked.push({ method, path, headers })
    const isRight = headers[field] === right()
    request.resume().on('end', () => {
      response.setHeader('content-type', 'application/json')
      if (isRight && path.startsWith('/moved'))
        response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()
      else response.writeHead(isRight ? 200 : 401).end(isRight ? answerTo(path) : '{"error":"no"}')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  afterAll(() => void (server.closeAllConnections(), server.close()))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

function answerTo(path: string): string {
  if (path === '/v2/models/m') return '{"name":"m","versions":["1"],"inputs":[],"outputs":[]}'
  return '{"predictions":[1]}'
}

const HEALTH = { interval: '50ms' }
const SECRET = 'hunter2-hunter2'
/** Everything that is not in a list of what was asked, since the secret must be nowhere else. */
const loggedBy = (gateway: { logs: readonly unknown[]; stderr(): string }) =>
  JSON.stringify(gateway.logs) + gateway.stderr()

test('they are in calls, rows, streams, probes and questions after versions, in place of the caller’s', async () => {
  const backend = await startLocked(() => `Bearer ${SECRET}`)
  const gateway = await startGateway({
    env: { KEY: SECRET },
    yaml: {
      log: { level: 'debug' },
      server: { workers: 2 },
      pools: {
        models: {
          backends: [{ url: backend.url }],
          health: HEALTH,
          credentials: { value: `Bearer \${KEY}` },
        },
      },
      routes: [{ pool: 'models', cache: {} }],
    },
  })
  await gateway.ready('models')
  const theirs = { authorization: 'Bearer theirs', Authorization_: 'x' }
  const predict = (instances: number[]) => gateway.post('/v1/models/m:predict', { instances }, theirs)
  expect((await predict([1])).status).toBe(200)
  expect((await predict([1, 2])).status).toBe(200)
  expect((await gateway.get('/anything', theirs)).status).toBe(200)
  expect((await gateway.get('/v1/models/m', theirs)).status).toBe(200)
  const long = 'x'.repeat(5_000_000)
  expect((await gateway.post('/v1/models/m:predict', { instances: [long] }, theirs)).status).toBe(200)
  // A redirection is the caller's to follow or not: the gateway follows none, with a secret least of all.
  const moved = await gateway.get('/moved', theirs)
  expect([moved.status, moved.headers.location]).toEqual([307, 'http://127.0.0.1:1/'])
  await eventually(() => expect(backend.asked.map(({ path }) => path)).toContain('/v2/models/m'))

  const sent = backend.asked.map(({ method, path, headers }) => [method, path, headers.authorization])
  expect(sent.filter(([, , value]) => value !== `Bearer ${SECRET}`)).toEqual([])

  // Nowhere to be seen.
  const views = ['/api/v1/pools', '/api/v1/pools/models', '/metrics', '/api/v1/cache/stats', '/readyz']
  const shown = await Promise.all(views.map((path) => gateway.ask(path)))
  const explained = await runInfergate(['explain', '--admin', gateway.admin, '/v1/models/m:predict'])
  const checked = await runInfergate(['check', gateway.file], { KEY: SECRET })
  expect(checked.stdout).toMatch(/credentials/)
  const all = [...shown.map(({ text }) => text), explained.stdout, explained.stderr, checked.stdout]
  expect([...all, checked.stderr, loggedBy(gateway)].join('\n')).not.toContain(SECRET)
})

test('a file of them is read again when it changes, and a bad one changes nothing', async () => {
  let right = 'one'
  const backend = await startLocked(() => right, 'x-api-key')
  const settings = {
    server: { workers: 2 },
    pools: {
      models: {
        backends: [{ url: backend.url }],
        health: HEALTH,
        credentials: { header: 'X-Api-Key', valueFile: 'key.txt' },
      },
    },
    routes: [{ pool: 'models', protocol: 'opaque' as const }],
  }
  const file = written(settings) as string
  const key = join(dirname(file), 'key.txt')
  const put = (text: string) => {
    writeFileSync(`${key}.new`, text)
    renameSync(`${key}.new`, key)
  }
  put('one\n')
  const gateway = await startGateway({ config: file })
  await gateway.ready('models')
  expect((await gateway.get('/x', { 'X-API-KEY': 'theirs', x_api_key: 'theirs' })).status).toBe(200)

  right = 'two'
  put('two\n')
  await eventually(async () => expect((await gateway.get('/x')).status).toBe(200))
  await eventually(() => expect(gateway.logs.map(({ event }) => event)).toContain('credentials.reloaded'))

  put('three\r\nx-evil: 1')
  await eventually(async () => expect((await gateway.ask('/readyz')).text).toMatch(/key\.txt: expected 1 to/))
  expect((await gateway.get('/x')).status).toBe(200)
  expect(loggedBy(gateway)).not.toMatch(/three|evil/)

  // A reload that names a file which is not there is refused, and another value is taken over.
  const { pools } = settings
  const withKey = (credentials: object) => ({
    ...settings,
    pools: { models: { ...pools.models, credentials: { header: 'X-Api-Key', ...credentials } } },
  })
  writeFileSync(file, JSON.stringify(withKey({ valueFile: 'absent.txt' })))
  await eventually(async () => expect((await gateway.ask('/readyz')).text).toMatch(/absent\.txt/))
  expect((await gateway.get('/x')).status).toBe(200)
  right = 'Token four'
  writeFileSync(file, JSON.stringify(withKey({ scheme: 'Token', value: 'four' })))
  await eventually(async () => expect((await gateway.get('/x')).status).toBe(200))
})

test('a file that is not there ends the start with a line for the person', async () => {
  const pool = { backends: [{ url: 'http://127.0.0.1:1' }], credentials: { valueFile: 'absent.txt' } }
  const file = written({ pools: { models: pool }, routes: [{ pool: 'models' }] }) as string
  const args = ['serve', '--config', file, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0']
  const { code, stderr } = await runInfergate(args)
  const key = join(dirname(file), 'absent.txt')
  const setting = 'pools.models.credentials.valueFile'
  expect([code, stderr]).toEqual([1, `infergate: ${setting}: ${key} cannot be used: there is no such file\n`])
})

test('a backend that registers does not get them by registering', async () => {
  const ours = await startLocked(() => SECRET)
  const thief = await startLocked(() => undefined)
  const settings = (hosts: string[]) => ({
    pools: {
      models: {
        backends: [{ url: ours.url }],
        health: HEALTH,
        credentials: { value: SECRET, hosts },
      },
    },
    routes: [{ pool: 'models', protocol: 'opaque' as const }],
  })
  const gateway = await startGateway({ yaml: settings([]) })
  await gateway.ready('models')
  const register = () =>
    gateway.ask('/api/v1/pools/models/backends/thief', {
      method: 'PUT',
      body: { url: thief.url, lease: { ttlMs: 60_000 } },
    })
  expect((await register()).status).toBeLessThan(300)
  await eventually(async () => {
    const { json } = await gateway.ask('/api/v1/pools/models')
    const { backends } = json as { backends: { id: string; state: string; reason: string }[] }
    const { state, reason } = backends.find(({ id }) => id === 'thief') ?? {}
    expect([state, reason]).toEqual([
      'unhealthy',
      expect.stringContaining("the pool's credentials are not for this host"),
    ])
  })
  for (let n = 0; n < 20; n++) expect((await gateway.get('/x')).status).toBe(200)
  expect(thief.asked).toEqual([])

  // The operator says that it may have them.
  writeFileSync(gateway.file, JSON.stringify(settings(['127.0.0.0/8'])))
  await eventually(() =>
    expect(thief.asked.some(({ headers }) => headers.authorization === SECRET)).toBe(true),
  )
})

test('without probes it gets no call either', async () => {
  const thief = await startLocked(() => undefined)
  const gateway = await startGateway({
    yaml: {
      pools: { models: { health: { path: 'off' }, credentials: { value: SECRET } } },
      routes: [{ pool: 'models', protocol: 'opaque' }],
    },
  })
  const body = { url: thief.url, lease: { ttlMs: 60_000 } }
  await gateway.ask('/api/v1/pools/models/backends/thief', { method: 'PUT', body })
  await gateway.ready('models')
  expect((await gateway.get('/x')).status).toBe(502)
  expect(thief.asked).toEqual([])
})
