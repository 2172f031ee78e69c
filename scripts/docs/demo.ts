/**
 * A gateway as somebody might run it, under a small load: two pools of model servers that register, a Redis tier,
 * tenants and a pool that is scaled. For pictures of the dashboard, and to look at it while it is changed.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as after } from 'node:timers/promises'
import { bundle } from '../bundle.ts'

const ROOT = join(import.meta.dirname, '../..')
const TENANTS = ['checkout', 'search', 'mobile']
/** On the average; of so many different ones. */
const CALLS_PER_SECOND = 220
const KEYS = 20_000
/** Callers who would ask more of a gateway that is late have gone meanwhile. */
const MOST_AT_ONCE = 100

export interface Demo {
  readonly admin: string
  readonly port: number
  /** The address of a model server, by its id. */
  readonly servers: ReadonlyMap<string, ModelServer>
  close(): Promise<void>
}

interface ModelServer {
  readonly url: string
  /** Milliseconds a call takes. */
  ms: number
  /** True: every call and probe is answered 503. */
  isIll: boolean
  readonly server: Server
}

interface Member {
  readonly id: string
  readonly pool: string
  readonly model: string
  readonly version: string
  readonly zone: string
  readonly ms: number
}

const MEMBERS: readonly Member[] = [
  ...[1, 2, 3, 4, 5].map((at) => ({
    id: `ranker-${at}`,
    pool: 'ranking',
    model: 'ranker',
    version: '7',
    zone: at % 2 ? 'eu-west-1a' : 'eu-west-1b',
    ms: 14 + at,
  })),
  ...[1, 2, 3].map((at) => ({
    id: `vision-${at}`,
    pool: 'vision',
    model: 'thumbnails',
    version: '3',
    zone: at % 2 ? 'eu-west-1a' : 'eu-west-1b',
    ms: 60 + 10 * at,
  })),
]

/** Starts everything; resolves when all model servers are ready. */
export async function startDemo(): Promise<Demo> {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-demo-'))
  const redisPort = await freePort()
  const redis = spawn('redis-server', ['--port', `${redisPort}`, '--save', '', '--dir', folder], {
    stdio: 'ignore',
  })
  await bundle(join(ROOT, '.cache', 'gateway'))
  writeFileSync(join(folder, 'infergate.yaml'), settings(folder, redisPort))
  const { child, port, adminPort } = await startGateway(folder)
  const admin = `http://127.0.0.1:${adminPort}`
  const servers = new Map<string, ModelServer>()
  for (const member of MEMBERS) {
    const server = await startModelServer(member.ms)
    servers.set(member.id, server)
    await register(admin, member, server.url)
  }
  const stop = new AbortController()
  await allReady(admin)
  const load = generate(port, stop.signal)
  return {
    admin,
    port,
    servers,
    async close() {
      stop.abort()
      await load
      for (const { server } of servers.values()) server.close().closeAllConnections()
      for (const process of [child, redis]) await ended(process)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function settings(folder: string, redisPort: number): string {
  const keys = TENANTS.map((tenant) => ({ name: tenant, hash: `sha256:${sha256(`key-${tenant}`)}`, tenant }))
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(keys))
  return `
server: { workers: 2 }
log: { access: { sample: 1%, slow: 150ms } }
auth: { keysFile: ${join(folder, 'keys.json')}, required: false }
tenants:
  checkout: { weight: 3, priority: critical }
  search: {}
  mobile: { rate: { requests: 12/s } }
  "*": {}
cache:
  tiers:
    - { name: memory, type: memory, maxBytes: 64MiB }
    - { name: redis, type: redis, url: "redis://127.0.0.1:${redisPort}" }
pools:
  ranking:
    slo: { p95: 120ms }
    scale: { min: 2, max: 8, windows: { fast: 4s, stable: 20s, down: 30s } }
    health: { interval: 500ms }
  vision: { health: { interval: 500ms } }
routes:
  - { name: ranking, pool: ranking, match: { model: ranker }, cache: { scope: shared, rows: always } }
  - { name: vision, pool: vision, match: { model: thumbnails }, cache: { scope: shared } }
`
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

async function startGateway(folder: string) {
  const main = join(ROOT, '.cache', 'gateway', 'main.js')
  const args = [main, 'serve', '--config', join(folder, 'infergate.yaml')]
  const child = spawn(process.execPath, [...args, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, data, admin } = JSON.parse(line) as {
      event: string
      data: { port: number }
      admin: { port: number }
    }
    if (event !== 'gateway.listening') continue
    child.stdout.resume()
    return { child, port: data.port, adminPort: admin.port }
  }
  throw new Error('the gateway has ended')
}

async function startModelServer(ms: number): Promise<ModelServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      response.setHeader('content-type', 'application/json')
      if (found.isIll) return void response.writeHead(503).end('{"error":"out of memory"}')
      if (request.method === 'GET') return void response.end('{"ready":true}')
      const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: number[][] }
      const predictions = instances.map((row) => row.reduce((sum, value) => sum + value, 0))
      setTimeout(() => response.end(JSON.stringify({ predictions })), found.ms * (0.7 + 0.6 * Math.random()))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const found = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ms,
    isIll: false,
    server,
  }
  return found
}

async function register(admin: string, member: Member, url: string): Promise<void> {
  const { pool, id, model, version, zone } = member
  const answer = await fetch(`${admin}/api/v1/pools/${pool}/backends/${id}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      url,
      zone,
      models: [{ name: model, version, digest: `sha256:${sha256(model + version)}` }],
      lease: { ttlMs: 600_000 },
      labels: { build: version },
    }),
  })
  if (!answer.ok) throw new Error(await answer.text())
}

async function allReady(admin: string): Promise<void> {
  for (;;) {
    const { pools } = (await (await fetch(`${admin}/api/v1/pools`)).json()) as {
      pools: { backends: { state: string }[] }[]
    }
    if (pools.every(({ backends }) => backends.every(({ state }) => state === 'ready'))) return
    await after(100)
  }
}

/** Calls at a rate that goes up and down, of which most were made before. */
async function generate(port: number, signal: AbortSignal): Promise<void> {
  const running = new Set<Promise<void>>()
  const began = performance.now()
  let due = 0
  for (let then = began; !signal.aborted; await after(20)) {
    const now = performance.now()
    const wave = 1 + 0.35 * Math.sin((now - began) / 9_000)
    // What a busy machine was late for is sent with the next, as callers would have.
    due += (CALLS_PER_SECOND * wave * (now - then)) / 1_000
    then = now
    for (; due >= 1; due--) {
      if (running.size >= MOST_AT_ONCE) continue
      const call = callOnce(port).finally(() => running.delete(call))
      running.add(call)
    }
  }
  await Promise.all(running)
}

async function callOnce(port: number): Promise<void> {
  const isVision = Math.random() < 0.15
  const tenant = TENANTS[Math.floor(Math.random() ** 2 * TENANTS.length)] ?? ''
  // Zipf's law, more or less.
  const key = Math.floor(KEYS ** Math.random())
  const rows = isVision ? 1 : 1 + Math.floor(4 * Math.random())
  const instances = Array.from({ length: rows }, (_, at) => [key + at, 0.5, isVision ? 1 : 2])
  await fetch(`http://127.0.0.1:${port}/v1/models/${isVision ? 'thumbnails' : 'ranker'}:predict`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(Math.random() < 0.9 ? { 'x-api-key': `key-${tenant}` } : {}),
    },
    body: JSON.stringify({ instances }),
  })
    .then((answer) => answer.arrayBuffer())
    .catch(() => {})
}

async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGINT')
  await gone
}
