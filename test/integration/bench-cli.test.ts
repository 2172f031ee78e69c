/** `infergate bench` as a person at the shell sees it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { run } from '../../src/cli/index.ts'
import { MAIN } from '../support/program.ts'

interface Seen {
  readonly target: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

const folder = mkdtempSync(join(tmpdir(), 'infergate-bench-'))
const calls: Seen[] = []
let onCall = () => {}
let server: Server
let url = ''

beforeAll(async () => {
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { url: target = '', headers } = request
    calls.push({ target, headers, body: await text(request) })
    onCall()
    if (target === '/v2/models/ranker')
      return void response.end(
        '{"name":"ranker","inputs":[{"name":"user","datatype":"INT64","shape":[-1,3]}]}',
      )
    response.statusCode = target.includes('missing') || request.method === 'GET' ? 404 : 200
    response.setHeader('cache-status', 'infergate; hit; ttl=1')
    response.end('{}')
  }
  server = createServer((request, response) => void answer(request, response))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

afterEach(() => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  calls.length = 0
  onCall = () => {}
})

interface Said {
  readonly out: string
  readonly err: string
  readonly code: number
}

/** Runs the command in this process, for a fraction of a second unless the arguments say otherwise. */
async function bench(...args: readonly string[]): Promise<Said> {
  const said = { out: '', err: '' }
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => ((said.out += String(chunk)), true))
  vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => ((said.err += String(chunk)), true))
  const before = process.exitCode
  process.exitCode = 0
  await run(['node', 'infergate', 'bench', '--warm-up', '0', '--threads', '1', ...args])
  const code: number = process.exitCode
  process.exitCode = before
  vi.restoreAllMocks()
  return { ...said, code }
}

const file = (name: string, content: string) => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const isPrediction = ({ target }: Seen) => /predict|infer$/.test(target)

it('asks for what the metadata describe, and tells what came', async () => {
  const json = join(folder, 'out.json')
  const { out, err, code } = await bench(
    ...[url, '--protocol', 'oip', '--model', 'ranker', '--rows', '4', '--duration', '200ms', '--json', json],
  )
  expect({ err, code }).toEqual({ err: '', code: 0 })
  const { body } = calls.find(isPrediction) as Seen
  expect(JSON.parse(body)).toMatchObject({ inputs: [{ name: 'user', shape: [4, 3], datatype: 'INT64' }] })
  const written = JSON.parse(readFileSync(json, 'utf8')) as {
    sides: { calls: number; rowsPerSecond: number }[]
  }
  const count = calls.filter(isPrediction).length
  expect(written.sides[0]?.calls).toBe(count)
  expect(out).toContain(`calls    ${count} in `)
  expect(out).toMatch(/^latency {2}p50 .*, p99\.99 .*, max .*, mean .*$/m)
  expect(out).toContain(`status   200: ${count}\n`)
  expect(out).toContain('cache    hit 100 %; 100 % of the rows saved\n')
})

it('credentials come from a file or the environment, and the promises decide the exit code', async () => {
  vi.stubEnv('INFERGATE_BENCH_TOKEN', 'secret-token')
  const headersFile = file('headers', '# comment\nX-Api-Key: secret-key\n\n')
  const { out, err, code } = await bench(
    ...[url, '--headers-file', headersFile, '-H', 'x-team: a', '--rate', '100', '--duration', '0.2'],
    ...['--slo', 'p50=1us,errors=0', '--input', 'x:FP32:2', '--progress'],
  )
  expect(calls.filter(isPrediction)).toHaveLength(20)
  for (const { headers } of calls.filter(isPrediction))
    expect(headers).toMatchObject({
      'x-api-key': 'secret-key',
      'x-team': 'a',
      authorization: 'Bearer secret-token',
    })
  expect(code).toBe(1)
  expect(err).toMatch(/^infergate: the service level is broken:\n {2}p50=1us: p50 is .*\n$/m)
  expect(out + err).not.toContain('secret')
})

