import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { digestOf } from '../../src/core/key.ts'
import { guardTier } from '../../src/data/cache/tiers/guard.ts'
import { createRedisStore, createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import { Unwritable } from '../../src/data/cache/tiers/tier.ts'
import { tierContract } from '../../src/testing/tier.ts'
import { SELF_SIGNED } from '../support/certificate.ts'
import { eventually } from '../support/eventually.ts'
import { faultProxy } from '../support/fault-proxy.ts'
import { redisSays, startRedis, type TestServer } from '../support/servers.ts'

// Generous where the test is not about time: the machine may be busy.
const patient = { readTimeout: 2_000, writeTimeout: 2_000 }

const ROOT = join(import.meta.dirname, '..', '..')
/** What the guide says that a user of the gateway's needs. */
const GUIDE = readFileSync(join(ROOT, 'docs', 'guide', 'shared-tiers.md'), 'utf8')
const RULES =
  /^ACL SETUSER infergate on >PASSWORD (~(?:.*\\\n)*.*)$/m.exec(GUIDE)?.[1]?.replaceAll('\\\n', '') ?? ''
const COMMANDS = [...RULES.matchAll(/\+(\S+)/g)].map(([, command]) => command as string)

let acl: TestServer
let server: TestServer
let secured: TestServer
let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'redis-socket-'))
  server = await startRedis({ args: ['--unixsocket', join(folder, 'redis.sock')] })
  secured = await startRedis({ args: ['--requirepass', 'se/cret'] })
  acl = await startRedis()
  expect(await redisSays(acl.port, `ACL SETUSER infergate on >hunter2 ${RULES}`)).toMatch(/OK/)
})
afterAll(async () => {
  await Promise.all([server, secured, acl].map((each) => each?.stop()))
  await rm(folder, { recursive: true, force: true })
})

tierContract('redis', async () => createRedisTier({ name: 'redis', url: server.url, ...patient }))
tierContract('redis with a password', async () => {
  const url = `redis://:se%2Fcret@127.0.0.1:${secured.port}/2`
  return createRedisTier({ name: 'redis', url, ...patient })
})

tierContract('redis at a Unix socket', async () =>
  createRedisTier({ name: 'redis', url: `unix://${join(folder, 'redis.sock')}?db=3`, ...patient }),
)

tierContract('redis for a user who may do what the guide says', async () => {
  const url = `redis://infergate:hunter2@127.0.0.1:${acl.port}`
  return createRedisTier({ name: 'redis', url, ...patient })
})

