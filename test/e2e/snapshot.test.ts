/** Process memory over a restart: what comes back, and what must not. */
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { startRedis } from '../support/servers.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-snapshot-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const newFile = () => join(folder, `memory-${files++}.snapshot`)

const running: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((each) => each.stop()))
})

/** A model server that numbers its answers and says its version, as TensorFlow Serving does. */
async function startNumbering(version = '1') {
  const model = { version, answers: 0 }
  const http: Server = createServer((request, response) => {
    const state = {
      version: model.version,
      state: 'AVAILABLE',
      status: { error_code: 'OK', error_message: '' },
    }
    const answer =
      request.method === 'GET'
        ? { model_version_status: [state] }
        : { predictions: [`answer ${++model.answers} of version ${model.version}`] }
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  running.push({
    stop: () => {
      http.closeAllConnections()
      return new Promise<void>((resolve) => http.close(() => resolve()))
    },
  })
  return { model, url: `http://127.0.0.1:${(http.address() as AddressInfo).port}` }
}

type Numbering = Awaited<ReturnType<typeof startNumbering>>

interface Given {
  readonly snapshot: string
  readonly workers?: number
  readonly redis?: string
  readonly every?: string
  readonly more?: object
  readonly ttl?: string
}

const settingsOf = (
  { url }: Numbering,
  { snapshot, workers = 1, redis, every = '1s', more, ttl = '1h' }: Given,
) => ({
  server: { workers },
  cache: {
    tiers: [
      { name: 'memory', type: 'memory' as const, maxBytes: '64MiB', snapshot, snapshotEvery: every, ...more },
      ...(redis === undefined
        ? []
        : [{ name: 'redis', type: 'redis' as const, url: redis, readTimeout: '2s' }]),
    ],
  },
  pools: { models: { backends: [{ url }], health: { interval: '50ms' } } },
  routes: [{ pool: 'models', cache: { rows: 'never' as const, ttl } }],
})

async function start(backend: Numbering, given: Given): Promise<RunningGateway> {
  const gateway = await startGateway({ yaml: settingsOf(backend, given) })
  running.push(gateway)
  await gateway.ready('models')
  return gateway
}

const PREDICT = '/v1/models/iris:predict'
const ask = (gateway: RunningGateway, of = 1, headers = {}) =>
  gateway.post(PREDICT, { instances: [[of]] }, headers)
const kept = (gateway: RunningGateway, of = 1) => ask(gateway, of, { 'cache-control': 'only-if-cached' })

/** Stores an answer, and resolves with its text when it is given again. */
async function stored(gateway: RunningGateway, of = 1): Promise<string> {
  return eventually(async () => {
    await ask(gateway, of)
    const { status, text } = await kept(gateway, of)
    expect(status).toBe(200)
    return text
  })
}

/** Resolves when a snapshot was written that was begun after this call. */
async function writtenNow(gateway: RunningGateway): Promise<void> {
  const before = await gateway.metric('infergate_snapshot_writes_total', { outcome: 'written' })
  await eventually(
    async () =>
      expect(await gateway.metric('infergate_snapshot_writes_total', { outcome: 'written' })).toBeGreaterThan(
        before + 1,
      ),
    { timeoutMs: 60_000 },
  )
}

const said = (gateway: RunningGateway, event: string) =>
  eventually(() => {
    const line = gateway.logs.find((each) => each.event === event)
    if (!line) throw new Error(`no ${event} in the log`)
    return line
  })

/** The model is known again, and whatever the file had has been taken or not. */
async function settled(gateway: RunningGateway): Promise<void> {
  await gateway.ready('models')
  await stored(gateway, 999)
}

test.each([1, 2])('with %i workers, answers are there after a planned restart', async (workers) => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const gateway = await start(backend, { snapshot, workers, every: '1h' })
  const texts = [await stored(gateway, 1), await stored(gateway, 2)]
  await gateway.restart('SIGTERM')
  expect(statSync(snapshot).mode & 0o777).toBe(0o600)
  expect(await said(gateway, 'snapshot.loaded')).toMatchObject({ loaded: 2 })
  const before = backend.model.answers
  await eventually(async () => expect((await kept(gateway, 1)).text).toBe(texts[0]))
  expect((await kept(gateway, 2)).text).toBe(texts[1])
  expect((await kept(gateway, 1)).headers['cache-status']).toMatch(/hit.*detail=memory/)
  expect(backend.model.answers).toBe(before)
  expect(await gateway.metric('infergate_snapshot_entries_total', { outcome: 'loaded' })).toBe(2)
  // A second restart in which nothing was asked keeps them as well.
  await gateway.restart('SIGTERM')
  await said(gateway, 'snapshot.loaded')
  await eventually(async () => expect((await kept(gateway, 1)).text).toBe(texts[0]))
})

test('after a kill they are as they were last written', async () => {
  const backend = await startNumbering()
  const gateway = await start(backend, { snapshot: newFile() })
  const text = await stored(gateway)
  await writtenNow(gateway)
  await gateway.restart('SIGKILL')
  await said(gateway, 'snapshot.loaded')
  await eventually(async () => expect((await kept(gateway)).text).toBe(text))
  expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
})

test('a version that has changed meanwhile makes them void', async () => {
  const backend = await startNumbering()
  const gateway = await start(backend, { snapshot: newFile(), every: '1h' })
  await stored(gateway)
  backend.model.version = '2'
  await gateway.restart('SIGTERM')
  await said(gateway, 'snapshot.loaded')
  await settled(gateway)
  expect((await kept(gateway)).status).toBe(504)
  expect((await ask(gateway)).text).toContain('version 2')
  // A rollback is a deployment of its own.
  backend.model.version = '1'
  await eventually(async () =>
    expect((await ask(gateway, 3, { 'cache-control': 'no-cache' })).text).toContain('version 1'),
  )
  expect((await kept(gateway)).text).not.toContain('answer 1 of version 1')
})

async function byKey(gateway: RunningGateway): Promise<object> {
  const { json } = await gateway.ask('/api/v1/cache/explain', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: {
      method: 'POST',
      path: PREDICT,
      headers: { 'content-type': 'application/json' },
      body: '{"instances":[[1]]}',
    },
  })
  return { key: (json as { key: string }).key }
}

