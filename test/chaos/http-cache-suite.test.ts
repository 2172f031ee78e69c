/**
 * The public suite for HTTP caches (https://cache-tests.fyi): its origin server, the gateway with an opaque route before it,
 * its client. What does not apply, and why, is in docs/guide/caching.md.
 */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'

const SUITE = dirname(createRequire(import.meta.url).resolve('http-cache-tests/package.json'))
const NOT_FOR_US = [
  '304-etag-update-response-Set-Cookie',
  'age-parse-dup-0',
  'age-parse-dup-0-twoline',
  'age-parse-dup-old',
  'age-parse-float',
  'age-parse-negative',
  'age-parse-nonnumeric',
  'age-parse-prefix-twoline',
  'headers-store-Set-Cookie',
  'headers-store-Transfer-Encoding',
  'stale-close-must-revalidate',
  'stale-close-no-cache',
  'stale-close-proxy-revalidate',
  'stale-close-s-maxage=2',
]

/** As much of a test of the suite as is read here. */
interface SuiteTest {
  readonly id: string
  readonly kind?: string
  readonly browser_only?: boolean
}

const folder = mkdtempSync(join(tmpdir(), 'http-cache-'))
let gateway: RunningGateway
let stopOrigin = () => {}

beforeAll(async () => {
  const port = await freePort()
  const env = { ...process.env, npm_config_protocol: 'http', npm_config_port: String(port) }
  const origin = spawn(process.execPath, [join(SUITE, 'server/server.mjs')], {
    env: { ...env, npm_config_pidfile: join(folder, 'pid') },
    cwd: SUITE,
    stdio: 'ignore',
  })
  stopOrigin = () => void origin.kill()
  await eventually(async () => expect((await call(port, '/README.md')).status).toBe(200))
  gateway = await startGateway({
    yaml: {
      pools: { origin: { backends: [{ url: `http://127.0.0.1:${port}` }], health: { path: '/README.md' } } },
      routes: [{ name: 'all', pool: 'origin', protocol: 'opaque', cache: { ttl: '1h', scope: 'shared' } }],
    },
  })
  await gateway.up()
})

afterAll(async () => {
  stopOrigin()
  await gateway?.stop()
  rmSync(folder, { recursive: true, force: true })
})

it('passes every required test that applies', { timeout: 240_000 }, async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', join(SUITE, 'cli.mjs')], {
    env: { ...process.env, npm_config_base: gateway.url, npm_config_id: '', npm_package_config_id: '' },
    cwd: SUITE,
    maxBuffer: 1e8,
  })
  const results = JSON.parse(stdout) as Record<string, unknown>
  const { default: suites } = (await import(pathToFileURL(join(SUITE, 'tests/index.mjs')).href)) as {
    default: readonly { readonly tests: readonly SuiteTest[] }[]
  }
  const tests = suites.flatMap((suite) => suite.tests)
  const required = tests.filter(({ kind = 'required', browser_only }) => kind === 'required' && !browser_only)
  const failed = required.map(({ id }) => id).filter((id) => results[id] !== true)
  expect(failed.filter((id) => !NOT_FOR_US.includes(id))).toEqual([])
  expect(required.length - failed.length).toBeGreaterThanOrEqual(143)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
