/** Two gateways that share one real Redis: a herd over both costs one load, whatever becomes of the one who loads. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Digest, digestOf } from '../../src/core/key.ts'
import { createMemory } from '../../src/data/cache/memory/memory.ts'
import { createTiered, type Tiered } from '../../src/data/cache/tiered.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { Flights } from '../../src/data/flight/flights.ts'
import { Leases } from '../../src/data/flight/leases.ts'
import { leaseTierContract } from '../../src/testing/lease-tier.ts'
import { anEntry } from '../support/entries.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { freePort, startRedis, type TestServer } from '../support/servers.ts'

const patient = { readTimeout: 2_000, writeTimeout: 2_000 }

let server: TestServer
let node: TestServer
beforeAll(async () => {
  server = await startRedis()
  node = await startRedis({
    args: [
      ...['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
      ...['--cluster-port', `${await freePort()}`, '--cluster-config-file', 'nodes.conf'],
    ],
  })
})
afterAll(async () => {
  await Promise.all([server, node].map((each) => each?.stop()))
})

leaseTierContract('redis', async () => [
  createRedisTier({ name: 'a', url: server.url, ...patient }),
  createRedisTier({ name: 'b', url: server.url, ...patient }),
])

leaseTierContract('redis as a cluster', async () => {
  await eventually(() => giveAllSlots(node.port))
  return [
    createRedisTier({ name: 'a', url: node.url, cluster: true, ...patient }),
    createRedisTier({ name: 'b', url: node.url, cluster: true, ...patient }),
  ]
})

async function giveAllSlots(port: number): Promise<void> {
  const { connect } = await import('node:net')
  const socket = connect(port, '127.0.0.1')
  const reply = new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
  socket.write('CLUSTER ADDSLOTSRANGE 0 16383\r\n')
  expect(String(await reply)).toMatch(/OK|already busy/)
  socket.destroy()
}

interface GatewayOptions {
  readonly url?: string
  readonly readTimeout?: number
  readonly ttlMs?: number
}

/** A gateway as far as it matters here: memory, Redis behind its guard, flights, leases and a counted backend. */
class Gateway {
  readonly cache: Tiered
  readonly flights = new Flights<string>({ maxWaiters: 1_000 })
  readonly readTimeout: number
  /** What the backend does for a row. */
  backend: (digest: Digest) => Promise<string> = async () => 'answer'
  loads: Digest[] = []
  readonly #leases: Leases

  constructor({ url = server.url, readTimeout = 2_000, ttlMs = 10_000 }: GatewayOptions = {}) {
    this.readTimeout = readTimeout
    const tier = createRedisTier({ name: 'redis', url, readTimeout, writeTimeout: 2_000 })
    this.cache = createTiered({
      memory: createMemory({ maxBytes: 1024 * 1024 }),
      tiers: [guardTier(tier, { readTimeout, writeTimeout: 2_000 })],
    })
    const { leases } = this.cache
    if (!leases) throw new Error('redis has leases')
    this.#leases = new Leases({ leases, ttlMs })
  }

  async connected(): Promise<this> {
    await eventually(async () => expect(await this.cache.facts(['x'])).toBeDefined())
    return this
  }

  ask(digest: Digest, signal = AbortSignal.timeout(10_000)): Promise<string> {
    const flight =
      this.flights.join(digest) ??
      this.flights.open(
        [digest],
        (load) =>
          this.#leases.load({
            digests: load.digests,
            signal: load.signal,
            deadline: performance.now() + 10_000,
            found: (row, value) => {
              const found = this.cache.read(row, value)
              if (found) load.land(row, Buffer.from(found.entry.body).toString())
              return found !== undefined
            },
            fetch: async (rows, holding) => {
              for (const row of rows) {
                this.loads.push(row)
                const body = await this.backend(row)
                const entry = anEntry('', { digest: row, body: Buffer.from(body), createdAt: Date.now() })
                this.cache.store(entry, holding.storing(row))
                load.land(row, body)
              }
            },
          }),
        (error) => `failed: ${String(error)}`,
      )[0]
    if (!flight) throw new Error('no flight')
    return (async () => flight.wait(signal))()
  }
}

let serial = 0
const fresh = (): Digest => digestOf(`leases ${process.pid} ${serial++}`)

async function two(options: GatewayOptions = {}): Promise<[Gateway, Gateway]> {
  const [a, b] = [new Gateway(options), new Gateway(options)]
  await Promise.all([a.connected(), b.connected()])
  return [a, b]
}

async function close(...gateways: Gateway[]): Promise<void> {
  for (const { flights } of gateways) await eventually(() => expect(flights.size).toBe(0))
  await Promise.all(gateways.map(({ cache }) => cache.close()))
}

