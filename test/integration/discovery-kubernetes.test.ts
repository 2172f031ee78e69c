/** EndpointSlices from a scripted API server over real connections: watch events, bookmarks, 410, tokens. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { Endpoint } from '../../src/control/discovery/endpoint-slices.ts'
import { inCluster } from '../../src/control/discovery/in-cluster.ts'
import { createKubernetesSource } from '../../src/control/discovery/kubernetes.ts'
import type { Snapshot } from '../../src/control/discovery/source.ts'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { type KubeApi, startKubeApi } from '../support/kube-api.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

const pod = (address: string, uid = address): Endpoint => ({
  addresses: [address],
  conditions: { ready: true, serving: true, terminating: false },
  targetRef: { uid },
})

async function setUp() {
  const api = await startKubeApi('ml', 'ranker')
  cleanup.push(() => api.close())
  const snapshots: Snapshot[] = []
  const pauses: number[] = []
  const warnings: unknown[] = []
  const refusedTokens: unknown[] = []
  const source = createKubernetesSource({
    namespace: 'ml',
    service: 'ranker',
    port: undefined,
    async server(refusedToken) {
      if (refusedToken !== undefined) refusedTokens.push(refusedToken)
      return { url: api.url, token: 'secret', ca: undefined }
    },
    clock: {
      ...systemClock,
      after(ms, run) {
        pauses.push(ms)
        return systemClock.after(ms, run)
      },
    },
    log: { ...silentLog, warn: (_, fields) => void warnings.push(fields) },
    random: () => 0,
  })
  cleanup.push(() => source.stop())
  const hosts = () =>
    snapshots
      .at(-1)
      ?.map(({ url = '' }) => new URL(url).hostname)
      .sort()
  const start = async (watched: KubeApi) => {
    source.start((snapshot) => void snapshots.push(snapshot))
    await eventually(() => expect(watched.watching).toBe(1))
  }
  return { api, source, snapshots, pauses, warnings, refusedTokens, hosts, start: () => start(api) }
}

describe('the slices of a service', () => {
  it('are listed, and then followed event by event', async () => {
    const { api, hosts, start } = await setUp()
    api.put('a', [pod('10.0.0.1')])
    await start()
    expect(hosts()).toEqual(['10.0.0.1'])
    api.put('b', [pod('10.0.0.2')])
    await eventually(() => expect(hosts()).toEqual(['10.0.0.1', '10.0.0.2']))
    api.put('a', [pod('10.0.0.3')])
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2', '10.0.0.3']))
    api.remove('b')
    await eventually(() => expect(hosts()).toEqual(['10.0.0.3']))
    expect(api.lists).toHaveLength(1)
    expect(api.watches).toHaveLength(1)
    expect(new Set(api.tokens)).toEqual(new Set(['Bearer secret']))
  })

  it('are read right when events come in pieces', async () => {
    const { api, hosts, start } = await setUp()
    await start()
    const object = {
      metadata: { name: 'ä', resourceVersion: '2000' },
      addressType: 'IPv4',
      endpoints: [pod('10.0.0.9')],
      ports: [{ port: 80 }],
    }
    const line = JSON.stringify({ type: 'ADDED', object })
    api.raw(line.slice(0, 30), line.slice(30, 90), `${line.slice(90)}\n{"type":"BOOK`)
    await eventually(() => expect(hosts()).toEqual(['10.0.0.9']))
  })

  it('are kept up to eight times what a pool holds, and the rest is said to be left out', async () => {
    const { api, warnings, hosts, start } = await setUp()
    const many = (slice: number) => Array.from({ length: 100 }, (_, i) => pod(`10.1.${slice}.${i}`))
    for (let slice = 0; slice < 100; slice++) api.put(`s${slice}`, many(slice))
    await start()
    expect(hosts()).toHaveLength(1024)
    expect(warnings).toMatchObject([{ error: expect.stringContaining('left out'), kept: 8200 }])
    for (let slice = 0; slice < 82; slice++) api.remove(`s${slice}`)
    api.put('new', [pod('10.2.0.1')])
    await eventually(() => expect(hosts()).toEqual(['10.2.0.1']))
  })

  it('are told together when many change at once', async () => {
    const { api, snapshots, hosts, start } = await setUp()
    await start()
    for (let i = 1; i <= 200; i++) api.put('a', [pod(`10.0.1.${i}`)])
    await eventually(() => expect(hosts()).toEqual(['10.0.1.200']))
    expect(snapshots.length).toBeLessThan(50)
  })
})

describe('a watch that ends', () => {
  it.each([
    ['in time', (api: KubeApi) => api.endWatches()],
    ['by a cut connection', (api: KubeApi) => api.cutWatches()],
  ])('%s goes on from the last version, without a new list', async (_name, end) => {
    const { api, hosts, start } = await setUp()
    api.put('a', [pod('10.0.0.1')])
    await start()
    api.bookmark()
    api.put('a', [pod('10.0.0.2')])
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2']))
    end(api)
    await eventually(() => expect(api.watches).toHaveLength(2))
    expect(api.watches[1]?.searchParams.get('resourceVersion')).toBe(String(api.version))
    expect(api.watches[1]?.searchParams.get('allowWatchBookmarks')).toBe('1')
    expect(api.lists).toHaveLength(1)
  })

  it('goes on from a bookmark', async () => {
    const { api, start } = await setUp()
    await start()
    api.bookmark()
    const bookmarked = api.version
    // The end may overtake the bookmark only in another connection, and this is the same one.
    api.endWatches()
    await eventually(() => expect(api.watches).toHaveLength(2))
    expect(api.watches[1]?.searchParams.get('resourceVersion')).toBe(String(bookmarked))
  })

  it('with 410 Gone begins with a new list, which has what was missed', async () => {
    const { api, hosts, start } = await setUp()
    api.put('a', [pod('10.0.0.1')])
    api.put('b', [pod('10.0.0.2')])
    await start()
    api.status = 503
    api.cutWatches()
    api.remove('b')
    api.put('a', [pod('10.0.0.7')])
    api.oldest = api.version
    expect(hosts()).toEqual(['10.0.0.1', '10.0.0.2'])
    api.status = undefined
    await eventually(() => expect(hosts()).toEqual(['10.0.0.7']))
    expect(api.lists).toHaveLength(2)
  })

  it('with 410 Gone again and again is asked for less often, which is logged once', async () => {
    const { api, source, pauses, warnings } = await setUp()
    api.oldest = Number.POSITIVE_INFINITY
    source.start(() => {})
    await eventually(() => expect(api.lists).toHaveLength(4))
    expect(pauses.slice(0, 3)).toEqual([250, 500, 1_000])
    expect(warnings).toMatchObject([{ error: expect.stringContaining('410 Gone') }])
  })

  it('with the HTTP status 410 does the same', async () => {
    const { api, hosts, start } = await setUp()
    api.put('a', [pod('10.0.0.1')])
    await start()
    api.status = 410
    api.endWatches()
    await eventually(() => expect(api.watching).toBe(0))
    api.put('a', [pod('10.0.0.2')])
    const { length } = api.tokens
    await eventually(() => expect(api.tokens.length).toBeGreaterThan(length))
    api.status = undefined
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2']))
  })
})

describe('nothing changes when the API server', () => {
  it('refuses the token, and another is asked for', async () => {
    const { api, source, refusedTokens } = await setUp()
    api.status = 401
    source.start(() => {})
    await eventually(() => expect(refusedTokens).toContain('secret'))
  })

  it.each([401, 403, 500, 503])('answers %i, and it is asked again', async (status) => {
    const { api, snapshots, hosts, start } = await setUp()
    api.put('a', [pod('10.0.0.1')])
    await start()
    api.status = status
    const { length } = snapshots
    const { length: asked } = api.tokens
    api.cutWatches()
    await eventually(() => expect(api.tokens.length).toBeGreaterThanOrEqual(asked + 2))
    expect(snapshots).toHaveLength(length)
    api.status = undefined
    api.put('a', [pod('10.0.0.2')])
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2']))
  })
})

it('a refresh reads the list again', async () => {
  const { api, source, snapshots, start } = await setUp()
  await start()
  const { length } = snapshots
  source.refresh()
  await eventually(() => expect(api.lists).toHaveLength(2))
  await eventually(() => expect(snapshots.length).toBe(length + 1))
  await eventually(() => expect(api.watching).toBe(1))
})

it('an address that another pod got is another instance', async () => {
  const { api, snapshots, start } = await setUp()
  api.put('a', [pod('10.0.0.1', 'first')])
  await start()
  api.put('a', [pod('10.0.0.1', 'second')])
  await eventually(() => expect(snapshots.at(-1)?.[0]?.instance).toBe('second'))
  expect(snapshots[0]?.[0]?.instance).toBe('first')
})

describe('inside a cluster', () => {
  it('the token is read again every minute', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'account-'))
    cleanup.push(() => rm(folder, { recursive: true }))
    const clock = new FakeClock()
    await writeFile(join(folder, 'token'), 'one\n')
    await writeFile(join(folder, 'ca.crt'), 'PEM')
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }
    const server = inCluster({ env, clock, folder })
    expect(await server()).toEqual({ url: 'https://[fd00::1]:6443', token: 'one', ca: 'PEM' })
    await writeFile(join(folder, 'token'), 'two')
    expect(await server()).toMatchObject({ token: 'one' })
    clock.advance(60_000)
    expect(await server()).toMatchObject({ token: 'two' })
  })

  it('a token that was refused is read again at once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'account-'))
    cleanup.push(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), 'one')
    await writeFile(join(folder, 'ca.crt'), 'PEM')
    const server = inCluster({ env: {}, clock: new FakeClock(), url: 'https://api', folder })
    expect(await server()).toMatchObject({ token: 'one' })
    await writeFile(join(folder, 'token'), 'two')
    expect(await server('none that was given')).toMatchObject({ token: 'one' })
    expect(await server('one')).toMatchObject({ token: 'two' })
    expect(await server('one')).toMatchObject({ token: 'two' })
  })

  it('is said not to be where we are, with what to do', async () => {
    const server = inCluster({ env: {}, clock: systemClock, folder: '/nowhere' })
    await expect(server()).rejects.toThrow(/apiServer/)
  })
})
