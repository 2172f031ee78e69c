/** `infergate backends` and `infergate purge` as processes of their own against a real admin listener. */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { tokenHash } from '../../src/control/admin/auth.ts'
import { createAuthority } from '../support/authority.ts'
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts'
import { eventually } from '../support/eventually.ts'

const program = fileURLToPath(new URL('../support/admin-cli.ts', import.meta.url))
let folder: string
let plane: ControlPlane | undefined

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'admin-cli-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

afterEach(async () => {
  await plane?.close()
  plane = undefined
})

interface Ran {
  code: number
  out: string
  err: string
}

function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve) => {
    const options = { env: { PATH: process.env['PATH'], ...env }, timeout: 15_000 }
    execFile(process.execPath, [program, ...args], options, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err })
    })
  })
}

const at = (port: number) => ['--admin', `http://127.0.0.1:${port}`]

test('a backend is added, listed, drained, taken back and removed', async () => {
  plane = await startControlPlane()
  const admin = at(plane.port)
  const added = await run([
    'backends',
    'add',
    'ranker',
    'gpu-1',
    'http://127.0.0.1:1',
    '--model',
    'm@3',
    ...admin,
  ])
  expect(added).toMatchObject({
    code: 0,
    out: expect.stringMatching(/is registered, generation \d+\n.*600 s/),
  })
  const listed = await run(['backends', 'list', ...admin])
  expect(listed.out).toMatch(/^POOL +ID +STATE/)
  expect(listed.out).toMatch(/\nranker +gpu-1 +(warming|unhealthy) .* http:\/\/127.0.0.1:1 /)
  const json = await run(['backends', 'list', 'ranker', '--json', ...admin])
  expect(JSON.parse(json.out)).toMatchObject({
    pools: [{ backends: [{ models: [{ name: 'm', version: '3' }] }] }],
  })
  expect((await run(['backends', 'drain', 'ranker', 'gpu-1', ...admin])).out).toBe(
    'ranker/gpu-1 is draining\n',
  )
  expect((await run(['backends', 'drain', 'ranker', 'gpu-1', '--undo', ...admin])).out).not.toMatch(
    'draining',
  )
  expect((await run(['backends', 'remove', 'ranker', 'gpu-1', ...admin])).out).toMatch(/calls in flight: 0/)
  await eventually(() => expect(plane?.registry.view('ranker')?.backends).toEqual([]))
  expect((await run(['backends', 'list', ...admin])).out).toBe('no backends\n')
})

test('the commands ask over TLS, and show a certificate where the port wants one', async () => {
  const authority = createAuthority()
  const pair = (name: string) => {
    const issued = authority.issue(`/CN=${name}`, 'DNS:localhost,IP:127.0.0.1')
    const files = { cert: join(authority.folder, `${name}.crt`), key: join(authority.folder, `${name}.key`) }
    writeFileSync(files.cert, issued.cert)
    writeFileSync(files.key, issued.key)
    return { ...files, issued }
  }
  const [server, operator] = [pair('admin'), pair('operator')]
  const client = { ca: authority.ca, crl: undefined, isRequired: true }
  const tls = { certificates: [server.issued], client, ticketSecret: '00'.repeat(32) }
  plane = await startControlPlane({ admin: { tls } })
  const list = ['backends', 'list', '--admin', `https://127.0.0.1:${plane.port}`]
  const trusting = [...list, '--ca', join(authority.folder, 'ca.pem')]
  const shown = ['--client-cert', operator.cert, '--client-key', operator.key]
  expect(await run([...trusting, ...shown])).toMatchObject({ code: 0, out: 'no backends\n' })
  expect(await run([...list, ...shown])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/authority with --ca/),
  })
  expect(await run(trusting)).toMatchObject({ code: 1, out: '' })
  const plain = await run(['backends', 'list', ...at(plane.port)])
  expect(plain).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/begin the URL with https:/) })
})