describe('leases over redis', () => {
  it('I16: 200 callers over two gateways, the first of their kind, reach the backend once', async () => {
    const [a, b] = await two()
    for (const row of [fresh(), fresh(), fresh()]) {
      const { promise: done, resolve } = Promise.withResolvers<string>()
      a.backend = b.backend = () => done
      const asked = Array.from({ length: 200 }, (_, n) => (n % 2 ? a : b).ask(row))
      await eventually(() => expect(a.loads.length + b.loads.length).toBeGreaterThan(0))
      // Both have asked Redis for the lease by then, and one was told to wait.
      await Promise.all([a, b].map(({ cache }) => cache.facts(['x'])))
      resolve(`answer ${row.length}`)
      const answers = await Promise.all(asked)
      expect(new Set(answers)).toEqual(new Set(['answer 32']))
      expect([...a.loads, ...b.loads].filter((loaded) => loaded === row)).toHaveLength(1)
    }
    await close(a, b)
  })

  it('keeps the lease for as long as the backend takes, many times its ttl', async () => {
    const [a, b] = await two({ ttlMs: 400 })
    const row = fresh()
    const { promise: done, resolve } = Promise.withResolvers<string>()
    a.backend = b.backend = (digest) => (digest === row ? done : Promise.resolve('other'))
    const asked = [a.ask(row), b.ask(row)]
    await eventually(() => expect(a.loads.length + b.loads.length).toBe(1))
    // A lease four times as long, which nobody renews, began later and runs out before.
    const other = fresh()
    await createdLease(other, 1_600)
    expect(await a.ask(other)).toBe('other')
    resolve('late')
    expect(await Promise.all(asked)).toEqual(['late', 'late'])
    expect([...a.loads, ...b.loads].filter((loaded) => loaded === row)).toHaveLength(1)
    await close(a, b)
  })

  it('I17: takes over from a gateway that is gone as soon as its lease has run out', async () => {
    const [a, b] = await two()
    const row = fresh()
    await createdLease(row, 400)
    const start = performance.now()
    expect(await Promise.all([a.ask(row), b.ask(row)])).toEqual(['answer', 'answer'])
    expect(a.loads.length + b.loads.length).toBe(1)
    expect(performance.now() - start).toBeGreaterThan(200)
    expect(performance.now() - start).toBeLessThan(2_000)
    await close(a, b)
  })

  it('a load that fails frees the row for the other gateway at once', async () => {
    const [a, b] = await two()
    const row = fresh()
    const { promise: failing, reject } = Promise.withResolvers<string>()
    a.backend = () => failing
    const first = a.ask(row)
    await eventually(() => expect(a.loads).toHaveLength(1))
    const second = b.ask(row)
    reject(new Error('down'))
    const start = performance.now()
    expect(await first).toBe('failed: Error: down')
    expect(await second).toBe('answer')
    expect(performance.now() - start).toBeLessThan(3_000)
    await close(a, b)
  })

  it('refuses what was fetched before a purge, on whichever gateway the purge was', async () => {
    const [a, b] = await two()
    const row = fresh()
    const { promise: old, resolve } = Promise.withResolvers<string>()
    a.backend = () => old
    const first = a.ask(row)
    await eventually(() => expect(a.loads).toHaveLength(1))
    await b.cache.remove(row)
    resolve('old')
    expect(await first).toBe('old')
    await eventually(() => expect(a.cache.stats().tiers[0]).toMatchObject({ failed: 1, stored: 0 }))
    expect(await b.cache.lookup([row])).toEqual([undefined])
    b.backend = async () => 'new'
    expect(await b.ask(row)).toBe('new')
    await close(a, b)
  })

  it('loads without a lease, at once, while redis is frozen, and leaves nobody waiting', async () => {
    const own = await startRedis()
    const [a, b] = await two({ url: own.url, readTimeout: 40 })
    const row = fresh()
    const { promise: done, resolve } = Promise.withResolvers<string>()
    a.backend = () => done
    const first = a.ask(row)
    await eventually(() => expect(a.loads).toHaveLength(1))
    const held = b.ask(row)
    own.freeze()
    expect(await held).toBe('answer')
    const start = performance.now()
    expect(await b.ask(fresh())).toBe('answer')
    // Read timeout and ten milliseconds, and as much again for a busy machine.
    expect(performance.now() - start).toBeLessThan(100)
    resolve('first')
    expect(await first).toBe('first')
    own.thaw()
    await Promise.all([a.cache.close(0), b.cache.close(0)])
    await own.stop()
  })

  it('asks for all rows of a load in one round trip, and sends the script whole only where it is not known', async () => {
    const own = await startRedis()
    const proxy = await faultProxy(own.port)
    const tier = createRedisTier({ name: 'redis', url: `redis://127.0.0.1:${proxy.port}`, ...patient })
    await eventually(() => tier.getMany([fresh()]))
    const wants = () => Array.from({ length: 100 }, () => ({ digest: fresh() }))
    const turns = async () => {
      const before = proxy.chunks
      expect(await tier.leases?.acquire(wants(), 'token', 1_000)).toHaveLength(100)
      return proxy.chunks - before
    }
    expect([await turns(), await turns(), await turns()]).toEqual([2, 1, 1])
    await own.restart()
    await eventually(() => tier.getMany([fresh()]))
    expect([await turns(), await turns()]).toEqual([2, 1])
    await tier.close()
    await proxy.close()
    await own.stop()
  })
})

/** The lease of a gateway that took it and died. */
async function createdLease(row: Digest, ttlMs: number): Promise<void> {
  const tier = createRedisTier({ name: 'dead', url: server.url, ...patient })
  await eventually(() => tier.leases?.acquire([{ digest: row }], 'dead', ttlMs) ?? expect.fail('no leases'))
  await tier.close()
}
