/**
 * What one call costs, in what can be counted steadily while others work on the same machine: bytes of heap that the
 * call leaves to the collector, and reads and writes of the kernel. Ratios beside peers need a quiet machine and minutes;
 * these need neither, so continuous integration looks at them with each change (test/e2e/costs.test.ts).
 *
 *   node bench/costs.ts              what each kind of call costs, beside what is written in costs.json
 *   node bench/costs.ts --keep       writes costs.json anew
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Inspector, inspect } from './lib/inspector.ts'
import { freePort, listening } from './lib/process.ts'
import { MAIN } from './lib/servers/infergate.ts'
import { help } from './lib/usage.ts'

/** Of one call, on average over a window of calls. */
export interface Costs {
  /** Bytes of V8's heap; memory of buffers is not in it. */
  readonly heapBytes: number
  /** System calls of reading and of writing, as /proc counts them; NaN where there is no /proc. */
  readonly reads: number
  readonly writes: number
}

/** A kind of call: how its requests are made, by their number. */
interface Kind {
  readonly name: string
  /** Which route takes it. */
  readonly host: 'kept' | 'passed'
  request(n: number): { readonly headers: string; readonly body: string }
}

const values = (seed: number) =>
  Array.from(
    { length: 18 },
    (_, i) => `0.${String((seed * 7919 + i * 104_729) % 1_000_003).padStart(6, '0')}`,
  )
const body = (seed: number) => `{"instances":[[${values(seed).join(',')}]]}`
/** So many bits of a number as spaces and tabs: white space that was not sent before. */
const spelled = (n: number) => n.toString(2).padStart(20, '0').replaceAll('0', ' ').replaceAll('1', '\t')
const hex = (n: number, digits: number) => n.toString(16).padStart(digits, '0')

const DISTINCT = 200
let fresh = 0

export const KINDS: readonly Kind[] = [
  {
    name: 'hit',
    host: 'kept',
    request: (n) => ({ headers: '', body: body(n % DISTINCT) }),
  },
  {
    name: 'hit, another trace id each time',
    host: 'kept',
    request: (n) => ({
      headers: `traceparent: 00-${hex(++fresh, 32)}-${hex(fresh, 16)}-01\r\n`,
      body: body(n % DISTINCT),
    }),
  },
  {
    name: 'hit, other white space each time',
    host: 'kept',
    request: (n) => ({ headers: '', body: body(n % DISTINCT).replace('[[', `[${spelled(fresh++)}[`) }),
  },
  {
    name: 'miss, kept',
    host: 'kept',
    request: () => ({ headers: '', body: body(1_000_000 + fresh++) }),
  },
  {
    name: 'miss, passed on',
    host: 'passed',
    request: () => ({ headers: '', body: body(1_000_000 + fresh++) }),
  },
]

const WARM_CALLS = 10_000
const WINDOWS = 6
/** As long as what comes around once a second takes to come around. */
const IDLE_MS = 1_000
/** Few enough that the collector need not run within them. */
const WINDOW_CALLS = 1_000

// A young generation that holds a window.
const NODE_ARGS = ['--inspect=127.0.0.1:0', '--min-semi-space-size=32', '--max-semi-space-size=32']

