/** gRPC's own test client against its own test server: each of its cases passes directly and through an opaque route. */
import { execFile } from 'node:child_process'
import net from 'node:net'
import { join } from 'node:path'
import { freePorts } from '../../suite/processes.ts'
import type { Session, System } from '../../suite/session.ts'
import { certificate } from '../certificate.ts'
import { goPrograms } from '../go.ts'

const VERSION = 'v1.85.0'
const CASE_MS = 60_000

/** All cases of the client but those that need an account of Google's, or more servers than one. */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'timeout_on_sleeping_server',
  'cancel_after_begin',
  'cancel_after_first_response',
  'status_code_and_message',
  'special_status_message',
  'custom_metadata',
  'unimplemented_method',
  'unimplemented_service',
  'rpc_soak',
  'channel_soak',
]

/** Cases that ask the client for a balancer which reads what a server reports of its load. */
const ORCA_CASES = ['orca_per_rpc', 'orca_oob']
const ORCA = JSON.stringify({ loadBalancingConfig: [{ test_backend_metrics_load_balancer: {} }] })

interface Sides {
  readonly client: string
  readonly direct: number
  readonly through: number
  /** Arguments of the client beside the case and the address. */
  readonly args: readonly string[]
}

export const grpc: System = {
  name: 'grpc',
  title: "gRPC's own interoperability tests, its Go client against its Go server",
  guide: 'backends.md',
  async run(session) {
    const bin = await goPrograms(
      {
        module: 'google.golang.org/grpc',
        version: VERSION,
        packages: ['interop/client', 'interop/server'],
      },
      session.say,
    )
    session.uses('google.golang.org/grpc/interop', VERSION)
    await tryPlain(session, bin)
    await tryTls(session, bin)
  },
}

async function tryPlain(session: Session, bin: string): Promise<void> {
  const direct = await startServer(session, bin, { name: 'gRPC', args: [] })
  const url = `http://127.0.0.1:${direct}`
  const gateway = await session.gateway({ name: 'plain', upstream: url, settings: opaque({ grpc: url }) })
  const sides = { client: join(bin, 'client'), direct, through: portOf(gateway.url), args: [] }
  await tryCases(session, 'plain', sides)
}

/** TLS from the client to the gateway and from there to the server. */
async function tryTls(session: Session, bin: string): Promise<void> {
  const { cert, key } = certificate(session.folder)
  const args = ['-use_tls', '-tls_cert_file', cert, '-tls_key_file', key]
  const direct = await startServer(session, bin, { name: 'gRPC over TLS', args })
  const url = `https://127.0.0.1:${direct}`
  const settings = {
    ...opaque({ grpc: url }, { tls: { ca: cert } }),
    server: { tls: { certificates: [{ cert, key }] } },
  }
  const gateway = await session.gateway({ name: 'tls', upstream: url, settings })
  await tryCases(session, 'TLS', {
    client: join(bin, 'client'),
    direct,
    through: portOf(gateway.url),
    args: ['-use_tls', '-use_test_ca', '-ca_file', cert],
  })
}

async function startServer(
  session: Session,
  bin: string,
  { name, args }: { name: string; args: readonly string[] },
): Promise<number> {
  const [port = 0] = await freePorts(1)
  const command = join(bin, 'server')
  const ready = () => connects(port)
  await session.start(
    { name, command, args: ['-port', String(port), ...args], ready },
    'server -port 10000 & client -server_port 10000 -test_case CASE',
  )
  return port
}

const opaque = (backend: { grpc: string }, pool: object = {}) => ({
  pools: { upstream: { backends: [backend], ...pool } },
  routes: [{ name: 'all', pool: 'upstream', protocol: 'opaque' as const }],
})

async function tryCases(session: Session, group: string, sides: Sides): Promise<void> {
  for (const name of [...CASES, ...ORCA_CASES]) {
    await session.check(group, name, async () => {
      const wanted = await verdict(sides, sides.direct, name)
      if (wanted !== 'passes') return `directly it ${wanted}`
      const seen = await verdict(sides, sides.through, name)
      return seen === wanted ? undefined : `through the gateway it ${seen}`
    })
  }
}

/** `passes`, or the end of what the client said of its failure, without what differs by itself. */
function verdict({ client, args }: Sides, port: number, name: string): Promise<string> {
  const balancer = ORCA_CASES.includes(name) ? ['-service_config_json', ORCA] : []
  const address = ['-server_host', '127.0.0.1', '-server_port', String(port)]
  const all = [...args, ...balancer, ...address, '-test_case', name]
  return new Promise((resolve) => {
    execFile(client, all, { timeout: CASE_MS }, (error, _, stderr) => {
      const said = stderr.trim().split('\n').at(-1) ?? ''
      resolve(
        error ? `fails: ${said.replace(/^[\d/]+ [\d:.]+ /, '').replaceAll(String(port), 'PORT')}` : 'passes',
      )
    })
  })
}

const portOf = (url: string): number => Number(new URL(url).port)

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
