/** Every example starts as it is shipped, on a machine on which nothing else runs: no backend, no Redis, no Memcached. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { runInfergate, startGateway, written } from '../support/gateway.ts'
import { freePort, startRedis } from '../support/servers.ts'

const FOLDER = new URL('../../config/examples/', import.meta.url)
/** Where models of stores would be put. */
const models = mkdtempSync(join(tmpdir(), 'infergate-models-'))
afterAll(() => rmSync(models, { recursive: true }))
const examples = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))

it.each(examples)('%s starts with nothing else running', async (name) => {
  // Where a tier is expected nobody is, also on a machine that has one; as many threads as the test's machine bears.
  const yaml = readFileSync(new URL(name, FOLDER), 'utf8')
    .replaceAll('127.0.0.1:6379', `127.0.0.1:${await freePort()}`)
    .replaceAll('10.0.0.', '127.0.0.')
    .replaceAll(':26379', `:${await freePort()}`)
    .replaceAll('127.0.0.1:11211', `127.0.0.1:${await freePort()}`)
    .replaceAll('127.0.0.1:11212', `127.0.0.1:${await freePort()}`)
    .replace('workers: 16', 'workers: 2')
  const env = { REDIS_URL: `redis://127.0.0.1:${await freePort()}`, INFERGATE_MODELS: models }
  const gateway = await startGateway({ yaml, env })
  expect((await gateway.ask('/livez')).status).toBe(200)
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