export async function measureCosts(): Promise<Record<string, Costs>> {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-costs-'))
  const backend = await startBackend()
  const port = await freePort()
  const file = join(folder, 'infergate.yaml')
  writeFileSync(file, settings(port, (backend.address() as net.AddressInfo).port))
  const args = [...NODE_ARGS, MAIN, 'serve', '--config', file]
  const gateway = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  try {
    const inspector = await inspect(gateway)
    await listening(port)
    const client = await Client.connect(port)
    const found: Record<string, Costs> = {}
    // The first kind pays for what all have in common and what is not compiled yet.
    await run(KINDS[0] as Kind, client, 2 * WARM_CALLS)
    for (const kind of KINDS)
      found[kind.name] = await costsOf(kind, { client, inspector, pid: gateway.pid ?? -1 })
    client.close()
    inspector.close()
    return found
  } finally {
    const gone = gateway.exitCode === null && gateway.signalCode === null ? once(gateway, 'exit') : undefined
    gateway.kill('SIGKILL')
    await gone
    backend.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function settings(port: number, backendPort: number): string {
  return `server: { listen: "127.0.0.1:${port}", workers: 1 }
admin: { listen: "127.0.0.1:0" }
log: { level: warn }
pools:
  bench: { backends: [ { url: "http://127.0.0.1:${backendPort}" } ], health: { path: / } }
routes:
  - { name: kept, match: { host: kept }, pool: bench, cache: { ttl: 1h } }
  - { name: passed, match: { host: passed }, pool: bench }
`
}

interface Gateway {
  readonly client: Client
  readonly inspector: Inspector
  readonly pid: number
}

/**
 * The cheapest window: code that was not compiled yet is in others. What the gateway does without any call, ten times a
 * second and once a second, is taken off: on a busy machine a window lasts longer, and has more of it.
 */
async function costsOf(kind: Kind, { client, inspector, pid }: Gateway): Promise<Costs> {
  await run(kind, client, WARM_CALLS)
  const idle = await grown(inspector, () => sleep(IDLE_MS))
  const windows: Costs[] = []
  while (windows.length < WINDOWS) {
    const calls = systemCalls(pid)
    const busy = await grown(inspector, () => run(kind, client, WINDOW_CALLS))
    const after = systemCalls(pid)
    windows.push({
      heapBytes: (busy.bytes - (idle.bytes / idle.ms) * busy.ms) / WINDOW_CALLS,
      reads: (after.reads - calls.reads) / WINDOW_CALLS,
      writes: (after.writes - calls.writes) / WINDOW_CALLS,
    })
  }
  const of = (figure: keyof Costs) => Math.min(...windows.map((window) => window[figure]))
  return { heapBytes: of('heapBytes'), reads: of('reads'), writes: of('writes') }
}

async function grown(
  inspector: Inspector,
  work: () => Promise<void>,
): Promise<{ bytes: number; ms: number }> {
  await inspector.collectGarbage()
  const [before, began] = [await inspector.usedHeapBytes(), performance.now()]
  await work()
  return { bytes: (await inspector.usedHeapBytes()) - before, ms: performance.now() - began }
}

async function run({ host, request }: Kind, client: Client, calls: number): Promise<void> {
  for (let n = 0; n < calls; n++) {
    const { headers, body } = request(n)
    await client.send(
      `POST /v1/models/m:predict HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`,
    )
  }
}

function systemCalls(pid: number): { readonly reads: number; readonly writes: number } {
  try {
    const text = readFileSync(`/proc/${pid}/io`, 'latin1')
    const of = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1])
    return { reads: of('syscr'), writes: of('syscw') }
  } catch {
    return { reads: Number.NaN, writes: Number.NaN }
  }
}

/** One connection, one request at a time: how many are answered in a turn is then no matter of luck. */
class Client {
  readonly #socket: net.Socket
  #heard = ''
  #answered: (() => void) | undefined

  static async connect(port: number): Promise<Client> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new Client(socket)
  }

  constructor(socket: net.Socket) {
    this.#socket = socket
    socket.setEncoding('latin1').on('data', (text: string) => this.#hear(text))
  }

  /** Resolves when the answer is there, all of it. */
  send(request: string): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve
      this.#socket.write(request, 'latin1')
    })
  }

  #hear(text: string): void {
    this.#heard += text
    const end = this.#heard.indexOf('\r\n\r\n')
    if (end < 0) return
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#heard.slice(0, end + 2))?.[1] ?? 0)
    if (this.#heard.length < end + 4 + length) return
    if (!this.#heard.startsWith('HTTP/1.1 200')) throw new Error(`not an answer to count: ${this.#heard}`)
    this.#heard = ''
    this.#answered?.()
  }

  close(): void {
    this.#socket.destroy()
  }
}

const PREDICTIONS = `{"predictions": [[${values(1).join(', ')}]]}`
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${PREDICTIONS.length}\r\n\r\n${PREDICTIONS}`

/** Answers each request that has come to its end; it sees none but ours and the health check's. */
async function startBackend(): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let heard = ''
    socket.setEncoding('latin1').on('data', (text: string) => {
      heard += text
      const end = heard.indexOf('\r\n\r\n')
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(heard)?.[1] ?? 0)
      if (end < 0 || heard.length < end + 4 + length) return
      heard = ''
      socket.write(ANSWER, 'latin1')
    })
    socket.on('error', () => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export const COSTS_FILE = join(import.meta.dirname, 'costs.json')

export function readCosts(): Record<string, Costs> {
  return JSON.parse(readFileSync(COSTS_FILE, 'utf8')) as Record<string, Costs>
}

if (import.meta.main) {
  help(import.meta.filename)
  const found = await measureCosts()
  const kept = process.argv.includes('--keep') ? found : readCosts()
  for (const [name, { heapBytes, reads, writes }] of Object.entries(found))
    process.stdout.write(
      `${name.padEnd(36)} ${heapBytes.toFixed(0).padStart(6)} B of heap (${kept[name]?.heapBytes.toFixed(0) ?? 'new'})  ${reads.toFixed(2)} reads  ${writes.toFixed(2)} writes\n`,
    )
  if (process.argv.includes('--keep')) writeFileSync(COSTS_FILE, `${JSON.stringify(found, undefined, 2)}\n`)
}