const purges: readonly (readonly [string, (gateway: RunningGateway) => Promise<object>])[] = [
  ['everything', async () => ({ all: true })],
  ['the model', async () => ({ model: 'iris' })],
  ['the answer by its key', byKey],
]

test.each(purges)('a purge of %s between snapshot and kill holds', async (_, requestOf) => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const gateway = await start(backend, { snapshot })
  await stored(gateway)
  await writtenNow(gateway)
  const { status, text } = await gateway.ask('/api/v1/cache/purge', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: await requestOf(gateway),
  })
  expect(status, text).toBe(200)
  await gateway.restart('SIGKILL')
  await settled(gateway)
  expect((await kept(gateway)).status).toBe(504)
})

test('a purge by key at another gateway, while this one is down, holds', async () => {
  const [backend, redis] = await Promise.all([startNumbering(), startRedis()])
  running.push(redis)
  const first = await start(backend, { snapshot: newFile(), redis: redis.url, every: '1h' })
  const second = await start(backend, { snapshot: newFile(), redis: redis.url, every: '1h' })
  const text = await stored(first)
  await first.restart('SIGTERM')
  await said(first, 'snapshot.loaded')
  await eventually(async () => expect((await kept(first)).headers['cache-status']).toMatch(/detail=memory/))
  expect((await kept(first)).text).toBe(text)
  await first.stop()
  const purged = await second.ask('/api/v1/cache/purge', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: await byKey(second),
  })
  expect(purged.json).toMatchObject({ shared: true })
  const again = await startGateway({ config: first.file })
  running.push(again)
  // However long it was down: other gateways list the key for some seconds only.
  expect((await said(again, 'snapshot.void'))['reason']).toBe(
    'answers were purged by their keys since it was written',
  )
  await settled(again)
  expect((await kept(again)).status).toBe(504)
})

test('a torn file and a foreign one are ignored, and said so', async () => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const gateway = await start(backend, { snapshot, every: '1h' })
  await stored(gateway)
  await gateway.restart('SIGTERM')
  const { size } = statSync(snapshot)
  gateway.signal('SIGKILL')
  await gateway.exited
  truncateSync(snapshot, size - 1)
  await gateway.restart()
  expect(await said(gateway, 'snapshot.void')).toMatchObject({ reason: 'it is not whole' })
  await settled(gateway)
  expect((await kept(gateway)).status).toBe(504)
  gateway.signal('SIGKILL')
  await gateway.exited
  writeFileSync(snapshot, 'once upon a time there was a model')
  await gateway.restart()
  expect(await said(gateway, 'snapshot.void')).toMatchObject({ reason: 'this is no snapshot of infergate' })
  await settled(gateway)
})

test('with other settings nothing of it is used', async () => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const gateway = await start(backend, { snapshot, every: '1h' })
  await stored(gateway)
  writeFileSync(gateway.file, JSON.stringify(settingsOf(backend, { snapshot, every: '1h', ttl: '2h' })))
  await gateway.restart('SIGTERM')
  expect((await said(gateway, 'snapshot.void'))['reason']).toMatch(
    /^pools, routes, models or tiers are others/,
  )
  await settled(gateway)
  expect((await kept(gateway)).status).toBe(504)
})

test('what is encrypted cannot be read, nor used with another secret', async () => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const secret = 'hunter2-hunter2-hunter2-hunter2-'
  const gateway = await start(backend, { snapshot, every: '1h', more: { secret, encrypt: true } })
  const text = await stored(gateway)
  await gateway.restart('SIGTERM')
  await said(gateway, 'snapshot.loaded')
  expect(readFileSync(snapshot, 'latin1')).not.toContain('answer')
  await eventually(async () => expect((await kept(gateway)).text).toBe(text))
  const other = settingsOf(backend, {
    snapshot,
    every: '1h',
    more: { secret: `another ${secret}` },
  })
  writeFileSync(gateway.file, JSON.stringify(other))
  await gateway.restart('SIGTERM')
  expect((await said(gateway, 'snapshot.void'))['reason']).toMatch(/not sealed with a secret of this gateway/)
})

test('of two gateways with one file the one that started last has it, and both say so', async () => {
  const backend = await startNumbering()
  const snapshot = newFile()
  const first = await start(backend, { snapshot })
  await writtenNow(first)
  const second = await start(backend, { snapshot })
  const shared = await said(first, 'snapshot.shared')
  expect(shared).toMatchObject({ kept: 'theirs', fix: 'give each gateway a file of its own' })
  expect((await first.ask('/readyz')).text).toContain('another gateway writes it as well')
  const text = await stored(second, 5)
  await writtenNow(second)
  await second.restart('SIGKILL')
  await eventually(async () => expect((await kept(second, 5)).text).toBe(text))
})

test('check says which folder is not there', async () => {
  const file = join(folder, 'no-folder.yaml')
  writeFileSync(
    file,
    JSON.stringify(settingsOf({ url: 'http://127.0.0.1:1' } as Numbering, { snapshot: 'nowhere/x' })),
  )
  const { code, stderr } = await runInfergate(['check', file])
  expect(code).toBe(1)
  expect(stderr).toContain('cache.tiers[0].snapshot')
  expect(stderr).toContain('there is no such folder')
})
