/**
 * What the cache does for a call, measured at a running gateway in a process of its own, before a backend in this one
 * that takes 5 ms a request: hit, partial hit, herd, large bodies, scan. Rounds of all scenarios are interleaved, so
 * that what else the machine does falls on each alike. Writes bench/results/cache.md and cache.json.
 *
 *   node bench/cache.ts [--rounds 5] [--seconds 1]
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '1' } },
})
const ROUNDS = Number(values.rounds)
const SECONDS = Number(values.seconds)
const BACKEND_MS = 5
const CALLERS = 8
const FEATURES = 8

/** What the backend was asked for. */
const upstream = { requests: 0, rows: 0 }

const backend = createServer((asked, response) => {
  const chunks: Buffer[] = []
  asked.on('data', (chunk: Buffer) => chunks.push(chunk))
  asked.on('end', () => {
    response.setHeader('content-type', 'application/json')
    if (asked.method !== 'POST') return void response.end('{"ready":true}')
    const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: number[][] }
    upstream.requests++
    upstream.rows += instances.length
    setTimeout(() => response.end(JSON.stringify({ predictions: instances.map(([a]) => a) })), BACKEND_MS)
  })
})

const agent = new Agent({ keepAlive: true, maxSockets: 256 })

function call(port: number, body: string | Buffer): Promise<number> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        path: '/v1/models/m:predict',
        method: 'POST',
        agent,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      },
      (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
        response.resume().on('end', () => resolve(performance.now() - began))
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

let next = 0
const fresh = () => Array.from({ length: FEATURES }, (_, i) => ++next + i / 10)
const batch = (rows: readonly (readonly number[])[]) => JSON.stringify({ instances: rows })

interface Scenario {
  readonly name: string
  readonly what: string
  /** Gives the next call's body; the first ones are asked before the clock runs. */
  prepare(): { readonly warm: readonly string[]; readonly next: () => string }
  /** Calls at a time, where not eight. */
  readonly callers?: number
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'miss',
    what: 'one new row a call',
    prepare: () => ({ warm: [], next: () => batch([fresh()]) }),
  },
  {
    name: 'hit',
    what: 'one row, byte-identical repeats of 100 bodies',
    prepare() {
      const bodies = Array.from({ length: 100 }, () => batch([fresh()]))
      let i = 0
      return { warm: bodies, next: () => bodies[i++ % 100] as string }
    },
  },
  {
    name: 'hit, other spelling',
    what: 'as hit, each with white space of its own: read and keyed anew',
    prepare() {
      const bodies = Array.from({ length: 100 }, () => batch([fresh()]))
      let i = 0
      return { warm: bodies, next: () => `${bodies[i % 100]}${' '.repeat(1 + (i++ % 4000))}` }
    },
  },
  {
    name: 'partial hit',
    what: '128 rows, 120 known',
    prepare() {
      const known = Array.from({ length: 120 }, fresh)
      return { warm: [batch(known)], next: () => batch([...known, ...Array.from({ length: 8 }, fresh)]) }
    },
  },
  {
    name: 'whole miss of 128',
    what: '128 new rows',
    prepare: () => ({ warm: [], next: () => batch(Array.from({ length: 128 }, fresh)) }),
  },
  {
    name: 'herd',
    what: 'each new body asked by 64 at once',
    callers: 64,
    prepare() {
      let asked = 0
      let body = ''
      return {
        warm: [],
        next: () => {
          if (asked++ % 64 === 0) body = batch([fresh()])
          return body
        },
      }
    },
  },
  {
    name: 'large hit',
    what: '1 MiB body, repeats of 4',
    prepare() {
      const bodies = Array.from({ length: 4 }, () => batch(Array.from({ length: 16_000 }, fresh)))
      let i = 0
      return { warm: bodies, next: () => bodies[i++ % 4] as string }
    },
  },
  {
    name: 'scan',
    what: '100 hot bodies, with one never asked again after each',
    prepare() {
      const hot = Array.from({ length: 100 }, () => batch([fresh()]))
      let i = 0
      return {
        warm: [...hot, ...hot],
        next: () => (i++ % 2 === 0 ? (hot[(i >> 1) % 100] as string) : batch([fresh()])),
      }
    },
  },
]

interface Round {
  readonly calls: number
  readonly seconds: number
  readonly times: number[]
  readonly requests: number
  readonly rows: number
}

