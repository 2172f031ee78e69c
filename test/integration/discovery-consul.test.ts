/** Consul's blocking queries against a scripted agent that speaks the real wire format. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createConsulSource } from '../../src/control/discovery/consul.ts'
import type { Snapshot } from '../../src/control/discovery/source.ts'
import { silentLog } from '../../src/core/log.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const end of cleanup.splice(0).toReversed()) await end()
})

interface Instance {
  readonly id: string
  readonly address: string
  readonly port: number
  readonly weight?: number
  readonly grpcPort?: number
}

/** An agent: a query with an index that is not below the present one waits for the next change. */
async function startAgent() {
  const held: ServerResponse[] = []
  const http = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://agent')
    agent.queries.push(url)
    agent.tokens.push(request.headers['x-consul-token'])
    if (agent.status !== undefined) return void response.writeHead(agent.status).end('No cluster leader')
    if (Number(url.searchParams.get('index') ?? 0) < agent.index) return tell(response)
    held.push(response)
  })
  const tell = (response: ServerResponse) => {
    const body = agent.instances.map(({ id, address, port, weight = 1, grpcPort }) => ({
      Node: { ID: 'f0', Node: 'node-1', Address: '10.9.9.9', Datacenter: 'dc1' },
      Service: {
        ID: id,
        Service: 'ranker',
        Address: address,
        Port: port,
        Weights: { Passing: weight, Warning: 1 },
        TaggedAddresses: {
          lan_ipv4: { Address: address, Port: port },
          ...(grpcPort ? { grpc: { Address: address, Port: grpcPort } } : {}),
        },
      },
      Checks: [{ CheckID: 'serfHealth', Status: 'passing' }],
    }))
    response
      .writeHead(200, { 'content-type': 'application/json', 'x-consul-index': String(agent.index) })
      .end(JSON.stringify(body))
  }
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const agent = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    queries: [] as URL[],
    tokens: [] as unknown[],
    instances: [] as readonly Instance[],
    index: 100,
    status: undefined as number | undefined,
    get held() {
      return held.length
    },
    /** The state at an index, told to all who wait. */
    set(index: number, ...instances: Instance[]) {
      agent.index = index
      agent.instances = instances
      for (const response of held.splice(0)) tell(response)
    },
    cut() {
      for (const response of held.splice(0)) response.destroy()
    },
  }
  cleanup.push(() => {
    http.closeAllConnections()
    return new Promise((resolve) => http.close(resolve))
  })
  return agent
}

async function setUp(...instances: Instance[]) {
  const agent = await startAgent()
  agent.instances = instances
  const snapshots: Snapshot[] = []
  const source = createConsulSource({
    address: agent.url,
    service: 'ranker',
    token: 'acl',
    clock: systemClock,
    log: silentLog,
    random: () => 0,
  })
  cleanup.push(() => source.stop())
  source.start((snapshot) => void snapshots.push(snapshot))
  await eventually(() => expect(agent.held).toBe(1))
  const hosts = () => snapshots.at(-1)?.map(({ url = '' }) => url.slice('http://'.length))
  const lastIndex = () => agent.queries.at(-1)?.searchParams.get('index')
  return { agent, source, snapshots, hosts, lastIndex }
}

const one: Instance = { id: 'ranker-1', address: '10.0.0.1', port: 8000 }
const two: Instance = { id: 'ranker-2', address: '10.0.0.2', port: 8000, weight: 5 }

