/**
 * Whatever a source of backends, a backend itself or a receiver of signals answers, the process lives, what is understood of it
 * is used, and what comes out is well formed. Real sockets; only the pauses between two questions are shortened.
 */
import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readMetadata, readStatus } from '../../src/control/deployments/version-answer.ts'
import { createConsulSource } from '../../src/control/discovery/consul.ts'
import { createDnsSource } from '../../src/control/discovery/dns.ts'
import { backendsIn, createFileSource } from '../../src/control/discovery/file.ts'
import { createKubernetesSource } from '../../src/control/discovery/kubernetes.ts'
import type { DiscoverySource, Snapshot } from '../../src/control/discovery/source.ts'
import { createProbe } from '../../src/control/health/probe.ts'
import { readRecord } from '../../src/control/registry/shared-members.ts'
import { Signatures } from '../../src/control/registry/signatures.ts'
import { createKubernetesScale } from '../../src/control/scale/kubernetes.ts'
import { createWebhook } from '../../src/control/scale/webhook.ts'
import { createAddressRules } from '../../src/core/addresses.ts'
import { silentLog } from '../../src/core/log.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'
import { signalFor } from '../support/signals.ts'
import { junk, spoiled } from '../support/spoiled.ts'

const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(Math.min(ms, 1), run) }
const log = silentLog
const around = { clock, log, random: () => 0 }

const escaped: unknown[] = []
const escape = (error: unknown): void => void escaped.push(error)
const cleanup: (() => unknown)[] = []
beforeEach(() => void process.on('unhandledRejection', escape))
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
  process.off('unhandledRejection', escape)
  expect(escaped.splice(0)).toEqual([])
})

const runs = (count: number, arbitrary: fc.Arbitrary<unknown>): unknown[] => fc.sample(arbitrary, count)

