/** The lease of a model server, against a registry that answers as the test says. */
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import {
  type ModelProcess,
  modelFile,
  type Registry,
  startModelServer,
  startRegistry,
} from '../support/model-server.ts'
import { heavyModel, timesModel } from '../support/onnx-graph.ts'

const DIGITS = ['--model', `digits=${modelFile('digits.onnx')}`]
const PREDICT = '/v1/models/digits:predict'

const sample = (name: string) => readFile(modelFile(`samples/${name}`), 'utf8')

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'infergate-lease-'))
})
afterAll(() => rm(directory, { recursive: true }))

const registering = (at: Registry, id: string) => ['--register', at.url, '--pool', 'p', '--id', id]

describe('the lease of a model server', () => {
  let server: ModelProcess | undefined
  let registry: Registry | undefined
  afterEach(async () => {
    await server?.stop('SIGKILL')
    await registry?.close()
    server = registry = undefined
  })

  const registered = (at: Registry, ...more: string[]) => [...DIGITS, ...registering(at, 'a/b'), ...more]

  it('registers with its models and digests, renews, drains and leaves', async () => {
    const at = (registry = await startRegistry())
    server = await startModelServer(registered(at), { INFERGATE_TOKEN: 's3cret' })
    await eventually(() => expect(at.of('POST').length).toBeGreaterThan(2))
    const [put] = at.of('PUT')
    expect(put).toMatchObject({
      path: '/api/v1/pools/p/backends/a%2Fb',
      authorization: 'Bearer s3cret',
      body: {
        url: server.url,
        grpc: server.url,
        models: [
          {
            name: 'digits',
            version: '1',
            digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
            maxBatch: 128,
          },
        ],
        lease: { ttlMs: 15_000 },
      },
    })
    expect(Math.abs(Number(put?.body['epoch']) - Date.now())).toBeLessThan(60_000)
    expect(at.of('POST')[0]).toMatchObject({
      path: '/api/v1/pools/p/backends/a%2Fb/renew',
      body: { generation: 1 },
    })

    expect(await server.stop()).toBe(0)
    expect(at.of('PATCH')).toMatchObject([{ body: { state: 'draining' } }])
    expect(at.of('DELETE')).toMatchObject([{ path: '/api/v1/pools/p/backends/a%2Fb?generation=1' }])
    expect(at.calls.at(-1)?.method).toBe('DELETE')
    expect(JSON.stringify(server.log)).not.toContain('s3cret')
  })

  it('drains before it leaves: the running call is answered, and the lease is held until then', async () => {
    const at = (registry = await startRegistry())
    server = await startModelServer(registered(at, '--delay', '800'))
    await eventually(() => expect(at.of('PUT')).toHaveLength(1))
    const running = server.post(PREDICT, await sample('digit-7.v1.json'))
    const exit = server.stop()
    await eventually(() => expect(at.of('PATCH')).toHaveLength(1))
    // What a gateway sent before it heard of the drain is still answered.
    const late = server.post(PREDICT, await sample('digit-3.v1.json'))
    expect(await (await running).json()).toMatchObject({ predictions: [{ digit: 7 }] })
    expect(at.of('DELETE')).toHaveLength(0)
    expect(await (await late).json()).toMatchObject({ predictions: [{ digit: 3 }] })
    expect(await exit).toBe(0)
    const [patch] = at.of('PATCH')
    expect(at.of('POST').filter((call) => call.at > (patch?.at ?? 0)).length).toBeGreaterThan(1)
  })

  it('registers again when the registry has forgotten it, under the same epoch', async () => {
    const at = (registry = await startRegistry())
    at.answer = ({ method }) => (method === 'POST' && at.of('PUT').length < 2 ? { status: 404 } : undefined)
    server = await startModelServer(registered(at))
    await eventually(() => expect(at.of('POST').at(-1)?.body).toEqual({ generation: 2 }))
    const [first, second] = at.of('PUT')
    expect(second?.body).toEqual(first?.body)
  })

  it.each(['PUT', 'POST'])(
    'ends with 1 when %s is answered with 409: a successor has the id',
    async (fenced) => {
      const at = (registry = await startRegistry())
      at.answer = ({ method }) =>
        method === fenced ? { status: 409, body: { detail: 'epoch is older' } } : undefined
      server = await startModelServer(registered(at))
      await eventually(() => expect(server?.child.exitCode).toBe(1))
      expect(server.log).toContainEqual(
        expect.objectContaining({
          event: 'lease.fenced',
          reason: expect.stringContaining('epoch is older'),
        }),
      )
      expect(at.of('DELETE')).toHaveLength(0)
    },
  )

  it('goes on serving and trying while the registry fails, says why once, and follows no redirect', async () => {
    const [at, elsewhere] = [await startRegistry(), await startRegistry()]
    registry = at
    at.answer = () => ({ status: 307, location: `${elsewhere.url}/taken` })
    server = await startModelServer(registered(at), { INFERGATE_TOKEN: 's3cret' })
    await eventually(() => expect(at.of('PUT').length).toBeGreaterThan(2))
    expect(elsewhere.calls).toHaveLength(0)
    expect((await server.post(PREDICT, await sample('digit-7.v1.json'))).status).toBe(200)
    at.answer = () => undefined
    await eventually(() => expect(at.of('POST').length).toBeGreaterThan(0))
    expect(server.log.filter(({ event }) => event === 'lease.trouble')).toMatchObject([
      { reason: 'the registry answered 307' },
    ])
    await elsewhere.close()
  })

  it('announces a new file with a new digest, as the same process', async () => {
    const at = (registry = await startRegistry())
    const file = join(directory, 'announced.onnx')
    await writeFile(file, timesModel(2))
    server = await startModelServer(['--model', `m=${file}`, ...registering(at, 'x')])
    await eventually(() => expect(at.of('PUT').length).toBeGreaterThan(0))
    await copyFile(modelFile('digits.onnx'), `${file}.new`)
    await rename(`${file}.new`, file)
    const told = () => at.of('PUT').map(({ body }) => body)
    // A renewal that came late on a busy machine registers what was registered before.
    await eventually(() => expect(told().at(-1)?.['models']).not.toEqual(told()[0]?.['models']))
    expect(new Set(told().map(({ epoch }) => epoch)).size).toBe(1)
  })

  it('keeps its heartbeat while a long inference holds the thread', async () => {
    const at = (registry = await startRegistry())
    const file = join(directory, 'heavy.onnx')
    await writeFile(file, heavyModel(300))
    server = await startModelServer(['--model', `heavy=${file}`, ...registering(at, 'x')])
    await eventually(() => expect(at.of('POST').length).toBeGreaterThan(0))
    const start = performance.now()
    const rows = Array.from({ length: 256 }, () => [1])
    const response = await server.post('/v1/models/heavy:predict', { instances: rows })
    const end = performance.now()
    expect(response.status).toBe(200)

    // Held for longer than several heartbeats take, of which not even a second would have come from that thread.
    expect(end - start).toBeGreaterThan(600)
    const beats = at.of('POST').filter((call) => call.at > start && call.at < end)
    expect(beats.length).toBeGreaterThan(3)
  })
})
