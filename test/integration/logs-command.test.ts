/** `infergate logs` over files, a pipe and a gateway's answer: what is shown, and what is passed over. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { run } from '../../src/cli/index.ts'
import { bytesOf, callsIn } from '../../src/cli/log-lines.ts'

const call = (over: object) => ({
  ...{
    time: '2026-11-30T12:34:56.789Z',
    event: 'call',
    requestId: 'r',
    peer: '::1',
    method: 'POST',
    path: '/p',
  },
  ...{
    status: 200,
    outcome: 'miss',
    rows: 1,
    bytes: { in: 1, out: 2 },
    ms: 1.5,
    stages: {},
    attempts: [],
    ...over,
  },
})
const attempt = { backend: 'b-7', ending: 'timeout', at: 1, ms: 2 }
const CALLS = [
  call({ requestId: 'a', route: 'x', tenant: 't', ms: 7, stages: { queue: 1, firstByte: 5.5 } }),
  call({ requestId: 'b', route: 'y', status: 504, fault: 'deadline', ms: 900, attempts: [attempt] }),
  call({ requestId: 'c', route: 'x', model: 'evil\u001b[2J\n', ms: 30, traceId: 'f'.repeat(32) }),
]

let folder = ''
let file = ''
let admin = ''
const asked: string[] = []
let kept = CALLS
const server = createServer((request, response) => {
  asked.push(request.url ?? '')
  response.setHeader('content-type', 'application/json').end(JSON.stringify({ calls: kept.toReversed() }))
})
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  admin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  folder = mkdtempSync(join(tmpdir(), 'infergate-'))
  file = join(folder, 'log')
  const foreign = [
    '',
    'not json',
    '{"event":"gateway.listening"}',
    '{"event":"call"}',
    '"call"',
    'x'.repeat(3 << 20),
  ]
  writeFileSync(file, [...foreign, ...CALLS.map((line) => JSON.stringify(line))].join('\n'))
})
afterAll(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

let out = ''
beforeEach(() => {
  out = ''
  process.exitCode = undefined
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text)
    return true
  })
})
afterEach(() => {
  kept = CALLS
  vi.restoreAllMocks()
  process.exitCode = undefined
})

/** The ids that a command shows, in order. */
async function logs(...args: string[]): Promise<string[]> {
  await run(['node', 'infergate', 'logs', ...args])
  return out
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(/\s+/).at(-1) ?? '')
}

it.each([
  [[], ['a', 'b', 'c']],
  [
    ['--filter', 'route=x'],
    ['a', 'c'],
  ],
  [['--filter', 'route=x', '--filter', 'slower=10ms'], ['c']],
  [['--filter', 'status=5xx'], ['b']],
  [['--filter', 'backend=b-7'], ['b']],
  [['--filter', 'tenant=t'], ['a']],
  [['--filter', `id=${'f'.repeat(32)}`], ['c']],
  [
    ['--sort', 'slowest'],
    ['b', 'c', 'a'],
  ],
  [['--sort', 'slowest', '--limit', '1'], ['b']],
])('shows of a file %j', async (args, ids) => {
  expect(await logs(file, ...args)).toEqual(ids)
})

it('names the longest stage, the fault, and how attempts ended, and nothing that a terminal obeys', async () => {
  await logs(file)
  expect(out).toMatch(/12:34:56\.789 +200 +7\.000 +miss +x +- +t +firstByte 5\.5 +- +a\n/)
  expect(out).toMatch(/504 +900\.0 +deadline +y .*b-7!timeout +b\n/)
  expect(out).toContain('evil?[2J?')
})

it('gives the lines as they are to programs', async () => {
  await run(['node', 'infergate', 'logs', file, '--json', '--filter', 'id=a'])
  expect(JSON.parse(out)).toEqual(CALLS[0])
})

it('escapes for programs what a terminal would obey', async () => {
  const hostile = join(folder, 'hostile')
  const line = call({ model: 'a\u007f\u009b2J\u202e\u2028\u{e0041}z' })
  writeFileSync(hostile, JSON.stringify(line))
  await run(['node', 'infergate', 'logs', hostile, '--json'])
  expect(out).toMatch(/^[\x20-\x7e]+\n$/)
  expect(JSON.parse(out)).toEqual(line)
})

it('asks a gateway where no file is named, oldest first', async () => {
  expect(await logs('--admin', admin, '--filter', 'slower=1s', '--filter', 'status=5xx')).toEqual([])
  expect(asked.at(-1)).toBe('/api/v1/calls?status=5xx&limit=100&slower=1000ms')
  out = ''
  expect(await logs('--admin', admin)).toEqual(['a', 'b', 'c'])
})

it('says why a gateway may have no calls, unless a filter may have left them out', async () => {
  kept = []
  const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await logs('--admin', admin, '--filter', 'status=503')
  expect(errors).not.toHaveBeenCalled()
  await logs('--admin', admin)
  expect(errors.mock.calls).toEqual([[expect.stringMatching(/^infergate: .*log\.access.*\n$/)]])
})

it.each([
  ['--filter', 'colour=red'],
  ['--filter', 'status=bad'],
  ['--filter', 'slower=soon'],
  ['--sort', 'newest'],
  ['--limit', '0'],
  ['--sort', 'slowest', '--follow'],
])('refuses %j', async (...args) => {
  const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await run(['node', 'infergate', 'logs', file, ...args])
  expect([process.exitCode, errors.mock.calls.length > 0]).toEqual([1, true])
})

it('says which file cannot be read', async () => {
  const errors = vi.spyOn(process.stderr, 'write').mockReturnValue(true)
  await run(['node', 'infergate', 'logs', join(folder, 'none')])
  expect(String(errors.mock.calls[0]?.[0])).toMatch(/cannot read .*none/)
})

it('follows a file that grows', async () => {
  const growing = join(folder, 'growing')
  writeFileSync(growing, `${JSON.stringify(CALLS[0])}\n`)
  const calls = callsIn(bytesOf(growing, true))
  expect((await calls.next()).value).toMatchObject({ requestId: 'a' })
  const next = calls.next()
  const line = JSON.stringify(CALLS[1])
  appendFileSync(growing, line.slice(0, 40))
  appendFileSync(growing, `${line.slice(40)}\n`)
  expect((await next).value).toMatchObject({ requestId: 'b' })
  await calls.return(undefined)
})
