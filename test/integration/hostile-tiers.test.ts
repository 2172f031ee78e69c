/**
 * A server that says anything at all where Redis or Memcached is expected: on connections for commands and for hints, of one
 * server and of a cluster. Nothing it says ends the process (the test would not end well either), every operation
 * settles, and once there is a real server again the tier works.
 */
import { once } from 'node:events'
import net from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createMemcachedTier } from '../../src/data/cache/tiers/memcached.ts'
import { createRedisStore, createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { connectRedis } from '../../src/data/cache/tiers/redis-connection.ts'
import type { Tier } from '../../src/data/cache/tiers/tier.ts'
import { eventually } from '../support/eventually.ts'
import { redisSays, startMemcached, startRedis, startSentinel, type TestServer } from '../support/servers.ts'

/** Stands before a real server: passes on, or says something else, or both. */
interface Liar {
  readonly port: number
  /** What it says instead of each piece of an answer; undefined: the truth. */
  lie: ((truth: Buffer) => Buffer) | undefined
  /** Says something that nobody asked for, on every connection. */
  blurt(bytes: Buffer): void
  close(): Promise<void>
}

async function startLiar(target: number): Promise<Liar> {
  const clients = new Set<net.Socket>()
  const server = net.createServer((client) => {
    clients.add(client)
    const upstream = net.connect(target, '127.0.0.1')
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => {})
      from.on('close', () => {
        clients.delete(client)
        to.destroy()
      })
    }
    client.on('data', (chunk) => upstream.write(chunk))
    upstream.on('data', (chunk: Buffer) => client.write(liar.lie ? liar.lie(chunk) : chunk))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const liar: Liar = {
    port: (server.address() as net.AddressInfo).port,
    lie: undefined,
    blurt(bytes) {
      for (const client of clients) client.write(bytes)
    },
    async close() {
      for (const client of clients) client.destroy()
      server.close()
      await once(server, 'close')
    },
  }
  return liar
}

const extremes = fc
  .constantFrom(
    ...[
      '$-1\r\n',
      '*-1\r\n',
      ':1\r\n',
      '+OK\r\n',
      '*0\r\n',
      '*1\r\n',
      '*3\r\n$7\r\nmessage\r\n',
      '$99999999999\r\n',
    ],
    ...[
      '*30000000\r\n',
      '-MOVED 1 ?:1\r\n',
      '-ASK 9 :0\r\n',
      '-NOSCRIPT\r\n',
      '-\r\n',
      '>3\r\n+x\r\n',
      'END\r\n',
      'VALUE k 0 5\r\n',
    ],
    ...[
      '*3\r\n$9\r\nsubscribe\r\n:1\r\n:1\r\n',
      '*2\r\n*3\r\n:0\r\n:999999999\r\n*1\r\n$-1\r\n',
      '*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n',
      '*2\r\n$12\r\nconfig-epoch\r\n$16\r\n9007199254740993\r\n',
      'STAT item_size_max -7\r\nEND\r\n',
    ],
  )
  .map((text) => Buffer.from(text))
/** Headers of Memcached's binary protocol, with whatever lengths, statuses and numbers. */
const headers = fc
  .record({
    opcode: fc.constantFrom(0, 1, 2, 4, 0x10, 0x20, 0x21),
    status: fc.constantFrom(0, 1, 2, 3, 0x20, 0x82, 0xffff),
    keyLength: fc.constantFrom(0, 4, 0xffff),
    length: fc.constantFrom(0, 4, 70_000, 0xffff_ffff),
    opaque: fc.oneof(fc.nat(60), fc.nat()),
  })
  .map(({ opcode, status, keyLength, length, opaque }) => {
    const bytes = Buffer.alloc(28)
    bytes.set([0x81, opcode])
    bytes.writeUInt16BE(keyLength, 2)
    bytes.writeUInt16BE(status, 6)
    bytes.writeUInt32BE(length, 8)
    bytes.writeUInt32BE(opaque, 12)
    return length === 0 ? bytes.subarray(0, 24) : bytes
  })
const junk = fc.oneof(
  extremes,
  headers,
  fc
    .tuple(extremes, fc.constantFrom(2, 600, 20_000))
    .map(([bytes, n]) => Buffer.concat(Array<Buffer>(n).fill(bytes))),
  fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
)
const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 })
/** In place of the truth, before it, behind it, or the truth with some bytes changed. */
const lies = fc.oneof(
  junk.map((bytes) => () => bytes),
  junk.map((bytes) => (truth: Buffer) => Buffer.concat([bytes, truth])),
  junk.map((bytes) => (truth: Buffer) => Buffer.concat([truth, bytes])),
  flips.map((changes) => (truth: Buffer) => {
    const bytes = Buffer.from(truth)
    for (const [at, byte] of changes) bytes[at % bytes.length] = byte
    return bytes
  }),
)

const times = { readTimeout: 20, writeTimeout: 40, connectTimeout: 60 }

async function busy(tier: Tier): Promise<void> {
  const digests = [digestOf('a'), digestOf('b')]
  tier.hints?.send()
  await Promise.allSettled([
    tier.getMany(digests),
    tier.set(digests[0] as never, Buffer.from('v'), 60_000),
    tier.delete(digests[1] as never),
    tier.claim('f', 'v'),
    tier.facts(['f', 'g']),
    tier.leases?.acquire([{ digest: digests[1] as never }], 't', 1_000),
    tier.leases?.release(digests, 't'),
  ])
}