/** A server that gives one answer after the other, and the last for ever. */
async function answering(bodies: readonly unknown[], headers: () => Record<string, string> = () => ({})) {
  let at = 0
  const server = createServer((_, response: ServerResponse) => {
    const body = bodies[Math.min(at++, bodies.length - 1)]
    response.writeHead(200, headers())
    response.end(Buffer.isBuffer(body) ? body : typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    isThrough: () => at >= bodies.length,
  }
}

/** Everything the source has said, each of it as the registry may take it. */
function following(source: DiscoverySource): Snapshot[] {
  const said: Snapshot[] = []
  source.start((snapshot) => {
    for (const { url = '', weight = 1, zone = 'z', instance = 'i', labels = {} } of snapshot) {
      expect(new URL(url).origin).toBe(url)
      expect(weight).toBeGreaterThan(0)
      for (const text of [zone, instance, ...Object.values(labels)]) expect(text).toMatch(/^[^\s\0]{1,256}$/)
    }
    said.push(snapshot)
  })
  cleanup.push(() => source.stop())
  return said
}

/** Which they are; in what order they were told depends on the events before. */
const urls = (said: readonly Snapshot[]) =>
  said
    .at(-1)
    ?.map(({ url }) => url)
    .sort()
const HIGH = { timeoutMs: 60_000 }

const ENTRY = {
  Node: { Address: '10.0.0.9', Datacenter: 'dc1' },
  Service: { ID: 'a', Address: '10.0.0.1', Port: 8501, Weights: { Passing: 2 } },
}

it('a Consul agent', async () => {
  const good = { Service: { Address: '10.0.0.2', Port: 8501 } }
  const odd = runs(
    150,
    fc.oneof(
      junk,
      spoiled([ENTRY]),
      spoiled(ENTRY).map((entry) => [entry, good]),
    ),
  )
  const agent = await answering([...odd, Buffer.from('[{"Node"'), [{ toString: 1 }, good]])
  const source = createConsulSource({ ...around, address: agent.url, service: 'ranker', token: undefined })
  const said = following(source)
  await eventually(() => expect(agent.isThrough()).toBe(true), HIGH)
  await eventually(() => expect(urls(said)).toEqual(['http://10.0.0.2:8501']))
})

const SLICE = {
  metadata: { name: 'ranker-1', resourceVersion: '7' },
  addressType: 'IPv4',
  endpoints: [
    { addresses: ['10.0.0.1'], conditions: { ready: true }, zone: 'a', targetRef: { uid: 'u', name: 'p' } },
  ],
  ports: [{ name: 'http', port: 8501, protocol: 'TCP' }],
}
const OTHER = {
  metadata: { name: 'ranker-2' },
  endpoints: [{ addresses: ['10.0.0.2'] }],
  ports: [{ port: 8501 }],
}

it('a Kubernetes API server', async () => {
  const list = { metadata: { resourceVersion: '5' }, items: [SLICE, OTHER] }
  const event = { type: 'MODIFIED', object: SLICE }
  const bad = fc.oneof(junk, spoiled(list), spoiled(event), spoiled({ ...event, type: 'ERROR' }))
  const lines = fc
    .array(bad, { minLength: 1, maxLength: 4 })
    .map((all) => all.map((one) => JSON.stringify(one)).join('\n'))
  const server = await answering([
    // Each is waited for a tenth of a second where it is taken for the end of a watch.
    ...runs(80, fc.oneof(bad, lines)),
    { ...list, metadata: { resourceVersion: '\ud800' } },
    '\n',
    // Whether it lists or watches by then: what comes next is taken for a list.
    `${JSON.stringify({ type: 'ERROR', object: { code: 410 } })}\n`,
    { ...list, items: [SLICE, null, OTHER] },
  ])
  const said = following(
    createKubernetesSource({
      ...around,
      namespace: 'ml',
      service: 'ranker',
      port: undefined,
      server: async () => ({ url: server.url, token: undefined, ca: undefined }),
    }),
  )
  await eventually(() => expect(server.isThrough()).toBe(true), HIGH)
  await eventually(() => expect(urls(said)).toEqual(['http://10.0.0.1:8501', 'http://10.0.0.2:8501']))
})

it('a DNS server', async () => {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  cleanup.push(() => new Promise<void>((resolve) => socket.close(() => resolve())))
  const odd = fc.sample(fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.boolean()), 60)
  let at = 0
  socket.on('message', (query, from) => {
    const [bytes, isReply] = odd[at++ % odd.length] as (typeof odd)[number]
    // Half of them look like an answer to this question, with records of any kind.
    const head = Buffer.from(query)
    head.writeUInt16BE(0x8180, 2)
    head.writeUInt16BE(3, 6)
    socket.send(isReply ? Buffer.concat([head, bytes]) : bytes, from.port, from.address)
  })
  const resolver = new Resolver({ timeout: 20, tries: 1 })
  resolver.setServers([`127.0.0.1:${socket.address().port}`])
  for (const record of ['a', 'srv'] as const)
    following(createDnsSource({ ...around, name: 'ranker.test', record, minIntervalMs: 1, resolver }))
  await eventually(() => expect(at).toBeGreaterThan(120), HIGH)
})

it('a file', async () => {
  const whole = [{ url: 'http://10.0.0.1:8501', weight: 2, zone: 'a', models: [{ name: 'm', version: '1' }] }]
  fc.assert(
    fc.property(fc.oneof(junk, spoiled(whole), spoiled({ backends: whole })), (value) => {
      try {
        for (const { url = '' } of backendsIn(value)) expect(URL.canParse(url)).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(Error)
        expect((error as Error).message).toMatch(/backend|list|weight|model|zone|URL|expected/)
      }
    }),
  )
  const folder = await mkdtemp(join(tmpdir(), 'infergate-'))
  cleanup.push(() => rm(folder, { recursive: true }))
  const path = join(folder, 'backends.json')
  const said = following(createFileSource({ path, clock, log }))
  for (const bytes of fc.sample(fc.uint8Array({ maxLength: 200 }), 20)) await writeFile(path, bytes)
  await writeFile(path, JSON.stringify(whole))
  await eventually(() => expect(urls(said)).toEqual(['http://10.0.0.1:8501']))
})

it('a backend that says what it serves', async () => {
  const V1 = {
    metadata: {
      signature_def: { signature_def: { serving_default: { inputs: { x: { dtype: 'DT_FLOAT' } } } } },
    },
  }
  const V2 = {
    name: 'm',
    versions: ['1'],
    parameters: { revision: 'r' },
    inputs: [{ name: 'x', datatype: 'FP32' }],
  }
  const STATUS = { model_version_status: [{ version: '1', state: 'AVAILABLE' }] }
  fc.assert(
    fc.property(fc.oneof(junk, spoiled(V2), spoiled(STATUS)), (value) => {
      const result = { kind: 'status', status: 200, body: JSON.stringify(value) } as const
      for (const read of [readStatus, readMetadata])
        expect(read(result).kind).toMatch(/^(?:offers|unversioned|other|silent)$/)
    }),
  )
  const server = await answering(runs(100, fc.oneof(junk, spoiled(V1), spoiled(V2))))
  const signatures = new Signatures(createProbe(createAddressRules()))
  const backend = {
    id: 'a',
    slot: 0,
    generation: 1,
    url: server.url,
    weight: 1,
    state: 'ready',
    reason: '',
    models: [{ name: 'm' }],
  } as never
  while (!server.isThrough())
    expect(['string', 'undefined']).toContain(
      typeof (await signatures.check({ backend, others: () => [backend], timeoutMs: 1_000 })),
    )
})

it('who is told how many replicas there should be', async () => {
  const scale = {
    metadata: { resourceVersion: '1', name: 'x' },
    spec: { replicas: 1, scaleTargetRef: { kind: 'Deployment', name: 'x' } },
  }
  const server = await answering(
    runs(120, fc.oneof(junk, spoiled(scale), spoiled({ items: [scale] }))),
    () => ({ location: '\u00e4', 'content-encoding': 'gzip' }),
  )
  const hook = createWebhook({ url: server.url, source: 's', clock, timeoutMs: 500 })
  const object = createKubernetesScale({
    ...around,
    kind: 'Deployment',
    namespace: 'ml',
    name: 'x',
    server: async () => ({ url: server.url, token: undefined, ca: undefined }),
  })
  for (const emitter of [hook, object]) {
    emitter.emit(signalFor('ranker', 3))
    cleanup.push(() => emitter.close())
  }
  await eventually(() => expect(server.isThrough()).toBe(true), HIGH)
})

it('a record of another gateway', () => {
  const record = {
    id: 'a',
    url: 'http://10.0.0.1:1',
    epoch: 1,
    generation: 2,
    models: [{ name: 'm' }],
    weight: 1,
    labels: { a: 'b' },
    ttlMs: 1,
    state: 'present',
    drainMs: 0,
    machine: 'x',
  }
  expect(readRecord(JSON.stringify(record))).toEqual(record)
  fc.assert(
    fc.property(fc.oneof(junk, spoiled(record)), (value) => {
      const read = readRecord(JSON.stringify(value))
      if (read) expect(new URL(read.url ?? '').origin).toBe(read.url)
    }),
  )
  expect(readRecord('{')).toBeUndefined()
  const { url: _, ...grpcOnly } = { ...record, grpc: 'https://10.0.0.1:2' }
  expect(readRecord(JSON.stringify(grpcOnly))).toEqual(grpcOnly)
  for (const other of [{ grpc: 1 }, { grpc: 'http://h/?q' }, { url: undefined }])
    expect(readRecord(JSON.stringify({ ...record, ...other }))).toBeUndefined()
})
