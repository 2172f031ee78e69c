/** When DNS is asked again, and which of its answers count, with a resolver and a clock that the test owns. */
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createDnsSource, type DnsOptions, type DnsResolver } from '../../../../src/control/discovery/dns.ts'
import type { Snapshot } from '../../../../src/control/discovery/source.ts'
import { silentLog } from '../../../../src/core/log.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const failing = (code: string) => Promise.reject(Object.assign(new Error(code), { code }))
const settle = async () => {
  for (let i = 0; i < 10; i++) await turn()
}

function setUp(options: Partial<DnsOptions> = {}) {
  const clock = new FakeClock()
  const zone = {
    a: async (_name: string) => [{ address: '10.0.0.1', ttl: 5 }],
    aaaa: async (_name: string): Promise<{ address: string; ttl: number }[]> => failing('ENODATA'),
    srv: async (): Promise<{ name: string; port: number; priority: number; weight: number }[]> =>
      failing('ENODATA'),
    asked: 0,
    cancelled: false,
  }
  const resolver: DnsResolver = {
    resolve4: (name) => {
      zone.asked++
      return zone.a(name)
    },
    resolve6: (name) => zone.aaaa(name),
    resolveSrv: () => {
      zone.asked++
      return zone.srv()
    },
    cancel: () => {
      zone.cancelled = true
    },
  }
  const snapshots: Snapshot[] = []
  const source = createDnsSource({
    name: 'ranker.test',
    record: 'a',
    port: 8000,
    minIntervalMs: 1000,
    clock,
    log: silentLog,
    random: () => 1,
    resolver,
    ...options,
  })
  const last = () => snapshots.at(-1)?.map(({ url }) => url)
  /** Starts it, and lets the first answer come. */
  const start = async () => {
    source.start((snapshot) => void snapshots.push(snapshot))
    await settle()
  }
  const pass = async (ms: number) => {
    clock.advance(ms)
    await settle()
  }
  return { clock, zone, source, snapshots, last, start, pass }
}

it('an address for gRPC is at the port that the settings name', async () => {
  const both = setUp({ grpcPort: 9000 })
  await both.start()
  expect(both.snapshots.at(-1)).toEqual([{ url: 'http://10.0.0.1:8000', grpc: 'http://10.0.0.1:9000' }])
  const targets = setUp({ record: 'srv', grpcPort: 9000 })
  targets.zone.srv = async () => [{ name: 't', port: 8501, priority: 1, weight: 0 }]
  await targets.start()
  expect(targets.snapshots.at(-1)).toMatchObject([
    { url: 'http://10.0.0.1:8501', grpc: 'http://10.0.0.1:9000' },
  ])
})

describe('a name is asked again', () => {
  it.each([
    ['after its TTL', 5, 5000],
    ['not sooner than the shortest interval', 0, 1000],
    ['within a minute, however long the TTL', 86_400, 60_000],
  ])('%s', async (_name, ttl, wanted) => {
    const { zone, pass, start } = setUp()
    zone.a = async () => [{ address: '10.0.0.1', ttl }]
    await start()
    const { asked } = zone
    await pass(wanted - 1)
    expect(zone.asked).toBe(asked)
    await pass(1)
    expect(zone.asked).toBe(asked + 1)
  })

  it('soon when its source is told to look again', async () => {
    const { zone, source, pass, start } = setUp()
    await start()
    source.refresh()
    await pass(0)
    expect(zone.asked).toBe(2)
  })
})

it('A and AAAA count together', async () => {
  const { zone, last, start } = setUp()
  zone.aaaa = async () => [{ address: 'fd00::1', ttl: 5 }]
  await start()
  expect(last()).toEqual(['http://10.0.0.1:8000', 'http://[fd00::1]:8000'])
})