let redis: TestServer
let node: TestServer
let memcached: TestServer
let sentinel: TestServer
beforeAll(async () => {
  redis = await startRedis()
  node = await startRedis({ cluster: true })
  memcached = await startMemcached()
  sentinel = await startSentinel({ name: 'main', primary: redis, quorum: 1 })
})
afterAll(async () => {
  await Promise.all([redis, node, memcached, sentinel].map((each) => each?.stop()))
})

interface Kind {
  readonly server: () => TestServer
  readonly open: (port: number) => Tier
}

const behindSentinel = (port: number) => ({
  url: 'redis://main',
  sentinel: { nodes: [`127.0.0.1:${port}`] },
})

const kinds: Record<string, Kind> = {
  redis: {
    server: () => redis,
    open: (port) => createRedisTier({ name: 'r', url: `redis://127.0.0.1:${port}`, ...times }),
  },
  'a cluster': {
    server: () => node,
    open: (port) => createRedisTier({ name: 'c', url: `redis://127.0.0.1:${port}`, cluster: true, ...times }),
  },
  'a sentinel': {
    server: () => sentinel,
    open: (port) => createRedisTier({ name: 's', ...behindSentinel(port), ...times }),
  },
  memcached: {
    server: () => memcached,
    open: (port) => createMemcachedTier({ name: 'm', servers: [`127.0.0.1:${port}`], ...times }),
  },
}

const SUBSCRIBE = ['SUBSCRIBE', 'c'] as const
/** What ended the process once, inside the client's parser; issue 10, B11. */
it.each([
  ['an answer nobody asked for', undefined, '$-1\r\n', /nobody asked/],
  ['arrays without end', ['GET', 'k'], '*1\r\n'.repeat(20_000), /without end/],
  ['many places for nothing', ['GET', 'k'], '*30000000\r\n', /an array of/],
  ['a number for SUBSCRIBE', SUBSCRIBE, ':1\r\n', /undefined/],
  ['nothing for SUBSCRIBE', SUBSCRIBE, '$-1\r\n', /null/],
  ['a message that is none', SUBSCRIBE, '*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*1\r\n$-1\r\n', /null/],
  ['TLS', ['GET', 'k'], '\x15\x03\x01\r\n', /in TLS/],
] as const)('%s ends the connection, with the reason', async (_, args, said, reason) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    if (args) socket.once('data', () => socket.write(said, 'latin1'))
    else socket.write(said, 'latin1')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const bounds = { maxBytes: 1000, ...(args === SUBSCRIBE ? { isSubscriber: true, heard() {} } : {}) }
  const reasons: string[] = []
  const events = { met() {}, over: ({ message }: Error) => void reasons.push(message) }
  const { opened, client, end } = connectRedis({ host: '127.0.0.1', port }, bounds, events)
  // One that has ended before anything was asked need not open.
  if (args) await opened.then(() => void client([{ args }]).catch(() => {}))
  await eventually(() => expect(reasons[0]).toMatch(reason))
  end(new Error('closed'))
  server.close()
})

describe.each(Object.entries(kinds))('where %s is expected', (name, { server, open }) => {
  it('whatever is said, everything settles and nothing ends', async () => {
    const liar = await startLiar(server().port)
    // All that a cluster says of itself leads to the liar as well.
    if (name === 'a cluster') await redisSays(node.port, `CONFIG SET cluster-announce-port ${liar.port}`)
    const tier = open(liar.port)
    let heard = 0
    tier.hints?.listen(() => heard++)
    const store =
      name === 'memcached'
        ? undefined
        : createRedisStore({
            name: 's',
            ...(name === 'a sentinel'
              ? behindSentinel(liar.port)
              : { url: `redis://127.0.0.1:${liar.port}`, cluster: name !== 'redis' }),
            ...times,
          })
    await eventually(() => expect(tier.connected).toBe(true), { timeoutMs: 15_000 })
    await fc.assert(
      fc.asyncProperty(lies, fc.option(junk), async (lie, said) => {
        liar.lie = lie
        if (said) liar.blurt(said)
        await Promise.all([busy(tier), store?.run('return {1, KEYS[1]}', ['{k}'], []).catch(() => {})])
        liar.lie = undefined
        // Half the time on a connection that works: the others are being made anew.
        await eventually(() => expect(tier.connected).toBe(true), { timeoutMs: 200 }).catch(() => {})
      }),
      { numRuns: 25 },
    )
    liar.lie = undefined
    const guard = guardTier(tier, times)
    const digest = digestOf('afterwards')
    await eventually(
      async () => {
        expect(await guard.set(digest, Buffer.from('well'), 60_000)).toBe(true)
        expect(String((await guard.getMany([digest]))[0])).toBe('well')
        if (store) expect(await store.run('return {1, KEYS[1]}', ['{k}'], [])).toEqual([1, 'ig1:{k}'])
      },
      { timeoutMs: 15_000 },
    )
    if (tier.hints) {
      const before = heard
      await eventually(() => {
        tier.hints?.send()
        expect(heard).toBeGreaterThan(before)
      })
    }
    store?.close()
    await guard.close()
    await liar.close()
  }, 60_000)
})