describe('the instances of a service', () => {
  it('are asked for at once, and then with the index of the last answer', async () => {
    const { agent, snapshots, hosts } = await setUp(one)
    expect(hosts()).toEqual(['10.0.0.1:8000'])
    const [first, second] = agent.queries
    expect(first?.pathname).toBe('/v1/health/service/ranker')
    expect(first?.searchParams.has('passing')).toBe(true)
    expect(first?.searchParams.has('index')).toBe(false)
    expect(second?.searchParams.get('index')).toBe('100')
    expect(second?.searchParams.get('wait')).toBe('300s')
    expect(agent.tokens).toEqual(['acl', 'acl'])
    agent.set(101, one, two)
    await eventually(() => expect(hosts()).toEqual(['10.0.0.1:8000', '10.0.0.2:8000']))
    expect(snapshots.at(-1)?.[1]).toMatchObject({ weight: 5, instance: 'ranker-2', zone: 'dc1' })
  })

  it('are taken up to what a pool holds', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => ({ id: `r${i}`, address: '10.0.0.1', port: 1 + i }))
    const { hosts } = await setUp(...many)
    expect(hosts()).toHaveLength(1024)
    expect(hosts()?.at(-1)).toBe('10.0.0.1:1024')
  })

  it('take gRPC at their tagged address of that name', async () => {
    const { snapshots } = await setUp({ ...one, grpcPort: 9000 }, two)
    expect(snapshots.at(-1)?.map(({ grpc }) => grpc)).toEqual(['http://10.0.0.1:9000', undefined])
  })

  it('without an address are at their node', async () => {
    const { hosts } = await setUp({ ...one, address: '' })
    expect(hosts()).toEqual(['10.9.9.9:8000'])
  })
})

describe('the index', () => {
  it('starts over when it goes back', async () => {
    const { agent, hosts, lastIndex } = await setUp(one)
    agent.set(7, two)
    await eventually(() => expect(agent.held).toBe(1))
    expect(hosts()).toEqual(['10.0.0.2:8000'])
    expect(agent.queries.at(-2)?.searchParams.has('index')).toBe(false)
    expect(lastIndex()).toBe('7')
  })

  it('is never sent when it is not positive', async () => {
    const { agent, hosts } = await setUp(one)
    agent.set(0, two)
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2:8000']))
    await eventually(() => expect(agent.queries.length).toBeGreaterThanOrEqual(3))
    expect(agent.queries.at(-1)?.searchParams.has('index')).toBe(false)
    // With an index that says nothing there is no blocking, and no tight loop either.
    expect(agent.queries.length).toBeLessThan(10)
  })
})

describe('nothing changes when the agent', () => {
  it.each([
    ['cannot answer', (agent: { status: number | undefined }) => (agent.status = 500)],
    ['refuses the token', (agent: { status: number | undefined }) => (agent.status = 403)],
    ['breaks off', () => undefined],
  ])('%s, and it is asked again from the start', async (_name, fault) => {
    const { agent, snapshots, hosts } = await setUp(one)
    const { length } = agent.queries
    fault(agent)
    agent.cut()
    await eventually(() => expect(agent.queries.length).toBeGreaterThan(length))
    expect(agent.queries.at(length)?.searchParams.has('index')).toBe(false)
    expect(hosts()).toEqual(['10.0.0.1:8000'])
    agent.status = undefined
    agent.set(500, two)
    await eventually(() => expect(hosts()).toEqual(['10.0.0.2:8000']))
    expect(snapshots.every((snapshot) => snapshot.length === 1)).toBe(true)
  })
})

it('a refresh asks without waiting for news', async () => {
  const { agent, source, snapshots } = await setUp(one)
  const { length } = snapshots
  source.refresh()
  await eventually(() => expect(snapshots).toHaveLength(length + 1))
  expect(agent.queries.at(-1)?.searchParams.has('index')).toBe(false)
})

it('a refusal that quotes the request is logged without its token', async () => {
  const server = createServer(({ headers }, response) => {
    response.writeHead(403).end(`denied: ${JSON.stringify(headers)}`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => void server.close())
  const warnings: string[] = []
  const source = createConsulSource({
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    service: 'ranker',
    token: 'a-secret-token',
    clock: systemClock,
    log: { ...silentLog, warn: (_, fields) => void warnings.push(JSON.stringify(fields)) },
    random: () => 0,
  })
  cleanup.push(() => source.stop())
  source.start(() => {})
  await eventually(() => expect(warnings).toHaveLength(1))
  expect(warnings[0]).toContain('403')
  expect(warnings[0]).toContain('***')
  expect(warnings[0]).not.toContain('a-secret-token')
})
