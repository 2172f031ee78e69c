/** The model server as a process: its start, its end, and what it says when it cannot start. */
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { onnx } from '../../src/model/onnx.ts'
import { Repository } from '../../src/model/repository.ts'
import { ModelServer } from '../../src/model/server.ts'
import { eventually } from '../support/eventually.ts'
import { type ModelProcess, modelFile, runModelServer, startModelServer } from '../support/model-server.ts'
import { timesModel } from '../support/onnx-graph.ts'

const DIGITS = ['--model', `digits=${modelFile('digits.onnx')}`]
const PREDICT = '/v1/models/digits:predict'

const sample = (name: string) => readFile(modelFile(`samples/${name}`), 'utf8')

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'infergate-process-'))
})
afterAll(() => rm(directory, { recursive: true }))

describe('the model server as a process', () => {
  let server: ModelProcess | undefined
  afterEach(async () => {
    await server?.stop('SIGKILL')
    server = undefined
  })

  it('finishes what runs when it is terminated, refuses what comes then, and exits 0', async () => {
    server = await startModelServer([...DIGITS, '--delay', '400'])
    const running = server.post(PREDICT, await sample('digit-7.v1.json'))
    await eventually(async () => {
      const { url } = server as ModelProcess
      expect((await fetch(`${url}/v2/health/ready`)).status).toBe(200)
    })
    const exit = server.stop()
    await eventually(() => expect(fetch(`${server?.url}/v2/health/live`)).rejects.toThrow())
    const response = await running
    expect(await response.json()).toMatchObject({ predictions: [{ digit: 7 }] })
    expect(response.headers.get('connection')).toBe('close')
    expect(await exit).toBe(0)
  })

  it('keeps ONNX Runtime from sending telemetry, and leaves no file behind', async () => {
    const temporary = await mkdtemp(join(directory, 'tmp-'))
    const env = { TMPDIR: temporary, HOME: temporary, XDG_CACHE_HOME: temporary }
    server = await startModelServer(DIGITS, env)
    expect((await server.post(PREDICT, await sample('digit-7.v1.json'))).status).toBe(200)
    expect(await readdir(temporary)).toEqual([])
  })

  it('serves a replaced file within seconds and without a failed call', async () => {
    const file = join(directory, 'hot.onnx')
    await writeFile(file, timesModel(2))
    server = await startModelServer(['--model', `hot=${file}`])
    const predict = async () => {
      const response = await (server as ModelProcess).post('/v1/models/hot:predict', { instances: [1] })
      expect(response.status).toBe(200)
      return response.text()
    }
    expect(await predict()).toContain('2.0')
    await writeFile(`${file}.new`, timesModel(3))
    await rename(`${file}.new`, file)
    await eventually(async () => expect(await predict()).toContain('3.0'))
  })

  it('is alive before it is ready, and until then answers 503', async () => {
    const sources = [{ name: 'digits', source: modelFile('digits.onnx') }]
    const repository = new Repository({ runtime: onnx, sources, pollMs: 1_000, maxBatch: 8, delayMs: 0 })
    const early = new ModelServer({ repository, version: '0', onFault: () => undefined })
    const url = await early.listen('127.0.0.1', 0)
    const paths = ['/v2/health/live', '/v2/health/ready', '/v2/models/digits/ready', '/v1/models/digits']
    const statuses = () => Promise.all(paths.map(async (path) => (await fetch(url + path)).status))
    const predict = async () =>
      fetch(url + PREDICT, { method: 'POST', body: await sample('digit-7.v1.json') })

    expect(await statuses()).toEqual([200, 503, 503, 503])
    const refused = await predict()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    await repository.open()
    expect(await statuses()).toEqual([200, 200, 200, 200])
    expect((await predict()).status).toBe(200)
    await early.close(1_000)
    repository.close()
  })

  it('is not held up at the end by connections that never asked anything', async () => {
    server = await startModelServer(DIGITS)
    const { hostname, port } = new URL(server.url)
    const silent = connect(Number(port), hostname)
    await once(silent, 'connect')
    const start = performance.now()
    expect(await server.stop()).toBe(0)
    expect(performance.now() - start).toBeLessThan(5_000)
    silent.destroy()
  })

  it('takes a caller who leaves in the middle for no fault of its own', async () => {
    server = await startModelServer(DIGITS)
    const { hostname, port } = new URL(server.url)
    const socket = connect(Number(port), hostname)
    socket.write(`POST ${PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"inst`)
    await eventually(() => expect(socket.bytesWritten).toBeGreaterThan(0))
    expect((await server.post(PREDICT, await sample('digit-7.v1.json'))).status).toBe(200)
    socket.destroy()
    expect((await server.post(PREDICT, await sample('digit-7.v1.json'))).status).toBe(200)
    expect(await server.stop()).toBe(0)
    expect(server.log.map(({ event }) => event)).toEqual(['model.ready', 'model.stopping'])
  })

  it.each([
    ['a model that is not there', ['--model', 'm=/nowhere/m.onnx'], 'no model at'],
    ['a file that is no model', ['--model', `m=${modelFile('README.md')}`], 'not a model'],
    ['no name', ['--model', 'm.onnx'], 'NAME=FILE.onnx'],
    ['an address that is none', [...DIGITS, '--listen', 'here'], 'HOST:PORT'],
    ['a registry without a pool', [...DIGITS, '--register', 'http://127.0.0.1:1'], '--pool NAME'],
    ['a pool without a registry', [...DIGITS, '--pool', 'p'], '--register URL'],
    ['no model at all', [], '--model'],
    [
      'a token file that is not there',
      [...DIGITS, '--register', 'http://127.0.0.1:1', '--pool', 'p', '--token-file', '/nowhere/token'],
      '/nowhere/token',
    ],
    [
      'an address nobody can reach',
      [...DIGITS, '--listen', '0.0.0.0:0', '--register', 'http://127.0.0.1:1', '--pool', 'p'],
      '--advertise URL',
    ],
  ])('ends with 1 and one line for %s', async (_, args, said) => {
    const { code, stderr } = await runModelServer(...args)
    expect(code).toBe(1)
    expect(stderr).toContain(said)
    const lines = stderr.trim().split('\n')
    // What every command says of a mistake in its options.
    expect(lines.filter((line) => line !== '(--help shows the options)')).toHaveLength(1)
  })

  it('says which port is taken', async () => {
    server = await startModelServer(DIGITS)
    const { code, stderr } = await runModelServer(...DIGITS, '--listen', new URL(server.url).host)
    expect(code).toBe(1)
    expect(stderr).toContain('EADDRINUSE')
  })

  it('goes when its parent goes', async () => {
    server = await startModelServer([...DIGITS, '--parent-watch'])
    server.child.disconnect()
    await eventually(() => expect(server?.child.exitCode).toBe(0))
  })
})
