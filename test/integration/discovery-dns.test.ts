/** The DNS source with node's own resolver against a name server on real UDP. */
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import net from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { createDnsSource } from '../../src/control/discovery/dns.ts'
import type { Snapshot } from '../../src/control/discovery/source.ts'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { type DnsRecord, startDns } from '../support/dns-server.ts'
import { eventually } from '../support/eventually.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

async function setUp(record: 'a' | 'srv', zone: Record<string, readonly DnsRecord[]>) {
  const server = await startDns()
  cleanup.push(() => server.close())
  for (const [name, records] of Object.entries(zone)) server.zone.set(name, records)
  const resolver = new Resolver({ timeout: 200, tries: 1 })
  resolver.setServers([server.address])
  const snapshots: Snapshot[] = []
  const source = createDnsSource({
    name: 'ranker.test',
    record,
    port: 8000,
    minIntervalMs: 20,
    clock: systemClock,
    log: silentLog,
    random: () => 0,
    resolver,
  })
  cleanup.push(() => source.stop())
  source.start((snapshot) => void snapshots.push(snapshot))
  const urls = () => snapshots.at(-1)?.map(({ url }) => url)
  const asked = async (more: number) => {
    const before = server.asked
    await eventually(() => expect(server.asked).toBeGreaterThanOrEqual(before + more))
  }
  return { server, snapshots, urls, asked }
}

const a = (address: string): DnsRecord => ({ type: 'A', address, ttl: 0 })

it('addresses of both families are found, and followed as they change', async () => {
  const { server, urls } = await setUp('a', {
    'ranker.test': [a('10.0.0.1'), { type: 'AAAA', address: 'fd00::7', ttl: 0 }],
  })
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.1:8000', 'http://[fd00::7]:8000']))
  server.zone.set('ranker.test', [a('10.0.0.2')])
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.2:8000']))
})

it('SRV records are found with the addresses of their targets', async () => {
  const { urls } = await setUp('srv', {
    'ranker.test': [{ type: 'SRV', target: 'a.test', port: 8501, priority: 1, weight: 3, ttl: 0 }],
    'a.test': [a('10.0.0.1'), a('10.0.0.2')],
  })
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.1:8501', 'http://10.0.0.2:8501']))
})

it('a target of SRV records that does not exist does not hold back the others', async () => {
  const at = (target: string) =>
    ({ type: 'SRV', target, port: 8501, priority: 1, weight: 3, ttl: 0 }) as const
  const { urls } = await setUp('srv', {
    'ranker.test': [at('a.test'), at('gone.test')],
    'a.test': [a('10.0.0.1')],
  })
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.1:8501']))
})

it.each(['servfail', 'mute', 'nxdomain'] as const)(
  'a name server that is %s changes nothing',
  async (fault) => {
    const { server, snapshots, urls, asked } = await setUp('a', { 'ranker.test': [a('10.0.0.1')] })
    await eventually(() => expect(urls()).toEqual(['http://10.0.0.1:8000']))
    if (fault === 'nxdomain') server.zone.clear()
    else server.fault = fault
    await asked(4)
    expect(snapshots.every((snapshot) => snapshot.length === 1)).toBe(true)
    server.fault = 'none'
    server.zone.set('ranker.test', [a('10.0.0.3')])
    await eventually(() => expect(urls()).toEqual(['http://10.0.0.3:8000']))
  },
)

it.each<[string, (socket: net.Socket) => void]>([
  ['says nothing', () => {}],
  ['closes', (socket) => void socket.destroy()],
  ['sends an answer byte by byte', (socket) => trickle(socket)],
  ['sends without end', (socket) => flood(socket)],
])('a name server that refers to TCP and there %s takes nobody out', async (_name, talk) => {
  const { server, snapshots, urls, asked } = await setUp('a', { 'ranker.test': [a('10.0.0.1')] })
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.1:8000']))
  const tcp = net.createServer((socket) => talk(socket.on('error', () => {})))
  await once(tcp.listen(Number(server.address.split(':')[1]), '127.0.0.1'), 'listening')
  cleanup.push(() => tcp.close())
  server.fault = 'truncated'
  // Of an answer that was under way.
  await asked(4)
  const before = snapshots.length
  await asked(4)
  expect([snapshots.length, urls()]).toEqual([before, ['http://10.0.0.1:8000']])
  server.fault = 'none'
  server.zone.set('ranker.test', [a('10.0.0.2')])
  await eventually(() => expect(urls()).toEqual(['http://10.0.0.2:8000']), { timeoutMs: 10_000 })
})

/** The longest answer, at a byte each 5 ms. */
function trickle(socket: net.Socket): void {
  socket.write(Buffer.from([255, 255]))
  const timer = setInterval(() => socket.write('x'), 5)
  socket.on('close', () => clearInterval(timer))
}

function flood(socket: net.Socket): void {
  const piece = Buffer.alloc(64 << 10, 7)
  const more = () => {
    while (!socket.destroyed && socket.write(piece));
  }
  socket.on('drain', more)
  more()
}

it('a name that has no address any more is an empty snapshot', async () => {
  const { server, urls } = await setUp('a', { 'ranker.test': [a('10.0.0.1')] })
  await eventually(() => expect(urls()).toHaveLength(1))
  server.zone.set('ranker.test', [])
  await eventually(() => expect(urls()).toEqual([]))
})