test('a held backend is renewed until the command is interrupted, and then removed', async () => {
  plane = await startControlPlane({ pools: [{ name: 'ranker', probed: false }] })
  const { registry } = plane
  const leases = () =>
    registry.status('ranker')?.backends.map(({ leaseRemainingMs }) => leaseRemainingMs ?? 0) ?? []
  const args = [
    'backends',
    'add',
    'ranker',
    'held',
    'http://127.0.0.1:1',
    '--ttl',
    '3s',
    '--hold',
    ...at(plane.port),
  ]
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  await eventually(() => expect(leases()[0]).toBeLessThan(2_100), { timeoutMs: 10_000 })
  await eventually(() => expect(leases()[0]).toBeGreaterThan(2_700), { timeoutMs: 5_000 })
  child.kill('SIGINT')
  const [code] = await once(child, 'exit')
  expect(code).toBe(0)
  await eventually(() => expect(leases()).toEqual([]))
})

test('a purge says what became unreachable', async () => {
  plane = await startControlPlane()
  const purged = await run([
    'purge',
    '--model',
    'm',
    '--version',
    '3',
    '--tag',
    'a',
    '--tag',
    'b',
    ...at(plane.port),
  ])
  expect(JSON.parse(purged.out)).toEqual({
    unreachable: ['model:m/3', 'model:m/', 'tag:a', 'tag:b'],
    shared: true,
  })
})

test('a port that nobody may ask is named as the reason', async () => {
  const { code, err } = await run(['backends', 'list', ...at(1)])
  expect([code, err]).toEqual([1, expect.stringMatching(/cannot reach http:\/\/127\.0\.0\.1:1: \S/)])
})

test('the token comes from a file or the environment, and its lack is explained', async () => {
  plane = await startControlPlane({ admin: { tokens: [{ hash: tokenHash('s3cret'), scopes: ['read'] }] } })
  const list = ['backends', 'list', ...at(plane.port)]
  const file = join(folder, 'token')
  writeFileSync(file, 's3cret\n')
  expect((await run(list)).err).toMatch(/give --token-file or set INFERGATE_TOKEN/)
  expect((await run([...list, '--token-file', file])).code).toBe(0)
  expect((await run(list, { INFERGATE_TOKEN: 's3cret' })).code).toBe(0)
  expect(await run(list, { INFERGATE_TOKEN: 'wrong' })).toMatchObject({
    code: 1,
    err: expect.stringMatching(/not known \(401\)/),
  })
  expect(await run([...list, '--token-file', join(folder, 'none')])).toMatchObject({
    code: 1,
    err: expect.stringMatching(/cannot read/),
  })
})

test.each([
  [['backends', 'list', '--admin', 'nonsense'], /is not a URL: write http/],
  [['backends', 'add', 'p', 'i', 'http://h', '--ttl', 'long'], /"long" is not a duration/],
  [['backends', 'add', 'p', 'i', 'http://h', '--weight', '-1'], /must be a number above 0/],
  [['purge'], /say what to purge/],
  [['purge', '--all', '--model', 'm'], /--all stands alone/],
])('%j is a mistake of the user: exit 1, one line, no stack', async (args, reason) => {
  const ran = await run(args)
  expect(ran).toMatchObject({ code: 1, out: '' })
  expect(ran.err).toMatch(reason)
  expect(ran.err).not.toMatch(/\n +at /)
})

test('a gateway that is not there is a mistake, one that fails is not', async () => {
  plane = await startControlPlane({
    parts: {
      purge: async () => {
        throw new Error('broken')
      },
    },
  })
  expect(await run(['purge', '--all', ...at(plane.port)])).toMatchObject({
    code: 2,
    err: expect.stringMatching(/its log says why \(500\)/),
  })
  await plane.close()
  const gone = await run(['backends', 'list', ...at(plane.port)])
  expect(gone).toMatchObject({ code: 1, err: expect.stringMatching(/is "infergate serve" running/) })
})

test('help shows examples', async () => {
  expect((await run(['backends', 'add', '--help'])).out).toMatch(/Examples:\n {2}infergate backends add/)
  expect((await run(['purge', '--help'])).out).toMatch(/Examples:/)
})