it('writes a report with what the admin API said meanwhile', async () => {
  const pool = { pool: 'p', traffic: { queued: 3 }, backends: [] }
  const admin = createServer(({ headers }, response) => {
    response.statusCode = headers.authorization === 'Bearer admin-token' ? 200 : 401
    response.end(JSON.stringify({ pools: [pool] }))
  })
  await once(admin.listen(0, '127.0.0.1'), 'listening')
  const adminUrl = `http://127.0.0.1:${(admin.address() as AddressInfo).port}`
  const args = [url, '--input', 'x:FP32', '--duration', '1200ms', '--connections', '1', '--admin', adminUrl]
  const report = join(folder, 'report.html')
  const { err, code } = await bench(
    ...args,
    '--token-file',
    file('token', 'admin-token\n'),
    '--report',
    report,
  )
  const refused = await bench(...args)
  admin.closeAllConnections()
  admin.close()
  expect({ err, code }).toEqual({ err: '', code: 0 })
  const html = readFileSync(report, 'utf8')
  expect(html).toContain('aria-label="latency"')
  expect(html).toContain('queued 3')
  expect(html).not.toContain('admin-token')
  expect(refused).toMatchObject({
    code: 1,
    out: '',
    err: expect.stringContaining('give --token-file') as string,
  })
})

it('asks a prediction log again', async () => {
  const line = (ms: number, n: number) =>
    JSON.stringify({
      time: new Date(1_800_000_000_000 + ms).toISOString(),
      method: 'POST',
      path: '/v1/models/m:predict',
      query: '?n=1',
      request: { headers: [{ name: 'x-n', value: 'a' }], encoding: 'utf8', body: `{"n":${n}}` },
    })
  file('a.jsonl', `${line(0, 1)}\n${line(1000, 2)}\n`)
  file('b.jsonl', `no line of a log\n${line(2000, 3)}`)
  const began = performance.now()
  const { out, code } = await bench(url, '--profile', `replay:${folder}`, '--speed', '5')
  expect(code).toBe(0)
  expect(performance.now() - began).toBeGreaterThan(400)
  expect(calls.map(({ body }) => body)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}'])
  expect(calls[0]).toMatchObject({ target: '/v1/models/m:predict?n=1', headers: { 'x-n': 'a' } })
  expect(out).toContain('calls    3 in ')
})

it('says what is wrong where nearly all calls fail', async () => {
  const { err, code } = await bench(url, '--model', 'missing', '--duration', '100ms')
  expect(code).toBe(1)
  expect(err).toMatch(/the server does not say what missing takes: rows of 64 numbers are sent/)
  expect(err).toMatch(/\d+ of \d+ calls to .* failed, most with 404: is --model right, or --path\?/)
})

describe('refuses', () => {
  it.each([
    [['-H', 'Authorization: Bearer secret'], 'every user of this machine can read a command line'],
    [['http://user:secret@127.0.0.1'], 'give credentials by --headers-file'],
    [['--profile', 'up:1@2s'], 'constant:RATE@TIME'],
    [['--slo', 'p95'], 'errors=SHARE'],
    [['--profile', 'replay:/nowhere'], 'cannot read replay:/nowhere'],
    [['--rate', '5', '--profile', 'constant:1@1s'], 'give one'],
    [['--compare', 'http://127.0.0.1:1', '--profile', 'constant:1@1s'], 'instead of --profile'],
    [['--driver', 'autocannon', '--rate', '5'], 'autocannon has no open loop'],
    [['--protocol', 'oip-grpc', '--body', 'x'], 'oip-grpc is not'],
    [['--connections', '5000'], 'needs at least 5 --threads'],
    [['--overlap', '1', '--rows', '9', '--keys', '2'], 'give more --keys'],
    [['--duration', '0s'], 'Write a duration above 0'],
  ])('%s', async (args, message) => {
    const { err, code } = await bench('--input', 'x:FP32', ...args)
    expect(err).toContain(message)
    expect(err).not.toContain('secret')
    expect(code).toBe(1)
  })

  it('where nobody listens', async () => {
    const { err, code } = await bench('http://127.0.0.1:9')
    expect(err).toContain('no answer from http://127.0.0.1:9: is the gateway running? (infergate serve)')
    expect(code).toBe(1)
  })
})

it('Ctrl-C ends it with the report of what was seen', async () => {
  const args = [MAIN, 'bench', url, '--input', 'x:FP32', '--duration', '10m', '--warm-up', '0', '--progress']
  const program = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, err] = [text(program.stdout), text(program.stderr)]
  onCall = () => {
    if (calls.length === 50) program.kill('SIGINT')
  }
  const [code] = (await once(program, 'close')) as [number]
  expect(await err).not.toContain('infergate:')
  expect(code).toBe(0)
  expect(Number(/^calls {4}(\d+) in /m.exec(await out)?.[1])).toBeGreaterThanOrEqual(46)
})