describe('nothing changes when', () => {
  it.each(['ENOTFOUND', 'ETIMEOUT', 'ESERVFAIL', 'ECONNREFUSED'])('the answer is %s', async (code) => {
    const { zone, snapshots, pass, start } = setUp()
    await start()
    zone.a = () => failing(code)
    await pass(5000)
    expect(zone.asked).toBe(2)
    expect(snapshots).toHaveLength(1)
    zone.a = async () => [{ address: '10.0.0.2', ttl: 5 }]
    await pass(1000)
    expect(snapshots).toHaveLength(2)
  })

  it('one half of the answer is missing', async () => {
    const { zone, snapshots, pass, start } = setUp()
    await start()
    zone.aaaa = () => failing('ETIMEOUT')
    await pass(5000)
    expect(snapshots).toHaveLength(1)
  })
})

it('a name without any record is an empty snapshot, and not a failure', async () => {
  const { zone, last, start } = setUp()
  zone.a = () => failing('ENODATA')
  await start()
  expect(last()).toEqual([])
})

it('of SRV records the first priority counts, with ports, weights and the addresses of the targets', async () => {
  const { zone, snapshots, start } = setUp({ record: 'srv' })
  zone.srv = async () => [
    { name: 'a.test', port: 1001, priority: 1, weight: 10 },
    { name: 'b.test', port: 1002, priority: 1, weight: 0 },
    { name: 'c.test', port: 1003, priority: 2, weight: 10 },
  ]
  zone.a = async (name) => [{ address: name === 'a.test' ? '10.0.0.1' : '10.0.0.2', ttl: 5 }]
  await start()
  expect(snapshots).toEqual([
    [
      { url: 'http://10.0.0.1:1001', weight: 10 },
      { url: 'http://10.0.0.2:1002', weight: 1 },
    ],
  ])
})

describe('of SRV targets', () => {
  const srv = (...names: string[]) =>
    names.map((name, i) => ({ name, port: 1000 + i, priority: 1, weight: 1 }))
  const addresses: Record<string, string> = {
    'a.test': '10.0.0.1',
    'b.test': '10.0.0.2',
    'c.test': '10.0.0.3',
  }
  function setUpTargets() {
    const warnings: unknown[] = []
    const log = { ...silentLog, warn: (_: string, fields?: object) => void warnings.push(fields) }
    const all = setUp({ record: 'srv', log })
    const failures: Record<string, string> = {}
    all.zone.srv = async () => srv('a.test', 'b.test')
    all.zone.a = async (name) => {
      const failure = failures[name]
      return failure ? failing(failure) : [{ address: addresses[name] ?? '', ttl: 5 }]
    }
    return { ...all, failures, warnings }
  }

  it('those that do not exist are left out, and said once', async () => {
    const { zone, last, failures, warnings, start, pass } = setUpTargets()
    failures['b.test'] = 'ENOTFOUND'
    await start()
    expect(last()).toEqual(['http://10.0.0.1:1000'])
    expect(warnings).toEqual([{ name: 'ranker.test', missing: ['b.test (ENOTFOUND)'], targets: 1 }])
    // It is asked about again soon, and does not hold back what is new.
    zone.srv = async () => srv('a.test', 'b.test', 'c.test')
    await pass(1000)
    expect(last()).toEqual(['http://10.0.0.1:1000', 'http://10.0.0.3:1002'])
    expect(warnings).toHaveLength(1)
    delete failures['b.test']
    await pass(1000)
    expect(last()).toHaveLength(3)
  })

  it('those that nobody can be asked about keep their last addresses', async () => {
    const { zone, last, failures, warnings, start, pass } = setUpTargets()
    await start()
    failures['b.test'] = 'ETIMEOUT'
    zone.srv = async () => srv('c.test', 'b.test')
    await pass(5000)
    expect(last()).toEqual(['http://10.0.0.3:1000', 'http://10.0.0.2:1001'])
    expect(warnings).toMatchObject([{ missing: ['b.test (ETIMEOUT)'] }])
  })

  it('none can be resolved: the last answer stays', async () => {
    const { snapshots, failures, start, pass } = setUpTargets()
    await start()
    failures['a.test'] = 'ENOTFOUND'
    failures['b.test'] = 'ENOTFOUND'
    await pass(5000)
    expect(snapshots).toHaveLength(1)
  })
})

it('a stopped source asks nothing and leaves no timer', async () => {
  const { clock, zone, source, start } = setUp()
  await start()
  source.stop()
  expect(clock.pending).toBe(0)
  expect(zone.cancelled).toBe(true)
})
