/** Traffic follows what a file, and a Kubernetes service, say of the backends, while calls run. */
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startKubeApi } from '../support/kube-api.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

const cleanup: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

async function backend(): Promise<ScriptedBackend> {
  const started = await startBackend()
  cleanup.push(() => started.close())
  return started
}

const uncached = { cache: { enabled: false } }
const UNCACHED = { 'cache-control': 'no-store' }

/** Sends calls until `check` holds; none of them may fail. */
async function whileCalling(gateway: RunningGateway, check: () => void): Promise<void> {
  await eventually(
    async () => {
      const { status, text } = await gateway.post(PREDICT, instances(1, 2), UNCACHED)
      if (status !== 200) throw new Error(`${status} ${text}`)
      check()
    },
    { timeoutMs: 15_000 },
  )
}

it('backends of a file come and go with it, and no call fails', async () => {
  const [one, two] = [await backend(), await backend()]
  const gateway = await startGateway({
    yaml: settings({
      pool: { health: { interval: '100ms' }, discovery: [{ type: 'file', path: 'backends.yaml' }] },
      route: uncached,
    }),
  })
  cleanup.push(() => gateway.stop())
  const file = join(dirname(gateway.file), 'backends.yaml')
  await writeFile(file, `- ${one.url}\n`)
  await gateway.ready('main')
  await whileCalling(gateway, () => expect(one.asked.length).toBeGreaterThan(3))

  await writeFile(file, `- url: ${two.url}\n  weight: 2\n`)
  await whileCalling(gateway, () => expect(two.asked.length).toBeGreaterThan(3))
  await gateway.ready('main')
  const { length } = one.asked
  const { length: before } = two.asked
  await whileCalling(gateway, () => expect(two.asked.length).toBeGreaterThan(before + 10))
  expect(one.asked).toHaveLength(length)

  // A file that says nobody is there is not believed at once, and one that is cut not at all.
  await writeFile(file, '- "http://')
  await writeFile(file, '[]')
  const { length: emptied } = two.asked
  await whileCalling(gateway, () => expect(two.asked.length).toBeGreaterThan(emptied + 10))
  await writeFile(file, `- ${one.url}\n- ${two.url}\n`)
  await gateway.ready('main', 2)
})

it('the pods of a Kubernetes service are backends', async () => {
  const pod = await backend()
  const api = await startKubeApi('ml', 'ranker')
  cleanup.push(() => api.close())
  const gateway = await startGateway({
    yaml: settings({
      pool: {
        health: { interval: '100ms' },
        discovery: [
          { type: 'kubernetes', namespace: 'ml', service: 'ranker', port: pod.port, apiServer: api.url },
        ],
      },
      route: uncached,
    }),
  })
  cleanup.push(() => gateway.stop())
  api.put('ranker-x', [{ addresses: ['127.0.0.1'], conditions: { ready: null }, targetRef: { uid: 'u1' } }])
  await gateway.ready('main')
  await whileCalling(gateway, () => expect(pod.asked.length).toBeGreaterThan(3))
  const { json } = await gateway.ask('/api/v1/pools/main')
  expect(json).toMatchObject({
    backends: [{ source: 'discovered', labels: { source: 'kubernetes:ml/ranker' }, state: 'ready' }],
  })
})
