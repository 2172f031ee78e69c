/**
 * What is measured before a server of a language model: the gateway, and its peers from PyPI, each configured as well as it can be for
 * the work and each on the one core of the servers. Peers have environments of their own below `.cache/bench/peers`.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseStubStatus } from '../lib/backends.ts'
import { freePort, LOAD_CORE, listening, type Pinned, SERVER_CORE, start } from '../lib/process.ts'
import { MAIN } from '../lib/servers/infergate.ts'
import { nginx, nginxStream } from '../lib/servers/nginx.ts'
import type { Script } from './backend.ts'

export interface Backend {
  readonly port: number
  /** How often it was asked for an answer. */
  asked(): Promise<number>
}

export interface Server {
  readonly port: number
  /** Undefined: the backend itself. */
  readonly process: Pinned | undefined
}

const PEERS_FOLDER = join(import.meta.dirname, '..', '..', '.cache', 'bench', 'peers')

/** By name, what pip installs. */
export const PEERS = { litellm: 'litellm[proxy]==1.108.7', 'vllm-router': 'vllm-router==0.1.17' } as const
export type PeerName = keyof typeof PEERS

const programOf = (peer: PeerName): string => join(PEERS_FOLDER, peer, 'bin', peer)

export const isInstalled = (peer: PeerName): boolean => existsSync(programOf(peer))

/** Makes the peer's environment, which takes a minute. */
export function install(peer: PeerName): void {
  if (isInstalled(peer)) return
  const folder = join(PEERS_FOLDER, peer)
  process.stderr.write(`installing ${PEERS[peer]} into ${folder}\n`)
  execFileSync('python3', ['-m', 'venv', folder])
  execFileSync(join(folder, 'bin', 'pip'), ['install', '--quiet', PEERS[peer]])
}

/** The model server of the script. */
export async function scripted(script: Partial<Script>): Promise<Backend> {
  const port = await freePort()
  const args = [join(import.meta.dirname, 'backend.ts'), String(port), JSON.stringify(script)]
  await listening(port, start({ core: LOAD_CORE, command: process.execPath, args }))
  return {
    port,
    async asked() {
      const { asked } = (await (await fetch(`http://127.0.0.1:${port}/counts`)).json()) as { asked: number }
      return asked
    },
  }
}

const CHAT = JSON.stringify({
  ...{
    id: 'chatcmpl-000000000000000000000001',
    object: 'chat.completion',
    created: 1_700_000_000,
    model: 'm',
  },
  choices: [
    { index: 0, message: { role: 'assistant', content: 'The quick brown fox.' }, finish_reason: 'stop' },
  ],
  usage: { prompt_tokens: 32, completion_tokens: 5, total_tokens: 37 },
})

/** A stock chat, as fast as anything can give it: nginx. */
export async function instant(within: string): Promise<Backend> {
  const [port, countsPort] = [await freePort(), await freePort()]
  const place = { folder: join(within, 'backend'), port, cores: String(LOAD_CORE), bodyBytes: 1e6 }
  const backend = nginx(place, {
    http: `server { listen 127.0.0.1:${countsPort}; location / { stub_status; } }`,
    server: `default_type application/json; location / { return 200 '${CHAT}'; }
    location ~ /render$ { return 200 '{"token_ids":[${Array.from({ length: 32 }, (_, i) => i).join()}]}'; }`,
  })
  await Promise.all([listening(port, backend), listening(countsPort, backend)])
  return {
    port,
    asked: async () => parseStubStatus(await (await fetch(`http://127.0.0.1:${countsPort}/`)).text()),
  }
}

export interface InfergateOptions {
  readonly main?: string | undefined
  readonly nodeArgs?: readonly string[]
  readonly policy?: 'prefix'
}

