/**
 * The servers that are measured: the gateway, and its peers from Debian, each configured as well as it can be for
 * the work. All run on one core; the backend they stand in front of shares the other with the load.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, LOAD_CORE, listening, type Pinned, SERVER_CORE, start } from './process.ts'

export type ContenderName =
  | 'infergate'
  | 'infergate-redis'
  | 'nginx-cache'
  | 'nginx-lua'
  | 'varnish'
  | 'nginx-pass'
  | 'haproxy'
  | 'backend'

export interface Place {
  /** For configurations, logs and caches; in memory where there is /dev/shm. */
  readonly folder: string
  readonly backendPort: number
  /** Bytes a body may have. */
  readonly bodyBytes: number
  readonly rows: 'always' | 'never'
}

export interface Contender {
  readonly port: number
  readonly processes: readonly Pinned[]
}

const PATH = '/v1/models/bench:predict'
export const TARGET = PATH

const MODULES = '/usr/lib/nginx/modules'

/** Undefined: it can be measured here; otherwise the Debian package that is missing. */
export function missing(name: ContenderName): string | undefined {
  switch (name) {
    case 'nginx-cache':
    case 'nginx-pass':
      return existsSync('/usr/sbin/nginx') ? undefined : 'nginx'
    case 'nginx-lua':
      return existsSync(`${MODULES}/ngx_http_lua_module.so`) ? undefined : 'libnginx-mod-http-lua'
    case 'varnish':
      return existsSync('/usr/lib/varnish/vmods/libvmod_bodyaccess.so') ||
        existsSync('/usr/lib/x86_64-linux-gnu/varnish/vmods/libvmod_bodyaccess.so')
        ? undefined
        : 'varnish and varnish-modules'
    case 'haproxy':
      return existsSync('/usr/sbin/haproxy') ? undefined : 'haproxy'
    case 'infergate-redis':
      return existsSync('/usr/bin/redis-server') ? undefined : 'redis-server'
    default:
      return undefined
  }
}

export async function startContender(name: ContenderName, place: Place): Promise<Contender> {
  if (name === 'backend') return { port: place.backendPort, processes: [] }
  const port = await freePort()
  const folder = join(place.folder, name)
  mkdirSync(folder, { recursive: true })
  const processes = await STARTS[name]({ ...place, folder, port })
  await listening(port)
  return { port, processes }
}

interface Start extends Place {
  readonly port: number
}

const STARTS: Record<Exclude<ContenderName, 'backend'>, (start: Start) => Promise<Pinned[]>> = {
  infergate: async (place) => [gateway(place, '    - { name: memory, type: memory, maxBytes: 512MiB }')],
  async 'infergate-redis'(place) {
    const port = await freePort()
    const args = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      place.folder,
    ]
    const redis = start({ core: LOAD_CORE, command: 'redis-server', args })
    await listening(port)
    return [
      gateway(place, `    - { name: redis, type: redis, url: "redis://127.0.0.1:${port}", readTimeout: 1s }`),
      redis,
    ]
  },
  'nginx-cache': async (place) => [nginx(place, CACHE, cacheHttp(place))],
  'nginx-pass': async (place) => [nginx(place, PASS, '')],
  'nginx-lua': async (place) => [nginx(place, LUA, LUA_HTTP, LUA_MODULES)],
  async varnish({ folder, port, backendPort }) {
    const vcl = join(folder, 'bench.vcl')
    writeFileSync(vcl, varnishConfig(backendPort))
    const args = ['-F', '-n', join(folder, 'n'), '-a', `127.0.0.1:${port}`, '-f', vcl, '-s', 'malloc,1g']
    for (const set of ['workspace_client=640k', 'workspace_backend=640k', 'thread_pools=1'])
      args.push('-p', set)
    return [start({ core: SERVER_CORE, command: 'varnishd', args })]
  },
  async haproxy({ folder, port, backendPort }) {
    const file = join(folder, 'haproxy.cfg')
    writeFileSync(file, haproxyConfig(port, backendPort))
    return [start({ core: SERVER_CORE, command: 'haproxy', args: ['-db', '-f', file] })]
  },
}

