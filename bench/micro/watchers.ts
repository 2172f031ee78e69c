/**
 * What those who watch cost the gateway: `node bench/micro/watchers.ts [SECONDS]`. Its processor time with nobody, one and ten
 * followers of `/api/v1/events`, while 100 models at 200 backends are called a few hundred times a second by two workers;
 * medians of interleaved rounds. What the calls themselves take is in each of them.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as after } from 'node:timers/promises'
import { cpuMicros } from '../lib/procfs.ts'
import { median } from '../lib/stats.ts'

const BACKENDS = 200
const MODELS = 100
const CALLS_EACH_20_MS = 4
const ROUNDS = 5
const WATCHERS = [0, 1, 10]
const seconds = Number(process.argv[2] ?? 8)

const server = createServer((request, response) => {
  request.resume().on('end', () => {
    response.setHeader('content-type', 'application/json')
    response.end(request.method === 'GET' ? '{}' : '{"predictions":[[0.25,0.75]]}')
  })
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port: backendPort } = server.address() as AddressInfo

const folder = mkdtempSync(join(tmpdir(), 'infergate-watchers-'))
const gateway = await start()
const stop = new AbortController()
const load = generate(stop.signal)
// Compiled, and known to everybody.
await after(10_000)
const shares = new Map<number, number[]>(WATCHERS.map((count) => [count, []]))
let bytes = 0
for (let round = 0; round < ROUNDS; round++)
  for (const count of WATCHERS) shares.get(count)?.push(await measure(count))
stop.abort()
await load
gateway.child.kill('SIGINT')
await once(gateway.child, 'exit')
server.close().closeAllConnections()
rmSync(folder, { recursive: true, force: true })

const of = (count: number) => median(shares.get(count) ?? [])
console.log(`processor time of the gateway, % of a core (${ROUNDS} rounds of ${seconds} s, interleaved):`)
for (const count of WATCHERS)
  console.log(
    `  ${String(count).padStart(2)} watching: ${of(count).toFixed(2)} (${(shares.get(count) ?? []).map((share) => share.toFixed(1)).join(', ')})`,
  )
console.log(
  `  the first: ${(of(1) - of(0)).toFixed(2)}; each further one: ${((of(10) - of(1)) / 9).toFixed(3)}`,
)
console.log(`  ${(bytes / 1024 / (ROUNDS * seconds)).toFixed(0)} KiB a second to each`)

async function start() {
  const backends = Array.from({ length: BACKENDS }, (_, at) => ({
    url: `http://127.0.0.1:${backendPort}/b${at}`,
    id: `backend-${at}`,
    models: Array.from({ length: MODELS / 10 }, (_, model) => ({
      name: `model-${(at % 10) * 10 + model}`,
      version: '1',
    })),
  }))
  const yaml = {
    server: { workers: 2 },
    pools: { main: { backends, health: { interval: '60s' } } },
    routes: [{ name: 'main', pool: 'main', cache: { scope: 'shared', rows: 'never' } }],
  }
  writeFileSync(join(folder, 'infergate.yaml'), JSON.stringify(yaml))
  const main = join(import.meta.dirname, '../../src/main.ts')
  const args = [
    main,
    'serve',
    '--config',
    join(folder, 'infergate.yaml'),
    '--listen',
    '127.0.0.1:0',
    '--admin',
    '127.0.0.1:0',
  ]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  for await (const line of lines) {
    const { event, data, admin } = JSON.parse(line) as {
      event: string
      data: AddressInfo
      admin: AddressInfo
    }
    if (event === 'gateway.listening') {
      child.stdout.resume()
      return { child, port: data.port, adminPort: admin.port }
    }
  }
  throw new Error('the gateway has ended')
}

/** Half of the calls are hits. */
async function generate(signal: AbortSignal): Promise<void> {
  let number = 0
  while (!signal.aborted) {
    for (let i = 0; i < CALLS_EACH_20_MS; i++) {
      number++
      const row = number % 2 === 0 ? number : 0
      void fetch(`http://127.0.0.1:${gateway.port}/v1/models/model-${number % MODELS}:predict`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: `{"instances":[[${row}]]}`,
      })
        .then((answer) => answer.arrayBuffer())
        .catch(() => {})
    }
    await after(20)
  }
}

/** The share of a core that the gateway takes while so many watch, in per cent. */
async function measure(count: number): Promise<number> {
  const following = await Promise.all(
    Array.from({ length: count }, async () => {
      const request = get({ port: gateway.adminPort, path: '/api/v1/events', agent: false })
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      response.on('error', () => {})
      return response
    }),
  )
  let heard = 0
  for (const response of following) response.on('data', (chunk: Buffer) => (heard += chunk.length))
  // What a follower is told first is not measured.
  await after(1_500)
  heard = 0
  const [cpu, at] = [cpuMicros(gateway.child.pid as number), performance.now()]
  await after(seconds * 1000)
  const share = (cpuMicros(gateway.child.pid as number) - cpu) / 10 / (performance.now() - at)
  if (count === 1) bytes += heard
  for (const response of following) response.destroy()
  await after(700)
  return share
}
