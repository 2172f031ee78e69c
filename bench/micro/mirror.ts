/**
 * What a mirror costs callers whose second pool is of no use: `node bench/micro/mirror.ts [SECONDS]`. Processor time of the gateway (one
 * worker) for a call, and the 99th percentile of its time, on four routes to one backend: without a mirror, with one that hangs and
 * has all its copies on their way, with one that refuses connections, and with one that answers 500; misses, and half of the calls
 * hits. Rounds are interleaved, figures are medians of ratios to the route without. Copies that are answered are second calls, and are not
 * measured here.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, type RequestListener, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { median } from '../lib/stats.ts'

const ROUTES = ['plain', 'hangs', 'refuses', 'fails'] as const
type Name = (typeof ROUTES)[number]
const ROUNDS = 60
const CONNECTIONS = 16
const WARM_UP_MS = 3_000
const seconds = Number(process.argv[2] ?? 0.5)

const backend = await listening((_, response) => {
  response.setHeader('content-type', 'application/json')
  response.end('{"predictions":[0.25]}')
})
const hanging = await listening(() => {})
const failing = await listening((_, response) => void response.writeHead(500).end('{}'))
const folder = mkdtempSync(join(tmpdir(), 'infergate-mirror-'))
const { child, port } = await start()
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
let inputs = 0
for (const name of ROUTES) await load(name, 1, WARM_UP_MS)
for (const hits of [0, 0.5]) await compare(hits)
child.kill('SIGINT')
await once(child, 'exit')
agent.destroy()
for (const { server } of [backend, hanging, failing]) server.close().closeAllConnections()
rmSync(folder, { recursive: true, force: true })

async function compare(hits: number): Promise<void> {
  const figures = new Map<Name, { cpu: number[]; p99: number[] }>(
    ROUTES.map((name) => [name, { cpu: [], p99: [] }]),
  )
  for (let round = 0; round < ROUNDS; round++) {
    // Each comes first as often as the others.
    const order = ROUTES.map((_, at) => ROUTES[(at + round) % ROUTES.length] as Name)
    for (const name of order) {
      const before = cpuMicros(child.pid)
      const times = await load(name, hits, seconds * 1000)
      const micros = cpuMicros(child.pid) - before
      times.sort((a, b) => a - b)
      figures.get(name)?.cpu.push(micros / times.length)
      figures.get(name)?.p99.push(times[Math.floor(times.length * 0.99)] ?? 0)
    }
  }
  console.log(`${hits * 100} % hits, ${ROUNDS} rounds of ${seconds} s:`)
  const plain = figures.get('plain')
  for (const [name, { cpu, p99 }] of figures) {
    const ratio = (of: 'cpu' | 'p99', own: number[]) =>
      median(own.map((value, round) => value / (plain?.[of][round] ?? 0))).toFixed(3)
    console.log(
      `  ${name.padEnd(8)} ${median(cpu).toFixed(1)} µs a call (${ratio('cpu', cpu)}), p99 ${median(p99).toFixed(2)} ms (${ratio('p99', p99)})`,
    )
  }
}

/** Processor time of all threads, by the scheduler's own count: a tick is too long for short rounds. */
function cpuMicros(pid = 0): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const nanoseconds = threads.map((id) =>
    Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'utf8').split(' ')[0]),
  )
  return nanoseconds.reduce((sum, ns) => sum + ns, 0) / 1000
}

/** Calls the route for so long, `hits` of them with an input that is known; returns how long each took, in milliseconds. */
async function load(route: Name, hits: number, ms: number): Promise<number[]> {
  const times: number[] = []
  const until = performance.now() + ms
  const lane = async () => {
    while (performance.now() < until) {
      const input = times.length % 100 < hits * 100 ? 'known' : `input ${inputs++}`
      const from = performance.now()
      await call(`/v1/models/${route}:predict`, JSON.stringify({ instances: [input] }))
      times.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, lane))
  return times
}

function call(path: string, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const sent = request({ port, path, method: 'POST', headers, agent }, (response) => {
      response.resume().on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(path))))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

async function listening(listener: RequestListener) {
  const server = createServer(
    (asked, response) => void asked.resume().on('end', () => listener(asked, response)),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function start() {
  const pool = (url: string) => ({
    backends: [{ url }],
    health: { path: 'off' },
    connections: 1000,
    limits: { mode: 'declared' },
  })
  const route = (name: string, mirror?: object) => ({
    name,
    match: { path: `/v1/models/${name}:*` },
    pool: 'main',
    cache: { rows: 'never' },
    ...(mirror && { mirror }),
  })
  const yaml = {
    server: { workers: 1, listen: '127.0.0.1:0' },
    admin: { listen: '127.0.0.1:0' },
    cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '64MiB' }] },
    pools: {
      main: pool(backend.url),
      hangs: pool(hanging.url),
      refuses: pool('http://127.0.0.1:9'),
      fails: pool(failing.url),
    },
    routes: [
      route('plain'),
      ...ROUTES.slice(1).map((name) => ({ ...route(name, { pool: name, compare: true }), timeout: '1h' })),
    ],
  }
  const file = join(folder, 'infergate.yaml')
  writeFileSync(file, JSON.stringify(yaml))
  const args = [join(import.meta.dirname, '../../src/main.ts'), 'serve', '--config', file]
  const gateway = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  for await (const line of createInterface(gateway.stdout)) {
    const { event, data } = JSON.parse(line) as { event: string; data: AddressInfo }
    if (event !== 'gateway.listening') continue
    gateway.stdout.resume()
    return { child: gateway, port: data.port }
  }
  throw new Error('the gateway has ended')
}
