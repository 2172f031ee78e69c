/** What an operator is shown of a pool: what the data plane holds against a backend, and not only the control plane's word. */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { afterAll, expect, it } from 'vitest'
import { FAMILIES, type FamilyName } from '../../src/obs/families.ts'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { runInfergate, startGateway } from '../support/gateway.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

/** Where a page of metrics is not as the table says: other metrics, types or labels. */
function differences(page: string): string[] {
  const own = page.split('\n').filter((line) => !/infergate_(?:process|nodejs)_/.test(line))
  const types = own.flatMap((line) => /^# TYPE (.*)/.exec(line)?.[1] ?? [])
  const named = Object.entries(FAMILIES)
    // Only where an embedded model has a store, or process memory a snapshot.
    .filter(([name]) => name !== 'infergate_model_store_up' && !name.startsWith('infergate_snapshot_'))
    .map(([name, [type]]) => `${name} ${type}`)
  const labels = own.flatMap((line) => {
    const [, sample = '', pairs = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? []
    if (sample === '') return []
    const name = sample in FAMILIES ? sample : sample.replace(/_(?:bucket|sum|count)$/, '')
    const found = new Set([...pairs.matchAll(/(\w+)="/g)].map(([, label = '']) => label))
    found.delete('le')
    const wanted = new Set(FAMILIES[name as FamilyName][1].split(' ').filter(Boolean))
    return found.symmetricDifference(wanted).size === 0 ? [] : [line]
  })
  return [...new Set(types).symmetricDifference(new Set(named)), ...labels]
}

/** Returns what the stream of events has said so far. */
async function follow(port: number): Promise<() => string> {
  const request = get({ host: '127.0.0.1', port, path: '/api/v1/events', agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  cleanup.push(() => response.destroy())
  let text = ''
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  response.on('error', () => {})
  return () => text
}

interface Shown {
  readonly traffic: { readonly queued: number; readonly retriesLeft: number; readonly panic: boolean }
  readonly backends: readonly {
    readonly url: string
    readonly state: string
    readonly limit: number
    readonly latencyMs?: number
    readonly effective: { readonly state: string; readonly reason: string }
  }[]
}

it('an ejected backend is shown as ejected, with the reason and the time, beside the healthy ones', async () => {
  const good = await startBackend()
  const bad = await startBackend((_, response) => void response.writeHead(500).end('{}'))
  cleanup.push(good.close, bad.close)
  const gateway = await startGateway({
    yaml: settings({
      server: TWO,
      backends: [good, bad],
      tiers: [],
      pool: { connections: 7, balance: { policy: 'round-robin' } },
    }),
  })
  await gateway.ready('main', 2)
  const events = await follow(gateway.adminPort)
  const shown = async () => (await gateway.ask('/api/v1/pools/main')).json as Shown
  await eventually(async () => {
    expect((await gateway.post(PREDICT, instances(1))).status).toBe(200)
    const { backends } = await shown()
    expect(backends.find(({ url }) => url === bad.url)).toMatchObject({
      state: 'ready',
      limit: 7,
      effective: { state: 'ejected', reason: expect.stringMatching(/^failed .*; tried again in \d+ s/) },
    })
  })
  // Workers tell their latencies twice a second.
  await eventually(async () => {
    const { backends, traffic } = await shown()
    expect(backends.find(({ url }) => url === good.url)).toMatchObject({
      effective: { state: 'ready', reason: expect.stringContaining('probe') },
      latencyMs: expect.any(Number),
    })
    expect(traffic).toMatchObject({ queued: 0, panic: false, retriesLeft: expect.any(Number) })
  })

  await eventually(() => {
    expect(gateway.logs).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        event: 'backend.ejected',
        pool: 'main',
        cause: 'consecutive',
      }),
    )
    expect(events()).toMatch(/event: backend\ndata: {"pool":"main","id":"[^"]+","change":"ejected","at":/)
    expect(events()).toMatch(/event: pool\ndata: .*"state":"ejected"/)
  })
  expect(
    await gateway.metric('infergate_backend_ejections_total', { pool: 'main', cause: 'consecutive' }),
  ).toBe(1)

  expect(await gateway.metric('infergate_pool_changes_total', { pool: 'main', change: 'joined' })).toBe(2)
  expect(await gateway.metric('infergate_pool_backends', { pool: 'main', state: 'ejected' })).toBe(1)
  const { text } = await gateway.ask('/metrics')
  expect(differences(text)).toEqual([])

  const { stdout, code } = await runInfergate(['backends', 'list', '--admin', gateway.admin])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^POOL +ID +STATE +CALLS +LATENCY +SHARE +LEASE +URL +REASON$/m)
  expect(stdout).toMatch(new RegExp(`ejected +0/7 .*${bad.url}.*tried again in`))
  await gateway.stop()
})
