import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/guard.ts'
import { createRedisTier } from '../../src/data/cache/redis.ts'
import { tierContract } from '../contract/tier.contract.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { freePort, startRedis, type TestServer } from '../support/servers.ts'

// Generous where the test is not about time: the machine may be busy.
const patient = { readTimeout: 2_000, writeTimeout: 2_000 }

let server: TestServer
let secured: TestServer
let node: TestServer
beforeAll(async () => {
  server = await startRedis()
  secured = await startRedis({ args: ['--requirepass', 'se/cret'] })
  node = await startRedis({
    args: [
      '--cluster-enabled',
      'yes',
      '--cluster-announce-ip',
      '127.0.0.1',
      '--cluster-port',
      `${await freePort()}`,
      '--cluster-config-file',
      'nodes.conf',
    ],
  })
})
afterAll(async () => {
  await Promise.all([server, secured, node].map((each) => each?.stop()))
})

tierContract('redis', async () => createRedisTier({ name: 'redis', url: server.url, ...patient }))
tierContract('redis with a password', async () => {
  const url = `redis://:se%2Fcret@127.0.0.1:${secured.port}/2`
  return createRedisTier({ name: 'redis', url, ...patient })
})

describe('redis', () => {
  it('asks once for equal keys and gathers the look-ups of one turn', async () => {
    const proxy = await faultProxy(server.port)
    const tier = createRedisTier({ name: 'redis', url: `redis://127.0.0.1:${proxy.port}`, ...patient })
    await eventually(() => tier.getMany([digestOf('warm')]))
    const guarded = guardTier(tier, patient)
    const before = proxy.chunks
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => guarded.getMany([digestOf(`${n % 7}`), digestOf('all')])),
    )
    expect(proxy.chunks - before).toBe(1)
    await tier.close()
    await proxy.close()
  })

  it('refuses a large value on write and does not see it on read', async () => {
    const small = createRedisTier({ name: 'redis', url: server.url, maxEntryBytes: 100, ...patient })
    const large = createRedisTier({ name: 'redis', url: server.url, ...patient })
    await eventually(() => small.getMany([digestOf('x')]))
    await eventually(() => large.set(digestOf('large'), Buffer.alloc(101), 60_000))
    await expect(small.set(digestOf('large'), Buffer.alloc(101), 60_000)).rejects.toThrow(
      /more than maxEntryBytes 100/,
    )
    expect(await small.getMany([digestOf('large')])).toEqual([undefined])
    await Promise.all([small.close(), large.close()])
  })

  it('never shows the password in an error', async () => {
    const url = `redis://user:hunter%402@127.0.0.1:${secured.port}`
    const tier = createRedisTier({ name: 'redis', url, ...patient })
    const messages: string[] = []
    await eventually(async () => {
      await tier
        .getMany([digestOf('x')])
        .catch((error: Error) => messages.push(`${error.message} ${String(error.stack)}`))
      expect(messages.some((message) => /WRONGPASS|invalid|NOAUTH/.test(message))).toBe(true)
    })
    expect(messages.join()).not.toMatch(/hunter/)
    await tier.close()
    expect(() => createRedisTier({ name: 'r', url: 'http://u:hunter2@h' })).toThrow(/must begin with redis/)
    expect(() => createRedisTier({ name: 'r', url: 'http://u:hunter2@h' })).not.toThrow(/hunter2/)
  })

  it('works on a cluster', async () => {
    const tier = createRedisTier({ name: 'redis', url: node.url, cluster: true, ...patient })
    const setup = createRedisTier({ name: 'setup', url: node.url, ...patient })
    await eventually(() =>
      setup.getMany([digestOf('x')]).catch((error) => expect(`${error}`).toMatch(/CLUSTERDOWN|slot/)),
    )
    await assignSlots(node.port)
    const digests = Array.from({ length: 40 }, (_, n) => digestOf(`${n}`))
    await eventually(() =>
      Promise.all(digests.map((digest, n) => tier.set(digest, Buffer.from(`${n}`), 60_000))),
    )
    const found = await tier.getMany(digests)
    expect(found.map((value) => Number(Buffer.from(value as Uint8Array)))).toEqual(digests.map((_, n) => n))
    await Promise.all([tier.close(), setup.close()])
  })
})

/** Gives the only node of the cluster every slot. */
async function assignSlots(port: number): Promise<void> {
  const { connect } = await import('node:net')
  const socket = connect(port, '127.0.0.1')
  const reply = new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
  socket.write('CLUSTER ADDSLOTSRANGE 0 16383\r\n')
  expect(String(await reply)).toBe('+OK\r\n')
  socket.destroy()
}
