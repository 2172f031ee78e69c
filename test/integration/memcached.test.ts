import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createMemcachedTier } from '../../src/data/cache/tiers/memcached.ts'
import { Unfit } from '../../src/data/cache/tiers/tier.ts'
import { tierContract } from '../../src/testing/tier.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { type SaslGate, saslGate } from '../support/sasl-gate.ts'
import { startMemcached, type TestServer } from '../support/servers.ts'

// Generous where the test is not about time: the machine may be busy.
const patient = { readTimeout: 2_000, writeTimeout: 2_000 }

let one: TestServer
let two: TestServer
let local: TestServer
let gate: SaslGate
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memcached-socket-'))
  await chmod(folder, 0o777)
  one = await startMemcached()
  two = await startMemcached()
  local = await startMemcached({ socket: join(folder, 'm.sock') })
  gate = await saslGate(one.port, 'gw', 's3cret')
})
afterAll(async () => {
  gate?.close()
  await Promise.all([one, two, local].map((each) => each?.stop()))
  await rm(folder, { recursive: true, force: true })
})

const at = (...ports: number[]) => ports.map((port) => `127.0.0.1:${port}`)

tierContract('memcached', async () =>
  createMemcachedTier({ name: 'memcached', servers: at(one.port), ...patient }),
)
tierContract('two memcached servers', async () => {
  const tier = createMemcachedTier({ name: 'memcached', servers: at(one.port, two.port), ...patient })
  // The contract begins when a look-up is answered, by one of the two.
  await eventually(() => expect(tier.trouble).toBe(''))
  return tier
})

tierContract('memcached at a Unix socket', async () => {
  const tier = createMemcachedTier({ name: 'm', servers: [`unix:${join(folder, 'm.sock')}`], ...patient })
  await eventually(() => expect(tier.connected).toBe(true))
  return tier
})
tierContract('memcached with SASL', async () =>
  createMemcachedTier({ name: 'm', servers: at(gate.port), username: 'gw', password: 's3cret', ...patient }),
)

describe('memcached', () => {
  it('says why SASL refuses it, and never with the password', async () => {
    const refused = [
      [{ username: 'gw', password: 'hunter2' }, /the user name or the password is wrong \(SASL\)/],
      [{}, /wants a user and a password \(SASL\); write username and password/],
    ] as const
    // memjs would take these by itself.
    vi.stubEnv('MEMCACHE_USERNAME', 'gw').stubEnv('MEMCACHE_PASSWORD', 's3cret')
    for (const [credentials, reason] of refused) {
      const tier = createMemcachedTier({ name: 'm', servers: at(gate.port), ...patient, ...credentials })
      await eventually(() => expect(tier.refusal).toMatch(reason))
      expect([tier.connected, `${tier.refusal}`.includes('hunter2')]).toEqual([false, false])
      await tier.close()
    }
    vi.unstubAllEnvs()
  })

  it('finds the keys of one server while the other is gone, and all again when it is back', async () => {
    const tier = createMemcachedTier({ name: 'memcached', servers: at(one.port, two.port), ...patient })
    const digests = Array.from({ length: 60 }, (_, n) => digestOf(`${n}`))
    const fill = () => Promise.all(digests.map((digest) => tier.set(digest, Buffer.from('v'), 60_000)))
    const found = async () => (await tier.getMany(digests)).filter((value) => value).length
    await eventually(fill)
    expect(await found()).toBe(60)
    await two.stop()
    const guard = guardTier(tier, patient)
    await eventually(async () => {
      // One key of the server that is gone is a miss like any other, and holds nothing against the tier.
      for (const digest of digests) await guard.getMany([digest])
      expect(guard.state).toBe('closed')
      expect(new Set(digests.map((digest) => guard.takes(digest, 1)))).toEqual(new Set([true, false]))
      const left = await found()
      expect(left).toBeGreaterThan(10)
      expect(left).toBeLessThan(50)
    })
    await two.start()
    await eventually(fill)
    expect(await found()).toBe(60)
    await tier.close()
  })

  it('is right again after a connection broke in the middle of an answer', async () => {
    const proxy = await faultProxy(one.port)
    const tier = createMemcachedTier({
      name: 'memcached',
      servers: at(proxy.port),
      ...patient,
      readTimeout: 30,
    })
    const digest = digestOf('large')
    await eventually(() => tier.set(digest, Buffer.alloc(500_000, 7), 60_000))
    proxy.set('garble')
    await eventually(() => expect(tier.getMany([digest])).rejects.toThrow())
    proxy.set('reset')
    await eventually(() => expect(tier.connected).toBe(false))
    proxy.set('pass')
    const [value] = await eventually(() => tier.getMany([digest]))
    expect(Buffer.compare(value as Uint8Array, Buffer.alloc(500_000, 7))).toBe(0)
    await tier.close()
    await proxy.close()
  })

  it('leaves no connection open behind it when the server stops answering', async () => {
    const proxy = await faultProxy(one.port)
    const times = { readTimeout: 20, connectTimeout: 50 }
    const tier = createMemcachedTier({ name: 'memcached', servers: at(proxy.port), ...times })
    await eventually(() => tier.getMany([digestOf('x')]))
    proxy.set('hang')
    await eventually(async () => {
      await tier.getMany([digestOf('x')]).catch(() => {})
      expect(proxy.connections).toBeGreaterThan(4)
    })
    expect(proxy.open).toBeLessThanOrEqual(2)
    await tier.close()
    await eventually(() => expect(proxy.open).toBe(0))
    await proxy.close()
  })

  it('knows how long an item a server takes, and what it has no room for', async () => {
    const small = await startMemcached({ args: ['-I', '2m'] })
    const open = (port: number) =>
      createMemcachedTier({ name: 'm', servers: at(port), ...patient, maxEntryBytes: 8e6 })
    const [usual, larger] = [open(one.port), open(small.port)]
    for (const tier of [usual, larger]) await eventually(() => expect(tier.connected).toBe(true))
    const digest = digestOf('long')
    const taken = (tier: typeof usual) =>
      [1e6, 1.1e6, 2.05e6, 2.2e6].map((size) => tier.takes?.(digest, size))
    expect([taken(usual), taken(larger)]).toEqual([
      [true, false, false, false],
      [true, true, true, false],
    ])
    await larger.set(digest, Buffer.alloc(2.05e6, 1), 60_000)
    expect((await larger.getMany([digest]))[0]?.length).toBe(2.05e6)
    await expect(usual.set(digest, Buffer.alloc(1.1e6), 60_000)).rejects.toThrow(Unfit)
    await Promise.all([usual.close(), larger.close()])
    await small.stop()
  })

  it('names the server that is no address', () => {
    for (const server of ['', 'host:99999', 'user@host:1', 'a b']) {
      expect(() => createMemcachedTier({ name: 'm', servers: [server] })).toThrow(/is not host:port/)
    }
    expect(() => createMemcachedTier({ name: 'm', servers: [] })).toThrow(/servers is empty/)
  })
})
