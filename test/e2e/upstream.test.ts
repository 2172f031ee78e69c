/** `serve --upstream`: a gateway in front of model servers that exist, without a line of YAML. */
import { afterAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { runInfergate, startGateway } from '../support/gateway.ts'
import { instances, PREDICT } from '../support/settings.ts'

const backends: ScriptedBackend[] = []
afterAll(() => Promise.all(backends.map((backend) => backend.close())))

it('caches what it knows, passes on what it does not, and spreads over all', async () => {
  const [one, two] = [await startBackend(), await startBackend()]
  backends.push(one, two)
  const gateway = await startGateway({ args: ['--upstream', one.url, '--upstream', two.url] })
  await gateway.ready('upstream', 2)
  expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/fwd=miss/)
  expect((await gateway.post(PREDICT, instances(1))).headers['cache-status']).toMatch(/; hit;.*detail=memory/)

  one.script = two.script = (_, response) => void response.end('mine')
  const other = await gateway.post('/anything', 'x')
  expect(other.text).toBe('mine')
  expect(other.headers['cache-status']).toBe(
    'infergate; fwd=bypass; fwd-status=200; detail="not a prediction"',
  )
  await Promise.all(Array.from({ length: 40 }, () => gateway.post('/anything', 'x')))
  expect(one.asked.length).toBeGreaterThan(5)
  expect(two.asked.length).toBeGreaterThan(5)
  expect(await gateway.stop()).toBe(0)
})

it('waits for an upstream that comes later', async () => {
  const gone = await startBackend()
  await gone.close()
  const gateway = await startGateway({ args: ['--upstream', gone.url] })
  expect([502, 503]).toContain((await gateway.post(PREDICT, instances(1))).status)
  backends.push(await startBackend(undefined, gone.port))
  await eventually(async () => expect((await gateway.post(PREDICT, instances(1))).status).toBe(200))
  await gateway.stop()
})

it.each([
  [['--upstream', 'nonsense'], /--upstream.*http:\/\//],
  [['--upstream', 'http://127.0.0.1:1', '--config', 'x.yaml'], /do not go together/],
  [['--listen', 'nonsense'], /--listen nonsense .*HOST:PORT/],
  [['--admin', '9090'], /--admin 9090 .*HOST:PORT/],
  [['--lisen', '127.0.0.1:0'], /--listen/],
])('%j is a mistake that is named, with exit code 1', async (args, wanted) => {
  const { code, stderr } = await runInfergate(['serve', ...args])
  expect(code).toBe(1)
  expect(stderr).toMatch(wanted)
  expect(stderr).not.toContain('    at ')
})
