/**
 * From what model servers say to the token in the keys of two gateways: scripted servers with the real wire
 * formats, a real Redis, the control plane's watch and the data plane's tokens.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { Versions } from '../../src/control/deployments/versions.ts'
import { createProbe } from '../../src/control/health/probe.ts'
import { Registry } from '../../src/control/registry/registry.ts'
import { createAddressRules } from '../../src/core/addresses.ts'
import { silentLog } from '../../src/core/log.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { systemClock as clock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { startVersioned, type VersionedServer } from '../support/versioned.ts'

const POOL = 'main'
const target = { verb: 'predict', model: 'iris', prediction: true }
const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

async function redis(): Promise<TestServer> {
  const server = await startRedis()
  cleanup.push(() => server.stop())
  return server
}

async function model(
  dialect: Parameters<typeof startVersioned>[0],
  ...versions: string[]
): Promise<VersionedServer> {
  const server = await startVersioned(dialect, ...versions)
  cleanup.push(() => server.close())
  return server
}

function cacheAt(port: number): Tiered {
  const tier = createRedisTier({ name: 'redis', url: `redis://127.0.0.1:${port}`, readTimeout: 50 })
  const cache = createTiered({ tiers: [guardTier(tier, { readTimeout: 50 })] })
  cleanup.push(() => cache.close(0))
  return cache
}

/** The parts of a gateway between its backends and its keys. */
async function gateway(backends: readonly VersionedServer[], server?: TestServer) {
  const registry = new Registry({ clock, log: silentLog, inflight: () => 0 })
  const declare = (...urls: string[]) =>
    registry.declare([{ name: POOL, backends: urls.map((url) => ({ url })), probed: false }])
  declare(...backends.map(({ url }) => url))
  const cache = server && cacheAt(server.port)
  if (cache) await eventually(async () => expect(await cache.facts(['any'])).toBeDefined())
  const deployments: Deployments = new Deployments({
    shared: cache,
    // What they agree on is asked here, and not how fast.
    waitMs: 1_000,
    clock,
    log: silentLog,
    changed: () => {},
    unknown: (pool, name) => versions.query(pool, name),
  })
  const versions: Versions = new Versions({
    registry,
    clock,
    probe: createProbe(createAddressRules()),
    models: (pool) => deployments.calledModels(pool),
    settings: () => ({ timeoutMs: 150 }),
    intervalMs: 50,
    deployed: (deployed) => deployments.learn(deployed),
  })
  versions.start()
  deployments.start()
  const stop = () => {
    versions.stop()
    deployments.stop()
    registry.close()
  }
  cleanup.push(stop)
  const load = async () => (await deployments.load(POOL, target)).value
  const state = () => deployments.load(POOL, target)
  return { registry, declare, deployments, load, state, stop }
}

/** Waits until each server was asked so often that an answer it gave since has been heard: two questions a round. */
async function heard(...servers: readonly VersionedServer[]): Promise<void> {
  const before = servers.map(({ asked }) => asked)
  await eventually(() => {
    servers.forEach(({ asked }, i) => {
      expect(asked).toBeGreaterThanOrEqual((before[i] as number) + 5)
    })
  })
}

describe.each(['tfserving', 'oip'] as const)('a %s server that is polled', (dialect) => {
  it('changes the token with each new set of versions, a rollback included', async () => {
    const server = await model(dialect, '1')
    const { load } = await gateway([server])
    const seen = [await load()]
    for (const versions of [['2'], ['1']]) {
      await heard(server)
      expect(await load()).toBe(seen.at(-1))
      server.versions = versions
      await eventually(async () => expect(seen).not.toContain(await load()))
      seen.push(await load())
    }
    expect(new Set(seen).size).toBe(3)
  })

  it('changes the tokens of all its models, however many there are and whatever else callers name', async () => {
    const server = await model(dialect, '1')
    const { deployments } = await gateway([server])
    const names = [
      ...Array.from({ length: 150 }, (_, i) => `iris-${i}`),
      ...Array.from({ length: 50 }, (_, i) => `invented-${i}`),
    ]
    const tokens = async () => {
      const states = await Promise.all(names.map((name) => deployments.loadModel(POOL, name)))
      return states.slice(0, 150).map(({ token }) => token.value)
    }
    await tokens()
    // All have been asked about, so that what is said next is not the first that is heard.
    await eventually(async () => {
      const states = await Promise.all(names.slice(0, 150).map((name) => deployments.loadModel(POOL, name)))
      for (const { versions } of states) expect(versions).toEqual(['1'])
    })
    const before = await tokens()
    server.versions = ['2']
    await eventually(async () => {
      const after = await tokens()
      expect(before.filter((token, i) => token === after[i])).toEqual([])
    })
  })

  it.each(['error', 'overloaded', 'garbage', 'hang', 'loading'] as const)(
    'changes nothing by %s',
    async (ailment) => {
      const server = await model(dialect, '1')
      const { load } = await gateway([server])
      const before = await load()
      await heard(server)
      server.ailment = ailment
      await heard(server)
      expect(await load()).toBe(before)
      server.ailment = 'none'
      await heard(server)
      expect(await load()).toBe(before)
    },
  )
})

