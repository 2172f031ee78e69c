/**
 * The server of a shared tier dies under load, and its successor has not heard of the last purge. No call fails, none waits
 * for the tier, none is given what was purged, and hits come back.
 */
import { afterEach, expect, it } from 'vitest'
import type { SettingsInput } from '../../src/config/schema.ts'
import { startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { addressOf, killBehind, startCluster, startSentinelGroup } from '../support/redis-groups.ts'
import { startMemcached } from '../support/servers.ts'
import { instances, PREDICT, settings } from '../support/settings.ts'

type TierSettings = NonNullable<NonNullable<SettingsInput['cache']>['tiers']>[number]

const CALLERS = 4
const KEYS = 40
/** The call whose answer is purged by its key. */
const PURGED = 7
const READ_TIMEOUT_MS = 100
/** What a busy machine may add to a call. One that waited for a failover would wait for seconds. */
const NOISE_MS = 600

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

interface Told {
  readonly row: number
  readonly began: number
  readonly ms: number
  readonly status: number
  readonly isHit: boolean
  readonly generation: number
}

interface Load {
  readonly told: readonly Told[]
  stop(): Promise<void>
}

/** Answers say in which generation of the backend they were made. */
async function rig(tier: TierSettings) {
  const state = { generation: 1 }
  const backend = await startBackend((_, response) => {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ predictions: [state.generation] }))
  })
  cleanup.push(() => backend.close())
  const yaml = settings({ backends: [backend], tiers: [tier], route: { cache: { rows: 'always' } } })
  const open = async () => {
    const gateway = await startGateway({ yaml })
    cleanup.push(() => gateway.stop())
    await gateway.ready('main')
    return gateway
  }
  return { state, open }
}

async function tell(gateway: RunningGateway, row: number): Promise<Told> {
  const began = performance.now()
  const { status, headers, json } = await gateway.post(PREDICT, instances(row))
  const [generation = 0] = (json as { predictions?: number[] }).predictions ?? []
  const isHit = /; hit;/.test(`${headers['cache-status']}`)
  return { row, began, ms: performance.now() - began, status, isHit, generation }
}

/** Every row over and over, by several callers, until the test's end at the latest. */
function startLoad(gateway: RunningGateway): Load {
  const told: Told[] = []
  const over = new AbortController()
  const callers = Array.from({ length: CALLERS }, async (_, caller) => {
    for (let n = caller; !over.signal.aborted; n += CALLERS) told.push(await tell(gateway, n % KEYS))
  })
  const running = Promise.all(callers)
  running.catch(() => {})
  const stop = async () => {
    over.abort()
    await running
  }
  cleanup.push(stop)
  return { told, stop }
}

const allHits = (gateway: RunningGateway) =>
  eventually(
    async () => {
      const told = await Promise.all(Array.from({ length: KEYS }, (_, row) => tell(gateway, row)))
      expect(told.filter(({ isHit }) => !isHit)).toEqual([])
    },
    { timeoutMs: 25_000 },
  )

async function keyOf(gateway: RunningGateway, row: number): Promise<string> {
  const { json } = await gateway.ask('/api/v1/cache/explain', {
    method: 'POST',
    body: {
      method: 'POST',
      path: PREDICT,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(instances(row)),
    },
  })
  return (json as { rows: { key: string }[] }).rows[0]?.key ?? ''
}

const purge = (gateway: RunningGateway, selection: object) =>
  gateway.ask('/api/v1/cache/purge', { method: 'POST', body: selection })

interface Scenario {
  readonly tier: TierSettings
  /** What is purged; PURGED is among it. */
  readonly selection: (key: string) => object
  /** Kills the server, which may have heard of `write`, while its successor has not. */
  readonly fail: (key: string, write: () => Promise<unknown>) => Promise<unknown>
}

const times = { readTimeout: `${READ_TIMEOUT_MS}ms`, connectTimeout: '500ms' }

const kinds: Record<string, () => Promise<Scenario>> = {
  async 'redis behind sentinels, and all answers of the model'() {
    const group = await startSentinelGroup()
    cleanup.push(() => group.stop())
    const sentinel = { nodes: [...group.nodes] }
    return {
      tier: { name: 'shared', type: 'redis', url: 'redis://main', sentinel, ...times },
      selection: () => ({ model: 'sum' }),
      fail: (_, write) => killBehind(group, write),
    }
  },
  async 'the node of a redis cluster, and one answer'() {
    const cluster = await startCluster()
    cleanup.push(() => cluster.stop())
    const url = `redis://${addressOf(cluster.shards[0]?.primary ?? { port: 0 })}`
    return {
      tier: { name: 'shared', type: 'redis', url, cluster: true, ...times },
      selection: (key) => ({ key }),
      async fail(key, write) {
        await killBehind(await cluster.shardOf(`{${key}}`), write)
      },
    }
  },
  async 'one memcached of three, and one answer'() {
    const servers = await Promise.all(Array.from({ length: 3 }, () => startMemcached()))
    cleanup.push(() => Promise.all(servers.map((server) => server.stop())))
    return {
      tier: { name: 'shared', type: 'memcached', servers: servers.map(addressOf), ...times },
      selection: (key) => ({ key }),
      async fail(_, write) {
        await servers[1]?.stop()
        await write()
        await servers[1]?.start()
      },
    }
  },
}

it.each(Object.entries(kinds))('%s', { timeout: 90_000 }, async (_, start) => {
  const { tier, selection, fail } = await start()
  const { state, open } = await rig(tier)
  const gateway = await open()
  await allHits(gateway)
  const key = await keyOf(gateway, PURGED)
  const load = startLoad(gateway)
  let purgedAt = Number.POSITIVE_INFINITY
  await fail(key, async () => {
    state.generation = 2
    expect((await purge(gateway, selection(key))).status).toBe(200)
    purgedAt = performance.now()
  })
  await allHits(gateway)
  // One that starts now has heard of nothing.
  const later = await tell(await open(), PURGED)
  await load.stop()

  expect(load.told.length).toBeGreaterThan(KEYS)
  expect(load.told.filter(({ status }) => status !== 200)).toEqual([])
  const stale = [...load.told, later].filter(
    ({ row, began, generation }) => row === PURGED && began > purgedAt && generation < 2,
  )
  expect(stale).toEqual([])
  expect(Math.max(...load.told.map(({ ms }) => ms))).toBeLessThan(READ_TIMEOUT_MS + NOISE_MS)
})