/** Keeps what it may in memory; metrics, limits, deadlines and health checks are on. */
export async function startInfergate(
  within: string,
  backendPorts: readonly number[],
  { main = MAIN, nodeArgs = [], policy }: InfergateOptions = {},
): Promise<Server> {
  const port = await freePort()
  mkdirSync(within, { recursive: true })
  const file = join(within, `infergate-${port}.yaml`)
  const backends = backendPorts.map((backend) => `{ url: "http://127.0.0.1:${backend}" }`)
  const balanced = policy === undefined ? '' : `balance: { policy: ${policy} },`
  writeFileSync(
    file,
    `server: { listen: "127.0.0.1:${port}", workers: 1 }
admin: { listen: "127.0.0.1:0" }
log: { level: warn }
cache: { tiers: [ { name: memory, type: memory, maxBytes: 256MiB } ] }
pools:
  bench: { ${balanced} connections: 256, health: { path: tcp }, backends: [ ${backends.join(', ')} ] }
routes:
  - { name: v1, pool: bench, protocol: tfserving, match: { path: /v1/models/* }, cache: { ttl: 1h } }
  - { name: openai, pool: bench, protocol: openai, match: { path: /v1/* }, cache: { ttl: 1h, rows: always } }
`,
  )
  const args = [...nodeArgs, main, 'serve', '--config', file]
  return running(port, { core: SERVER_CORE, command: process.execPath, args })
}

/** Passes streams on as they come: what a proxy written in C adds to an event on this machine. */
export async function startNginx(within: string, backendPort: number): Promise<Server> {
  const port = await freePort()
  const place = {
    folder: join(within, 'nginx'),
    port,
    cores: String(SERVER_CORE),
    bodyBytes: 1e6,
    backendPort,
  }
  const process = nginxStream(place)
  await listening(port, process)
  return { port, process }
}

/** One worker, which keeps answers in its memory; no database, no log, no telemetry. */
export async function startLitellm(within: string, backendPort: number): Promise<Server> {
  const port = await freePort()
  mkdirSync(within, { recursive: true })
  const file = join(within, 'litellm.yaml')
  writeFileSync(
    file,
    `model_list:
  - model_name: m
    litellm_params: { model: openai/m, api_base: "http://127.0.0.1:${backendPort}/v1", api_key: none }
litellm_settings:
  cache: true
  cache_params: { type: local, ttl: 3600 }
  set_verbose: false
  telemetry: false
  request_timeout: 60
general_settings: { disable_spend_logs: true }
`,
  )
  const args = ['--config', file, '--host', '127.0.0.1', '--port', String(port), '--num_workers', '1']
  const env = {
    LITELLM_LOG: 'ERROR',
    LITELLM_MODE: 'PRODUCTION',
    LITELLM_LOCAL_MODEL_COST_MAP: 'True',
    [NO_KEY]: 'true',
  }
  return running(port, { core: SERVER_CORE, command: programOf('litellm'), args, env }, LITELLM_START_MS)
}

const LITELLM_START_MS = 180_000
/** Without it LiteLLM does not start where callers need no key. */
const NO_KEY = 'LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY'

/**
 * `cache_aware` with its own settings, one thread of work, since it has one core, and no log. It has a backend render each prompt into
 * tokens first, so that a call costs it two requests.
 */
export async function startVllmRouter(backendPorts: readonly number[]): Promise<Server> {
  const [port, metricsPort] = [await freePort(), await freePort()]
  const args = [
    '--host',
    '127.0.0.1',
    '--port',
    String(port),
    '--policy',
    'cache_aware',
    '--log-level',
    'error',
  ]
  const urls = backendPorts.map((backend) => `http://127.0.0.1:${backend}`)
  const rest = ['--prometheus-port', String(metricsPort), '--max-concurrent-requests', '4096']
  const env = { TOKIO_WORKER_THREADS: '1' }
  return running(port, {
    ...{ core: SERVER_CORE, command: programOf('vllm-router'), env },
    args: [...args, ...rest, '--worker-urls', ...urls],
  })
}

async function running(
  port: number,
  command: Parameters<typeof start>[0],
  timeoutMs = 30_000,
): Promise<Server> {
  const server = start(command)
  await listening(port, server, timeoutMs)
  return { port, process: server }
}