it('a new revision of the same version is a deployment', async () => {
  const server = await model('oip', '1')
  server.revision = 'a1'
  const { load } = await gateway([server])
  const before = await load()
  await heard(server)
  server.revision = 'b2'
  await eventually(async () => expect(await load()).not.toBe(before))
})

it('another default version of TorchServe, and another archive of the same, are deployments', async () => {
  const server = await model('torchserve', '1.0')
  const { load } = await gateway([server])
  const before = await load()
  await heard(server)
  expect(await load()).toBe(before)
  server.versions = ['1.0', '2.0']
  await eventually(async () => expect(await load()).not.toBe(before))
  const next = await load()
  server.revision = 'https://models.example/iris-2'
  await eventually(async () => expect(await load()).not.toBe(next))
})

it('backends that go away and come back change nothing', async () => {
  const [a, b] = [await model('tfserving', '1'), await model('oip', '1')]
  const { load, declare } = await gateway([a, b])
  const before = await load()
  await heard(a, b)
  declare(a.url)
  await heard(a)
  declare()
  declare(b.url)
  await heard(b)
  expect(await load()).toBe(before)
})

it('a registration with a new digest is a deployment at once, and the same digest is none', async () => {
  const { registry, load } = await gateway([])
  const put = (id: string, digest: string) =>
    registry.register(POOL, id, { url: `http://127.0.0.1:9/${id}`, models: [{ name: 'iris', digest }] })
  put('a', 'sha256:1')
  const before = await load()
  put('b', 'sha256:1')
  expect(await load()).toBe(before)
  put('c', 'sha256:2')
  expect(await load()).not.toBe(before)
})

describe('two gateways with one Redis', () => {
  it('agree on the token before the first answer is kept, and on each later one', async () => {
    const [shared, server] = [await redis(), await model('tfserving', '1')]
    const [a, b] = await Promise.all([gateway([server], shared), gateway([server], shared)])
    const first = await Promise.all([a.state(), b.state()])
    expect(first[0]).toMatchObject({ shared: true })
    expect(first[1]).toEqual(first[0])
    const seen = new Set([first[0]?.value])
    for (const versions of [['2'], ['1']]) {
      server.versions = versions
      await eventually(async () => {
        const [one, two] = [await a.state(), await b.state()]
        expect(one).toMatchObject({ shared: true })
        expect(two).toEqual(one)
        expect(seen).not.toContain(one.value)
      })
      // Both have noticed, so nobody will replace it any more.
      await heard(server, server)
      await eventually(async () => expect(await b.state()).toEqual(await a.state()))
      seen.add(await a.load())
    }
    expect(seen.size).toBe(3)
  })

  it('keep the token over a restart', async () => {
    const [shared, server] = [await redis(), await model('tfserving', '1')]
    const a = await gateway([server], shared)
    const before = await a.state()
    a.stop()
    const b = await gateway([server], shared)
    expect(await b.state()).toEqual(before)
    await heard(server)
    expect(await b.state()).toEqual(before)
  })

  it('make a new token when Redis has lost the old one', async () => {
    const [shared, server] = [await redis(), await model('oip', '1')]
    const [a, b] = await Promise.all([gateway([server], shared), gateway([server], shared)])
    const before = await a.load()
    await shared.restart()
    await eventually(
      async () => {
        const [one, two] = [await a.state(), await b.state()]
        expect(one).toMatchObject({ shared: true })
        expect(one.value).not.toBe(before)
        expect(two).toEqual(one)
      },
      { timeoutMs: 15_000 },
    )
  })

  it('each go on alone while Redis is frozen, and agree when it thaws', async () => {
    const [shared, server] = [await redis(), await model('oip', '1')]
    const [a, b] = await Promise.all([gateway([server], shared), gateway([server], shared)])
    const before = await a.load()
    await heard(server)
    shared.freeze()
    server.versions = ['2']
    await eventually(async () => {
      for (const each of [a, b]) {
        const token = await each.state()
        expect(token).toMatchObject({ shared: false })
        expect(token.value).not.toBe(before)
      }
    })
    shared.thaw()
    await eventually(
      async () => {
        const [one, two] = [await a.state(), await b.state()]
        expect(one).toMatchObject({ shared: true })
        expect(two).toEqual(one)
        expect(one.value).not.toBe(before)
      },
      { timeoutMs: 15_000 },
    )
  })
})