/** What listens where Redis is expected: a web server, one behind TLS, and a mail server. */
async function strangers() {
  const trusted = tls.getCACertificates()
  tls.setDefaultCACertificates([...trusted, SELF_SIGNED.cert])
  const servers = [
    http.createServer(),
    https.createServer(SELF_SIGNED),
    net.createServer((socket) => socket.on('error', () => {}).end('220 mail.test ESMTP\r\n')),
  ] as const
  for (const each of servers) each.listen(0, '127.0.0.1')
  await Promise.all(servers.map((each) => once(each, 'listening')))
  const [plain, secure, mail] = servers.map((each) => each.address() as net.AddressInfo) as [
    net.AddressInfo,
    net.AddressInfo,
    net.AddressInfo,
  ]
  return {
    plain,
    secure,
    mail,
    close() {
      tls.setDefaultCACertificates(trusted)
      for (const each of servers) each.close()
    },
  }
}

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

  it('tells at the start why it is refused, and never with the password', async () => {
    for (const line of [
      'ACL SETUSER gw on >hunter2 ~ig1:* &ig1:* +@all -publish',
      'ACL SETUSER keys on >hunter2 ~other:* &* +@all',
    ])
      expect(await redisSays(acl.port, line)).toMatch(/OK/)
    const http = await strangers()
    const node = await startRedis({ cluster: 'empty' })
    const at = ({ port }: { port: number }) => `127.0.0.1:${port}`
    const refused: readonly (readonly [url: string, reason: RegExp, cluster?: boolean])[] = [
      [`redis://:hunter2@${at(secured)}`, /WRONGPASS/],
      [`redis://${at(secured)}`, /wants a password \(NOAUTH\)/],
      [`redis://:hunter2@${at(server)}`, /no password for this user/],
      [`redis://${at(server)}/99`, /no such database/],
      [`rediss://:hunter2@${at(server)}`, /speaks no TLS on this port; write redis:/],
      [`redis://gw:hunter2@${at(acl)}`, /the command PUBLISH \(NOPERM\)/],
      [`redis://keys:hunter2@${at(acl)}`, /our keys and channels \(NOPERM\)/],
      [`redis://${at(server)}`, /is no cluster; take "cluster: true" out/, true],
      [`redis://${at(node)}`, /is a node of a cluster; set "cluster: true"/],
      [`redis://${at(http.plain)}`, /speaks HTTP on this port, and is no Redis/],
      [`rediss://:hunter2@${at(http.secure)}`, /speaks HTTP on this port, and is no Redis/],
    ]
    await Promise.all(
      refused.map(async ([url, reason, cluster = false]) => {
        const tier = createRedisTier({ name: 'redis', url, cluster, connectTimeout: 500 })
        await eventually(() => expect(tier.refusal ?? tier.trouble).toMatch(reason))
        expect(tier.refusal).toMatch(reason)
        expect([tier.connected, `${tier.refusal}`.includes('hunter2')]).toEqual([false, false])
        await expect(tier.getMany([digestOf('x')])).rejects.toThrow(reason)
        await tier.close()
      }),
    )
    // What is not there, or is something else, may be right by the time it comes back.
    const other = createRedisTier({ name: 'redis', url: `redis://${at(http.mail)}` })
    await eventually(() => expect(other.trouble).toMatch(/is no RESP/))
    expect(other.refusal).toBeUndefined()
    await other.close()
    http.close()
    await node.stop()
  })

  it('refuses a URL that is none, with what mends it', () => {
    const open = (url: string, cluster = false) => createRedisTier({ name: 'r', url, cluster })
    expect(() => open('redis://:50%off@h')).toThrow(
      /a % in the user or the password of the url is written %25/,
    )
    expect(() => open('redis://:hunter2@h/x')).toThrow(/may end with \/NUMBER/)
    expect(() => open('redis://h?family=6')).toThrow(/may end with \/NUMBER/)
    expect(() => open('redis://:hunter2@h/3', true)).toThrow(/a cluster has database 0 only; take \/3 out/)
  })

  it('names each command that its user may not use', async () => {
    const { port } = acl
    await Promise.all(
      COMMANDS.map(async (command) => {
        const user = `no-${command}`
        expect(await redisSays(port, `ACL SETUSER ${user} on >hunter2 ${RULES} -${command}`)).toMatch(/OK/)
        const url = `redis://${user}:hunter2@127.0.0.1:${port}`
        const tier = createRedisTier({ name: 'redis', url, connectTimeout: 2_000 })
        tier.hints?.listen(() => {})
        const refused = `the user may not use the command ${command.toUpperCase()} (NOPERM)`
        // Where there is no failover to notice, the server need not say who it is.
        if (command === 'info') await eventually(() => expect(tier.connected).toBe(true))
        else await eventually(() => expect(tier.refusal).toContain(refused))
        await tier.close()
      }),
    )
  })

  it('has scripts that call no command besides those', () => {
    const sources = globSync('src/**/*.ts', { cwd: ROOT }).map((file) =>
      readFileSync(join(ROOT, file), 'utf8'),
    )
    const called = sources.flatMap((source) => [...source.matchAll(/redis\.p?call\('([A-Z]+)'/g)])
    const names = new Set(called.map(([, name]) => (name as string).toLowerCase()))
    expect(names.size).toBeGreaterThan(10)
    expect([...names].filter((name) => !COMMANDS.includes(name))).toEqual([])
  })

  it('is back by itself once the reason why it was refused is gone', async () => {
    const changing = await startRedis({ args: ['--requirepass', 'new'] })
    const tier = createRedisTier({
      name: 'redis',
      url: `redis://:old@127.0.0.1:${changing.port}`,
      ...patient,
    })
    await eventually(() => expect(tier.refusal).toMatch(/WRONGPASS/))
    const socket = net.connect(changing.port, '127.0.0.1')
    socket.write('AUTH new\r\nCONFIG SET requirepass old\r\n')
    await eventually(() => tier.set(digestOf('x'), Buffer.from('v'), 1_000), { timeoutMs: 10_000 })
    expect(tier.refusal).toBeUndefined()
    socket.destroy()
    await tier.close()
    await changing.stop()
  })

  it('gives what is there and says what it cannot write where Redis is full', async () => {
    const full = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] })
    const tier = createRedisTier({ name: 'redis', url: full.url, ...patient })
    const [known, absent] = [digestOf('known'), digestOf('absent')]
    await eventually(() => tier.set(known, Buffer.from('v'), 60_000))
    expect(await tier.claim('fact', 'first')).toBe('first')
    expect(await redisSays(full.port, 'CONFIG SET maxmemory 100kb')).toMatch(/OK/)
    await expect(tier.set(absent, Buffer.from('v'), 60_000)).rejects.toThrow(Unwritable)
    await expect(tier.claim('other', 'x')).rejects.toThrow(Unwritable)
    expect(await tier.claim('fact', 'second')).toBe('first')
    expect(await tier.leases?.acquire([{ digest: absent }, { digest: known }], 'token', 1_000)).toMatchObject(
      [{ kind: 'none' }, { kind: 'value' }],
    )
    await tier.close()
    await full.stop()
  })

  it('finds the new primary behind the same address after a failover', async () => {
    const [old, next] = [await startRedis(), await startRedis()]
    let primary = old.port
    // A service, a proxy, an address that moves: open connections stay where they are.
    const front = net.createServer((client) => {
      const upstream = net.connect(primary, '127.0.0.1')
      client.pipe(upstream).pipe(client)
      for (const socket of [client, upstream])
        socket.on('error', () => {}).on('close', () => [client, upstream].map((each) => each.destroy()))
    })
    front.listen(0, '127.0.0.1')
    await once(front, 'listening')
    const url = `redis://127.0.0.1:${(front.address() as net.AddressInfo).port}`
    const tier = createRedisTier({ name: 'redis', url, ...patient })
    const store = createRedisStore({ name: 'store', url })
    const tell = () =>
      store.run("redis.call('SET', KEYS[1], '1') return redis.call('GET', KEYS[1])", ['k'], [])
    await eventually(() => tier.set(digestOf('x'), Buffer.from('old'), 60_000))
    await eventually(tell)
    expect(await redisSays(old.port, `REPLICAOF 127.0.0.1 ${next.port}`)).toMatch(/OK/)
    primary = next.port
    await expect(tier.set(digestOf('x'), Buffer.from('new'), 60_000)).rejects.toThrow(/READONLY|cannot serve/)
    await eventually(() => tier.set(digestOf('x'), Buffer.from('new'), 60_000))
    expect(String((await tier.getMany([digestOf('x')]))[0])).toBe('new')
    expect(await eventually(tell)).toBe('1')
    store.close()
    await tier.close()
    front.close()
    await Promise.all([old.stop(), next.stop()])
  })
})
