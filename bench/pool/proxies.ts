/**
 * The balancers that are compared, each as its users run it: a process with a configuration file, one thread, the same
 * backends, and what it can do about slow and failing backends turned on.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Proxy {
  readonly url: string
  readonly pid: number
  /** Of infergate: the admin API. */
  readonly admin: string
  stop(): Promise<void>
}

export type ProxyName = 'infergate' | 'nginx' | 'haproxy leastconn' | 'haproxy random(2)'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const PROGRAMS = { nginx: 'nginx', haproxy: 'haproxy' } as const
const START_MS = 20_000

/** Starts it in front of these backends, ready for calls. `settings`: of infergate, in place of the defaults. */
export async function startProxy(
  name: ProxyName,
  backends: readonly string[],
  settings?: string,
): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-bench-'))
  const [port, adminPort] = [await freePort(), await freePort()]
  const file = join(folder, 'config')
  writeFileSync(file, settings ?? configuration(name, { port, backends, folder }))
  const child = run(name, { file, folder, port, adminPort })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
  })
  child.stdout?.resume()
  await opened(port, () => {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${said}`)
  })
  const admin = `http://127.0.0.1:${adminPort}`
  if (name === 'infergate') await ready(admin, backends.length)
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    admin,
    async stop() {
      const gone = once(child, 'exit')
      child.kill(name === 'nginx' ? 'SIGQUIT' : 'SIGTERM')
      const cut = setTimeout(() => child.kill('SIGKILL'), 5000)
      await gone
      clearTimeout(cut)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface At {
  readonly file: string
  readonly folder: string
  readonly port: number
  readonly adminPort: number
}

function run(name: ProxyName, { file, folder, port, adminPort }: At): ChildProcess {
  if (name === 'nginx')
    return spawn(PROGRAMS.nginx, ['-c', file, '-p', folder, '-e', join(folder, 'error.log')])
  if (name !== 'infergate') return spawn(PROGRAMS.haproxy, ['-f', file, '-db'])
  const listen = ['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${adminPort}`]
  return spawn(process.execPath, [MAIN, 'serve', '--config', file, ...listen])
}

interface Wanted {
  readonly port: number
  readonly backends: readonly string[]
  readonly folder: string
}

function configuration(name: ProxyName, wanted: Wanted): string {
  if (name === 'infergate') return gatewayYaml(wanted.backends)
  return name === 'nginx' ? nginxConf(wanted) : haproxyCfg(wanted, name.slice('haproxy '.length))
}

/** Defaults; only the log says less, and one event loop is beside the others' one process. */
export function gatewayYaml(backends: readonly string[]): string {
  return JSON.stringify({
    server: { workers: 1 },
    log: { level: 'warn' },
    pools: { main: { backends: backends.map((url) => ({ url })) } },
    routes: [{ name: 'main', pool: 'main' }],
  })
}

function nginxConf({ port, backends, folder }: Wanted): string {
  return `daemon off; pid ${folder}/pid; worker_processes 1; error_log ${folder}/error.log crit;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path ${folder}/b; proxy_temp_path ${folder}/p;
  fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  upstream pool {
    zone pool 64k; least_conn; keepalive 256;
    ${backends.map((url) => `server ${host(url)} max_fails=5 fail_timeout=30s;`).join(' ')}
  }
  server {
    listen 127.0.0.1:${port}; keepalive_requests 1000000;
    location / {
      proxy_pass http://pool; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_next_upstream error timeout http_500 http_502 http_503 http_504 http_429 non_idempotent;
      proxy_next_upstream_tries 3; proxy_connect_timeout 1s; proxy_read_timeout 60s;
    }
  }
}
`
}

function haproxyCfg({ port, backends }: Wanted, balance: string): string {
  const servers = backends.map(
    (url, at) =>
      `  server s${at} ${host(url)} check inter 5s fall 3 rise 2 observe layer7 error-limit 5 on-error mark-down slowstart 30s`,
  )
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout queue 5s
  option http-buffer-request
  option redispatch 1
  retries 2
  retry-on all-retryable-errors
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  balance ${balance}
  option httpchk GET /v2/health/ready
${servers.join('\n')}
`
}

const host = (url: string): string => new URL(url).host

export async function ready(admin: string, count: number): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    const pool = (await (await fetch(`${admin}/api/v1/pools/main`)).json()) as {
      backends: { state: string }[]
    }
    if (pool.backends.filter(({ state }) => state === 'ready').length === count) return
    if (performance.now() > deadline) throw new Error(`not ready: ${JSON.stringify(pool)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function opened(port: number, check: () => void): Promise<void> {
  const deadline = performance.now() + START_MS
  for (;;) {
    check()
    const socket = connect(port, '127.0.0.1')
    const isOpen = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false)
    socket.destroy()
    if (isOpen) return
    if (performance.now() > deadline) throw new Error(`nobody listens on port ${port}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
