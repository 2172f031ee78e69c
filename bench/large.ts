/**
 * Bodies of 100 MiB in and out, through either door and in every dialect: how long the gateway's event loop stands
 * still, how much memory it takes, and whether the bytes arrive. Each case has a gateway of its own, on a core of its
 * own; the caller and the backend share the other. Exits with 1 where a bound is broken.
 *
 *   node bench/large.ts [--mib 100] [--only V2] [--out bench/results/large.md]
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { HOSTILE, KINDS, type Kind, type Long, piecesOf, sizeOf } from './large/bodies.ts'
import type { Probed } from './large/probe.ts'
import { machine } from './lib/machine.ts'
import { freePort, listening, SERVER_CORE, TASKSET } from './lib/process.ts'
import { help } from './lib/usage.ts'

help(import.meta.filename)
const { values: options } = parseArgs({
  options: {
    mib: { type: 'string', default: '100' },
    only: { type: 'string', multiple: true, default: [''] },
    out: { type: 'string' },
  },
})
const bytes = Number(options.mib) << 20
if (!(bytes >= 8 << 20)) throw new Error('--mib is a whole number from 8')

const MIB = 1 << 20
/** What the cases are held to. */
const MAX_STALL_MS = 50
const CONSTANT_BYTES = 64 * MIB
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const PROBE = new URL('./large/probe.ts', import.meta.url).href

interface Case {
  readonly name: string
  readonly door: 'fast' | 'http'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Long
  /** Undefined: a short answer, which is kept. */
  readonly answer: Long | undefined
}

interface Result extends Probed {
  readonly name: string
  readonly door: string
  readonly seconds: number
  readonly status: number
  readonly cache: string
  /** Of the same request again, where the first was kept. */
  readonly again: string
  readonly arrived: boolean
}

const SHORT_V1 = '{"predictions":[1]}'
const SHORT_V2 = '{"model_name":"m","outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[1]}]}'

/** A short answer of the path's dialect: only what is one is kept. */
function shortAnswer(path: string): Long {
  const head = Buffer.from(path.startsWith('/v2/') ? SHORT_V2 : SHORT_V1)
  return { head, block: Buffer.alloc(0), times: 0, tail: Buffer.alloc(0) }
}