/** The gateway with everything switched on: limits, metrics, deadlines, health checks, cache rules. */
function gateway({ folder, port, backendPort, rows }: Start, tiers: string): Pinned {
  const file = join(folder, 'infergate.yaml')
  const yaml = `server: { listen: "127.0.0.1:${port}" }
admin: { listen: "127.0.0.1:0" }
log: { level: warn }
cache:
  tiers:
${tiers}
pools:
  bench:
    backends: [ { url: "http://127.0.0.1:${backendPort}" } ]
    health: { path: / }
routes:
  - { name: bench, pool: bench, protocol: tfserving, cache: { enabled: true, ttl: 1h, rows: ${rows} } }
`
  writeFileSync(file, yaml)
  const main = join(import.meta.dirname, '..', '..', 'src', 'main.ts')
  return start({ core: SERVER_CORE, command: process.execPath, args: [main, 'serve', '--config', file] })
}

function nginx(
  { folder, port, backendPort, bodyBytes }: Start,
  location: string,
  http: string,
  modules = '',
): Pinned {
  const file = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ')
  writeFileSync(
    file,
    `${modules}
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log crit;
events { worker_connections 4096; multi_accept on; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 75s; ${temporary}
  client_body_buffer_size 512k; client_body_in_single_buffer on; client_max_body_size ${Math.max(1, Math.ceil(bodyBytes / 500_000))}m;
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 128; keepalive_requests 100000000; }
  proxy_http_version 1.1; proxy_set_header Connection "";
  ${http}
  server { listen 127.0.0.1:${port} backlog=1024; location / { ${location} } }
}
`,
  )
  return start({ core: SERVER_CORE, command: '/usr/sbin/nginx', args: ['-c', file, '-p', folder] })
}

const PASS = 'proxy_pass http://backend;'

function cacheHttp({ folder }: Start): string {
  return `proxy_cache_path ${folder}/cache levels=1:2 keys_zone=c:50m use_temp_path=off max_size=1g; open_file_cache max=10000;`
}

const CACHE = `proxy_pass http://backend; proxy_cache c; proxy_cache_methods POST; proxy_cache_key "$request_uri|$request_body";
    proxy_cache_valid 200 1h; proxy_buffer_size 512k; proxy_buffers 8 512k; proxy_busy_buffers_size 512k;`

const LUA_MODULES = `load_module ${MODULES}/ndk_http_module.so; load_module ${MODULES}/ngx_http_lua_module.so;`
const LUA_HTTP = 'lua_shared_dict answers 256m;'
const LUA = `
  location = ${PATH}/upstream { internal; rewrite ^ ${PATH} break; proxy_pass http://backend; }
  content_by_lua_block {
    ngx.req.read_body()
    local answers = ngx.shared.answers
    local key = ngx.sha1_bin(ngx.var.request_uri .. "|" .. (ngx.req.get_body_data() or ""))
    local answer = answers:get(key)
    if not answer then
      local reply = ngx.location.capture("${PATH}/upstream", { method = ngx.HTTP_POST, always_forward_body = true })
      if reply.status ~= 200 then return ngx.exit(reply.status) end
      answer = reply.body
      answers:set(key, answer, 3600)
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #answer
    ngx.print(answer)
  }
`

function varnishConfig(backendPort: number): string {
  return `vcl 4.1;
import std;
import bodyaccess;
backend default { .host = "127.0.0.1"; .port = "${backendPort}"; }
sub vcl_recv {
  unset req.http.X-Body;
  if (req.method == "POST") { std.cache_req_body(500KB); set req.http.X-Body = "1"; return (hash); }
}
sub vcl_hash { bodyaccess.hash_req_body(); }
sub vcl_backend_fetch { if (bereq.http.X-Body) { set bereq.method = "POST"; } }
sub vcl_backend_response { set beresp.ttl = 1h; }
`
}

function haproxyConfig(port: number, backendPort: number): string {
  return `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s 127.0.0.1:${backendPort}
`
}
