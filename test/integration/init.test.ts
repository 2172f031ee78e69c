/** `infergate init` against servers that answer: what it finds, and what it does with a file that is there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, it, vi } from 'vitest'
import { detect } from '../../src/cli/init/detect.ts'
import { initCommand } from '../../src/cli/init/init.ts'
import { loadSettings } from '../../src/config/load.ts'
import { modelFile, startModelServer } from '../support/model-server.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-init-'))
const servers: Server[] = []

afterAll(() => {
  for (const server of servers) server.close().closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})
afterEach(() => {
  vi.restoreAllMocks()
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Answers these paths with JSON, and any other with 404 and `missing`. */
const answering =
  (
    answers: Readonly<Record<string, unknown>>,
    missing: (path: string) => unknown = () => ({}),
  ): RequestListener =>
  ({ url = '' }, response) => {
    const body = answers[url]
    response.writeHead(body === undefined ? 404 : 200).end(JSON.stringify(body ?? missing(url)))
  }

async function init(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    vi.spyOn(process[name], 'write').mockImplementation((chunk) => {
      said[name] += String(chunk)
      return true
    })
  await initCommand()
    .parseAsync(args, { from: 'user' })
    .finally(() => vi.restoreAllMocks())
  return said
}

it.each([
  [
    'vLLM',
    answering({ '/v1/models': { object: 'list', data: [{ id: 'chat' }, { id: 'embed' }] } }),
    ['openai'],
    ['chat', 'embed'],
  ],
  [
    'TensorFlow Serving',
    answering({}, (path) => ({
      error: `Could not find any versions of model ${path.slice('/v1/models/'.length)}`,
    })),
    ['tfserving'],
    [],
  ],
  ['TorchServe', answering({ '/ping': { status: 'Healthy' } }), ['torchserve'], []],
  [
    'Triton',
    answering({
      '/v2': { name: 'triton', version: '2', extensions: ['classification'] },
      '/v2/repository/index': [{ name: 'digits', state: 'READY' }],
    }),
    ['oip'],
    ['digits'],
  ],
  ['a web server', answering({ '/': {} }), [], []],
] as const)('knows %s', async (_, listener, dialects, models) => {
  const url = await serve(listener)
  expect(await detect(url)).toEqual({ url, isGrpc: false, dialects, models })
})

it('follows no redirect, and reads no endless answer', async () => {
  const away = await serve(answering({ '/v1/models': { data: [{ id: 'elsewhere' }] } }))
  const url = await serve((request, response) => {
    if (request.url !== '/v2')
      return void response.writeHead(302, { location: `${away}${request.url}` }).end()
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 1)
    response.on('close', () => clearInterval(timer))
  })
  expect(await detect(url)).toEqual({ url, isGrpc: false, dialects: [], models: [] })
})

it('finds a model server over both transports, and writes settings that it can be served with', async () => {
  const server = await startModelServer(['--model', `digits=${modelFile('digits.onnx')}`])
  const file = join(folder, 'infergate.yaml')
  const { stderr } = await init(server.url, server.url.replace('http:', 'grpc:'), '--output', file)
  expect(stderr).toContain(`${server.url} speaks oip`)
  const loaded = await loadSettings(file)
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  const { backends } = loaded.settings.pools['digits'] ?? {}
  expect(backends).toMatchObject([{ url: server.url, grpc: server.url }])
  await server.stop()
})

it('replaces no file unless it is told to', async () => {
  const file = join(folder, 'mine.yaml')
  writeFileSync(file, 'mine')
  await expect(init('--output', file)).rejects.toThrow(/is there already: --force/)
  expect(readFileSync(file, 'utf8')).toBe('mine')
  await init('--output', file, '--force')
  expect(readFileSync(file, 'utf8')).toContain('pools:')
})

it('writes to standard output, also of a server that does not answer', async () => {
  const { stdout, stderr } = await init('http://127.0.0.1:1', '--output', '-')
  expect(stdout).toMatch(/url: "http:\/\/127\.0\.0\.1:1" # did not answer: .*ECONNREFUSED/)
  expect(stderr).toContain('http://127.0.0.1:1 did not answer')
})

it.each(['127.0.0.1:8501', 'ftp://a', 'http://user:secret@a', 'http://a?x=1'])('refuses %s', async (url) => {
  await expect(init(url, '--output', '-')).rejects.toThrow(/is no address of a server/)
})
