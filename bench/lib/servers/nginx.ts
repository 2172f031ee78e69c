/** nginx from Debian: as a cache of POST bodies, as a Lua program with a shared dictionary, as a plain proxy. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { certificate } from '../certificate.ts'
import type { Place } from '../place.ts'
import { type Pinned, start } from '../process.ts'

export const NGINX = '/usr/sbin/nginx'
export const LUA_MODULE = '/usr/lib/nginx/modules/ngx_http_lua_module.so'

/** Settings beside those that every nginx here has. */
interface Parts {
  /** Speaks TLS. */
  readonly tls?: boolean
  /** Speaks HTTP/2, by prior knowledge. */
  readonly http2?: boolean
  readonly main?: string
  readonly http?: string
  readonly server: string
}

/** One worker, no log, connections that are kept, temporary files in a folder of its own. */
export function nginx(place: Pick<Place, 'folder' | 'port' | 'cores' | 'bodyBytes'>, parts: Parts): Pinned {
  const { folder, port, cores, bodyBytes } = place
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ')
  const text = `${parts.main ?? ''}
daemon off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log crit;
events { worker_connections 4096; multi_accept on; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 75s; ${temporary}
  client_body_buffer_size 512k; client_body_in_single_buffer on; client_max_body_size ${1 + Math.ceil(bodyBytes / 1e6)}m;
  ${parts.http ?? ''}
  server { listen 127.0.0.1:${port} ${parts.tls ? 'ssl ' : ''}${parts.http2 ? 'http2 ' : ''}backlog=1024; ${parts.tls ? tlsLines(folder) : ''} ${parts.server} }
}
`
  writeFileSync(file, text)
  return start({ core: cores, command: NGINX, args: ['-c', file, '-p', folder] })
}

function tlsLines(folder: string): string {
  const { cert, key } = certificate(folder)
  return `ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_protocols TLSv1.2 TLSv1.3;`
}

const upstream = ({ backendPort }: Pick<Place, 'backendPort'>): string =>
  `upstream backend { server 127.0.0.1:${backendPort}; keepalive 128; keepalive_requests 100000000; }
  proxy_http_version 1.1; proxy_set_header Connection "";`

export function nginxPass(place: Place): Pinned {
  return nginx(place, { http: upstream(place), server: 'location / { proxy_pass http://backend; }' })
}

/** Each piece of an answer goes out as it comes. */
export function nginxStream(
  place: Pick<Place, 'folder' | 'port' | 'cores' | 'bodyBytes' | 'backendPort'>,
): Pinned {
  const server = 'location / { proxy_pass http://backend; proxy_buffering off; }'
  return nginx(place, { http: upstream(place), server })
}

/** The body is the key, as it must be for POST; that is also why bodies beyond some 64 KB cannot be kept. */
export function nginxCache(place: Place, { tls = false } = {}): Pinned {
  const { folder, cacheMiB } = place
  return nginx(place, {
    tls,
    http: `${upstream(place)} open_file_cache max=10000;
  proxy_cache_path ${folder}/cache levels=1:2 keys_zone=c:50m use_temp_path=off max_size=${cacheMiB}m;`,
    server: `location / {
    proxy_pass http://backend; proxy_cache c; proxy_cache_methods POST; proxy_cache_key "$request_uri|$request_body";
    proxy_cache_valid 200 1h; proxy_cache_lock on;
    proxy_buffer_size 512k; proxy_buffers 8 512k; proxy_busy_buffers_size 512k;
  }`,
  })
}

export function nginxLua(place: Place): Pinned {
  const folder = LUA_MODULE.slice(0, LUA_MODULE.lastIndexOf('/'))
  return nginx(place, {
    main: `load_module ${folder}/ndk_http_module.so; load_module ${LUA_MODULE};`,
    http: `${upstream(place)} lua_shared_dict answers ${Math.min(256, place.cacheMiB)}m;`,
    server: `location /upstream { internal; rewrite ^/upstream(.*)$ $1 break; proxy_pass http://backend; }
  location / { ${LUA} }`,
  })
}

const LUA = `content_by_lua_block {
    ngx.req.read_body()
    local answers = ngx.shared.answers
    local key = ngx.sha1_bin(ngx.var.request_uri .. "|" .. (ngx.req.get_body_data() or ""))
    local answer = answers:get(key)
    if not answer then
      local reply = ngx.location.capture("/upstream" .. ngx.var.uri, { method = ngx.HTTP_POST, always_forward_body = true })
      if reply.status ~= 200 then return ngx.exit(reply.status) end
      answer = reply.body
      answers:set(key, answer, 3600)
    end
    ngx.header["Content-Type"] = "application/json"
    ngx.header["Content-Length"] = #answer
    ngx.print(answer)
  }`