async function play(port: number, scenario: Scenario): Promise<Round> {
  const { warm, next: body } = scenario.prepare()
  for (const each of warm) await call(port, each)
  const before = { ...upstream }
  const times: number[] = []
  const began = performance.now()
  const end = began + SECONDS * 1000
  await Promise.all(
    Array.from({ length: scenario.callers ?? CALLERS }, async () => {
      while (performance.now() < end) times.push(await call(port, body()))
    }),
  )
  return {
    calls: times.length,
    seconds: (performance.now() - began) / 1000,
    times,
    requests: upstream.requests - before.requests,
    rows: upstream.rows - before.rows,
  }
}

async function main(): Promise<void> {
  backend.listen(0, '127.0.0.1')
  await once(backend, 'listening')
  const folder = mkdtempSync(join(tmpdir(), 'infergate-bench-'))
  const config = join(folder, 'infergate.yaml')
  const settings = {
    pools: { main: { backends: [{ url: `http://127.0.0.1:${(backend.address() as AddressInfo).port}` }] } },
    routes: [{ name: 'main', pool: 'main', cache: { rows: 'always', ttl: '1h' } }],
    cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
  }
  writeFileSync(config, JSON.stringify(settings))
  const program = fileURLToPath(new URL('../src/main.ts', import.meta.url))
  const gateway = spawn(
    process.execPath,
    [program, 'serve', '--config', config, '--listen', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  try {
    const port = await portOf(gateway.stdout)
    await ready(port)
    const load = loadavg()[0] ?? 0
    const rounds = new Map<string, Round[]>(SCENARIOS.map(({ name }) => [name, []]))
    for (let round = 0; round < ROUNDS; round++)
      for (const scenario of SCENARIOS) rounds.get(scenario.name)?.push(await play(port, scenario))
    write(rounds, load)
  } finally {
    gateway.kill('SIGTERM')
    await once(gateway, 'exit')
    agent.destroy()
    backend.closeAllConnections()
    backend.close()
    rmSync(folder, { recursive: true })
  }
}

async function portOf(log: NodeJS.ReadableStream): Promise<number> {
  for await (const line of createInterface({ input: log })) {
    const said = JSON.parse(line) as { event: string; data?: { port: number } }
    if (said.event === 'gateway.listening' && said.data) return said.data.port
  }
  throw new Error('the gateway ended before it listened')
}

async function ready(port: number): Promise<void> {
  const deadline = performance.now() + 10_000
  for (;;) {
    try {
      await call(port, batch([fresh()]))
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0
}

function write(rounds: ReadonlyMap<string, readonly Round[]>, load: number): void {
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    load,
    command: `node bench/cache.ts --rounds ${ROUNDS} --seconds ${SECONDS}`,
    date: new Date().toISOString().slice(0, 10),
  }
  const results = SCENARIOS.map(({ name, what, callers = CALLERS }) => {
    const all = rounds.get(name) ?? []
    const times = all.flatMap((round) => round.times).sort((a, b) => a - b)
    const rates = all.map(({ calls, seconds }) => calls / seconds).sort((a, b) => a - b)
    const calls = times.length
    const sum = (of: (round: Round) => number) => all.reduce((total, round) => total + of(round), 0)
    return {
      name,
      what,
      callers,
      calls,
      perSecond: Math.round(quantile(rates, 0.5)),
      lowest: Math.round(rates[0] ?? 0),
      highest: Math.round(rates.at(-1) ?? 0),
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
      upstreamPerCall: sum(({ requests }) => requests) / calls,
      rowsPerCall: sum(({ rows }) => rows) / calls,
    }
  })
  const out = (name: string) => fileURLToPath(new URL(`results/${name}`, import.meta.url))
  writeFileSync(out('cache.json'), `${JSON.stringify({ machine, results }, null, 2)}\n`)
  const lines = results.map(
    (row) =>
      `| ${row.name} | ${row.what} | ${row.callers} | ${row.perSecond} (${row.lowest} to ${row.highest}) | ${row.p50.toFixed(2)} | ${row.p99.toFixed(2)} | ${row.upstreamPerCall.toFixed(3)} | ${row.rowsPerCall.toFixed(2)} |`,
  )
  const text = `# The cache, scenario by scenario

One gateway (one worker, memory tier of 16 MiB, \`rows: always\`) in its own process; callers and a backend that takes
${BACKEND_MS} ms a request share another. So the rates are those of all three on this machine together, not the gateway's limit.

${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, load before the start ${load.toFixed(1)}, ${machine.date}.
\`${machine.command}\`: rounds of all scenarios interleaved; the rate is the median round's, with the lowest and highest.

| scenario | what | callers | calls/s | p50 ms | p99 ms | upstream requests a call | upstream rows a call |
|---|---|---|---|---|---|---|---|
${lines.join('\n')}
`
  writeFileSync(out('cache.md'), text)
  process.stdout.write(text)
}

await main()
