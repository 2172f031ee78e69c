/** Every example starts as it is shipped, on a machine on which nothing else runs: no backend, no Redis, no Memcached. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { runInfergate, startGateway, written } from '../support/gateway.ts'
import { freePort, startRedis } from '../support/servers.ts'

const FOLDER = new URL('../../config/examples/', import.meta.url)
/** Where models of stores would be put. */
const models = mkdtempSync(join(tmpdir(), 'infergate-models-'))
afterAll(() => rmSync(models, { recursive: true }))
const examples = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
const folders: string[] = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

/** The example in a folder of its own, with the files that the commands in its head make. */
function installed(name: string, yaml: string): { readonly folder: string; readonly config: string } {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-example-'))
  folders.push(folder)
  const config = join(folder, name)
  writeFileSync(config, yaml)
  const commands = [...yaml.matchAll(/^# {3}(?:\$ )?(.*)$/gm)].map(([, line]) => line).join('\n')
  if (commands !== '') execFileSync('sh', ['-ec', commands], { cwd: folder, stdio: 'pipe' })
  return { folder, config }
}

const PLACE = /(?:127\.0\.0\.1|10\.0\.0\.\d+):\d+/g

/** With an address of its own, where nobody listens, for each that it names: this machine may have servers. */
async function exampleOf(name: string): Promise<string> {
  const yaml = readFileSync(new URL(name, FOLDER), 'utf8')
  const ports = new Map<string, number>()
  for (const place of yaml.match(PLACE) ?? []) ports.set(place, ports.get(place) ?? (await freePort()))
  return yaml
    .replace(PLACE, (place) => `127.0.0.1:${ports.get(place)}`)
    .replace('../../models/', fileURLToPath(new URL('../../models/', import.meta.url)))
}

// Its ports speak TLS: see below.
const plain = examples.filter((name) => name !== 'tls.yaml')

it.each(plain)('%s starts with nothing else running', async (name) => {
  // As many threads as the test's machine bears.
  const yaml = (await exampleOf(name)).replace('workers: 16', 'workers: 2')
  const env = { REDIS_URL: `redis://127.0.0.1:${await freePort()}`, INFERGATE_MODELS: models }
  const { config } = installed(name, yaml)
  const gateway = await startGateway({ config, env })
  expect((await gateway.ask('/livez')).status).toBe(200)
  // A model of this machine is loaded first.
  if (/kind: embedding/.test(yaml)) await gateway.up()
  const { status, json } = await gateway.ask('/readyz')
  const { reasons } = json as { reasons: string[] }
  // A model of a store that is away has never been fetched.
  const isFetched = /source: (?:hdfs|s3|https):/.test(yaml)
  expect(status).toBe(isFetched ? 503 : 200)
  expect(reasons.some((reason) => reason.endsWith('no process serves it yet'))).toBe(isFetched)
  const tiers = /type: (?:redis|memcached)/.test(yaml) ? 1 : 0
  expect(reasons.filter((reason) => reason.startsWith('cache tier '))).toHaveLength(tiers)
  // No backend is there: an answer all the same, and whose fault it is.
  const answer = await gateway.post('/v1/models/ranker:predict', { instances: [1] })
  expect(answer.status).toBeGreaterThanOrEqual(400)
  expect(answer.headers['proxy-status']).toMatch(/^infergate; error=/)
  expect(await gateway.stop()).toBe(0)
})

it('is ended by a tier that will never have it, with the reason and what mends it', async () => {
  const redis = await startRedis({ args: ['--requirepass', 'right'] })
  const file = written({
    cache: { tiers: [{ name: 'near', type: 'redis', url: `redis://:hunter2@127.0.0.1:${redis.port}` }] },
    pools: { p: { backends: [{ url: 'http://127.0.0.1:1' }] } },
    routes: [{ pool: 'p' }],
  })
  const { code, stdout, stderr } = await runInfergate([
    'serve',
    '--config',
    file as string,
    '--listen',
    '127.0.0.1:0',
  ])
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(
      /cache tier near: the user name or the password is wrong \(WRONGPASS\); correct the URL/,
    ),
  ])
  expect(stdout + stderr).not.toMatch(/hunter2/)
  await redis.stop()
})

it('jwt.yaml lets in the token that its head makes, at both ports', async () => {
  const { folder, config } = installed('jwt.yaml', await exampleOf('jwt.yaml'))
  const gateway = await startGateway({ config })
  const headers = { authorization: `Bearer ${readFileSync(join(folder, 'own/token'), 'utf8').trim()}` }
  expect((await gateway.get('/v1/models/ranker')).status).toBe(401)
  // Nobody is behind it.
  expect((await gateway.get('/v1/models/ranker', headers)).status).toBeGreaterThanOrEqual(502)
  expect((await gateway.ask('/api/v1/pools')).status).toBe(401)
  expect((await gateway.ask('/api/v1/pools', { headers })).status).toBe(200)
  expect((await gateway.ask('/api/v1/tenants', { headers })).status).toBe(403)
  await gateway.stop()
})

it('tls.yaml lets in the certificates that its head makes, each at its port', async () => {
  const { folder, config } = installed('tls.yaml', await exampleOf('tls.yaml'))
  const gateway = await startGateway({ config })
  const pem = (name: string) => readFileSync(join(folder, 'own', name), 'utf8')
  const status = (port: number, path: string, who?: string) =>
    new Promise<number | string>((resolve) => {
      const own = who === undefined ? {} : { cert: pem(`${who}.crt`), key: pem(`${who}.key`) }
      const to = { host: 'localhost', port, path, ca: pem('tls.crt'), agent: false as const, ...own }
      request({ ...to, family: 4 }, (response) => resolve(response.resume().statusCode ?? 0))
        .on('error', () => resolve('no handshake'))
        .end()
    })
  const { port, adminPort } = gateway
  expect(await status(port, '/v1/models/ranker')).toBe('no handshake')
  expect(await status(port, '/v1/models/ranker', 'shop')).toBeGreaterThanOrEqual(502)
  expect(await status(adminPort, '/livez')).toBe(200)
  expect(await status(adminPort, '/readyz')).toBe(200)
  expect(await status(adminPort, '/api/v1/pools')).toBe(401)
  expect(await status(adminPort, '/api/v1/pools', 'shop')).toBe(403)
  expect(await status(adminPort, '/api/v1/tenants', 'operators')).toBe(200)
  await gateway.stop()
})