/** A backend that reads what it gets and answers what it is to. */
class Backend {
  /** Undefined: a short answer. */
  answer: Long | undefined
  readonly digests: string[] = []
  readonly #server = http.createServer((request, response) => {
    if (request.method === 'GET')
      return void response.end('{"model_version_status":[{"version":"1","state":"AVAILABLE"}]}')
    const hash = createHash('sha256')
    request.on('data', (chunk: Buffer) => hash.update(chunk))
    request.on('end', () => {
      this.digests.push(hash.digest('hex'))
      const answer = this.answer ?? shortAnswer(request.url ?? '')
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': sizeOf(answer) })
      // A caller who has seen enough is no fault.
      pipeline(Readable.from(piecesOf(answer)), response).catch(() => {})
    })
  })

  async start(): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return (this.#server.address() as AddressInfo).port
  }

  close(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

class Gateway {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(folder: string, backend: number): Promise<Gateway> {
    const [port, admin] = [await freePort(), await freePort()]
    const file = join(folder, 'gateway.json')
    const cache = { enabled: true, rows: 'never' }
    const settings = {
      server: {
        listen: `127.0.0.1:${port}`,
        workers: 1,
        limits: { maxBodyBytes: 16 * bytes, bodyTimeout: '120s' },
      },
      admin: { listen: `127.0.0.1:${admin}` },
      cache: { tiers: [{ name: 'memory', type: 'memory', maxBytes: '16MiB' }] },
      pools: { m: { backends: [{ url: `http://127.0.0.1:${backend}` }], health: { path: '/' } } },
      routes: [
        { name: 'v1', match: { path: '/v1/*' }, protocol: 'tfserving', pool: 'm', cache, timeout: '60s' },
        { name: 'v2', match: { path: '/v2/*' }, protocol: 'oip', pool: 'm', cache, timeout: '60s' },
        { name: 'kept', match: { path: '/kept' }, protocol: 'opaque', pool: 'm', cache, timeout: '60s' },
        { name: 'passed', match: { path: '/passed' }, protocol: 'opaque', pool: 'm', timeout: '60s' },
      ],
    }
    writeFileSync(file, JSON.stringify(settings))
    const child = fork(MAIN, ['serve', '--config', file], {
      execPath: TASKSET,
      execArgv: ['-c', String(SERVER_CORE), process.execPath, '--import', PROBE],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    await listening(port)
    return new Gateway(child, port)
  }

  async probe(message: 'begin' | 'end'): Promise<Probed> {
    const answer = once(this.#child, 'message') as Promise<[Probed]>
    this.#child.send(message)
    return (await answer)[0]
  }

  async stop(): Promise<void> {
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }
}

interface Answered {
  readonly status: number
  readonly cache: string
  readonly digest: string
}

function post(port: number, { door, path, headers, body }: Case): Promise<Answered> {
  return new Promise((resolve, reject) => {
    // Chunked is not plain, so the fast door leaves it to node:http.
    const framing = door === 'fast' ? { 'content-length': sizeOf(body) } : { 'transfer-encoding': 'chunked' }
    const sent = http.request({
      host: '127.0.0.1',
      port,
      path,
      method: 'POST',
      agent: false,
      headers: { ...headers, ...framing },
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const hash = createHash('sha256')
      response.on('data', (chunk: Buffer) => hash.update(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          cache: String(response.headers['cache-status'] ?? ''),
          digest: hash.digest('hex'),
        }),
      )
    })
    pipeline(Readable.from(piecesOf(body)), sent).catch(reject)
  })
}

const digestOf = (body: Long) => {
  const hash: Hash = createHash('sha256')
  for (const piece of piecesOf(body)) hash.update(piece)
  return hash.digest('hex')
}

async function run(one: Case, folder: string): Promise<Result> {
  const backend = new Backend()
  backend.answer = one.answer
  const gateway = await Gateway.start(folder, await backend.start())
  try {
    // Compiles what every request needs, and nothing of what is measured.
    const { body: _, ...short } = one
    for (let i = 0; i < 20; i++)
      await post(gateway.port, { ...short, path: '/warm', body: { ...one.body, times: 0 } })
    backend.digests.length = 0
    await gateway.probe('begin')
    const began = performance.now()
    const answered = await post(gateway.port, one)
    const seconds = (performance.now() - began) / 1000
    const again = one.answer ? '' : (await post(gateway.port, one)).cache
    const probed = await gateway.probe('end')
    const arrived =
      backend.digests[0] === digestOf(one.body) &&
      answered.digest === digestOf(one.answer ?? shortAnswer(one.path))
    return {
      ...probed,
      name: one.name,
      door: one.door,
      seconds,
      status: answered.status,
      cache: answered.cache,
      again,
      arrived,
    }
  } finally {
    await gateway.stop()
    backend.close()
  }
}

function caseOf(kind: Kind, door: Case['door'], isAnswerLong: boolean): Case {
  const json = kind.jsonBytes ? { 'inference-header-content-length': String(kind.jsonBytes(bytes)) } : {}
  return {
    name: `${kind.name}, ${isAnswerLong ? 'answered at length' : 'asked twice'}`,
    door,
    path: kind.path,
    headers: { 'content-type': kind.type, ...json },
    body: kind.body(bytes),
    answer: isAnswerLong ? kind.answer(bytes) : undefined,
  }
}

const cases: Case[] = [
  ...KINDS.flatMap((kind) => (['fast', 'http'] as const).map((door) => caseOf(kind, door, true))),
  ...KINDS.slice(0, 4).map((kind) => caseOf(kind, 'fast', false)),
  ...HOSTILE.map(([name, body]): Case => {
    const headers = { 'content-type': 'application/json' }
    return {
      name: `hostile: ${name}`,
      door: 'fast',
      path: '/v1/models/m:predict',
      headers,
      body: body(bytes),
      answer: undefined,
    }
  }),
].filter(({ name }) => options.only.some((part) => name.includes(part)))

const growth = ({ rssBefore, rssMost }: Result) => rssMost - rssBefore
const isHeld = (result: Result) =>
  result.arrived && result.stallCpuMs <= MAX_STALL_MS && growth(result) <= 2 * bytes + CONSTANT_BYTES

function row(result: Result): string {
  const cells = [
    result.name,
    result.door,
    result.seconds.toFixed(1),
    result.stallMs.toFixed(0),
    result.stallCpuMs.toFixed(0),
    result.p99Ms.toFixed(1),
    (growth(result) / MIB).toFixed(0),
    (growth(result) / bytes).toFixed(2),
    result.arrived ? 'equal' : 'DIFFERENT',
    [result.cache, result.again].filter(Boolean).join(' · '),
    isHeld(result) ? 'yes' : 'NO',
  ]
  return `| ${cells.join(' | ')} |`
}

const folder = mkdtempSync(join(tmpdir(), 'infergate-large-'))
const about = machine()
const results: Result[] = []
try {
  for (const one of cases) {
    const result = await run(one, folder)
    results.push(result)
    process.stderr.write(`${row(result)}\n`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
const HEAD = [
  'case',
  'door',
  's',
  'stall ms',
  'stall CPU ms',
  'p99 ms',
  'MiB more',
  'of the body',
  'bytes',
  'Cache-Status',
  'held',
]
const report = [
  `# Bodies of ${options.mib} MiB`,
  '',
  'Each case is a gateway of its own (one worker, `maxBodyBytes` raised) on one core; the caller and the backend share the other.',
  '*Stall*: the longest time between two turns of the event loop, by the clock (the machine may have been busy elsewhere) and in',
  'processor time of that thread. *MiB more*: how much the resident size grew, at most. *Held*: the bytes are equal at both ends, no',
  `stall over ${MAX_STALL_MS} ms of processor time, no more memory than twice the body and ${CONSTANT_BYTES / MIB} MiB.`,
  '',
  `${about.cpu}, ${about.cores} cores, kernel ${about.kernel}, Node ${process.version}, load ${about.loadAverage.toFixed(1)} before, commit ${about.commit}, ${about.date.slice(0, 10)}.`,
  `\`node bench/large.ts ${process.argv.slice(2).join(' ')}\``,
  '',
  `| ${HEAD.join(' | ')} |`,
  `|${HEAD.map(() => '---').join('|')}|`,
  ...results.map(row),
  '',
].join('\n')
process.stdout.write(report)
if (options.out) writeFileSync(options.out, report)
process.exitCode = results.every(isHeld) ? 0 : 1
