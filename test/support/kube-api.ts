/**
 * A Kubernetes API server as far as EndpointSlices go, with the real wire format: LIST answers an EndpointSliceList,
 * WATCH streams one JSON event a line in chunks, and a version that is no longer kept is 410 Gone.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Endpoint, EndpointSlice } from '../../src/control/discovery/endpoint-slices.ts'

export interface KubeApi {
  readonly url: string
  readonly lists: URL[]
  readonly watches: URL[]
  readonly tokens: (string | undefined)[]
  /** Versions older than this are gone. */
  oldest: number
  /** Answered in place of everything. */
  status: number | undefined
  /** Creates or changes a slice and tells the watchers. */
  put(name: string, endpoints: readonly Endpoint[]): void
  remove(name: string): void
  bookmark(): void
  /** An event of the test's own, in pieces that do not end where lines do. */
  raw(...pieces: string[]): void
  /** Ends all watches, as the server does when their time is over. */
  endWatches(): void
  cutWatches(): void
  readonly version: number
  readonly watching: number
  close(): Promise<void>
}

export async function startKubeApi(namespace: string, service: string): Promise<KubeApi> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`
  const slices = new Map<string, EndpointSlice>()
  const watchers = new Set<ServerResponse>()
  const history: { version: number; line: string }[] = []
  let version = 1000

  function emit(type: string, object: unknown): void {
    const line = `${JSON.stringify({ type, object })}\n`
    history.push({ version, line })
    for (const watcher of watchers) watcher.write(line)
  }

  function list(response: ServerResponse): void {
    const body = {
      kind: 'EndpointSliceList',
      apiVersion: 'discovery.k8s.io/v1',
      metadata: { resourceVersion: String(version) },
      items: [...slices.values()],
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  }

  function watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' })
    if (from < api.oldest) {
      // As the API server does it: the status is 200, and the error is an event.
      const error = { kind: 'Status', status: 'Failure', reason: 'Expired', code: 410 }
      return void response.end(`${JSON.stringify({ type: 'ERROR', object: error })}\n`)
    }
    response.flushHeaders()
    for (const event of history) if (event.version > from) response.write(event.line)
    watchers.add(response)
    response.on('close', () => watchers.delete(response))
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://api')
    api.tokens.push(request.headers.authorization)
    const isRight =
      url.pathname === path &&
      url.searchParams.get('labelSelector') === `kubernetes.io/service-name=${service}`
    const status = api.status ?? (isRight ? undefined : 404)
    if (status !== undefined) {
      const body = { kind: 'Status', status: 'Failure', code: status, message: 'scripted' }
      return void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const isWatch = url.searchParams.get('watch') === '1'
    ;(isWatch ? api.watches : api.lists).push(url)
    if (isWatch) watch(url, response)
    else list(response)
  }

  const http = createServer(serve)
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const api: KubeApi = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    lists: [],
    watches: [],
    tokens: [],
    oldest: 0,
    status: undefined,
    put(name, endpoints) {
      version++
      const type = slices.has(name) ? 'MODIFIED' : 'ADDED'
      const slice = {
        metadata: { name, namespace, resourceVersion: String(version) },
        addressType: 'IPv4',
        endpoints,
        ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
      }
      slices.set(name, slice)
      emit(type, slice)
    },
    remove(name) {
      version++
      const slice = slices.get(name)
      slices.delete(name)
      emit('DELETED', { ...slice, metadata: { ...slice?.metadata, resourceVersion: String(version) } })
    },
    bookmark() {
      version++
      emit('BOOKMARK', { kind: 'EndpointSlice', metadata: { resourceVersion: String(version) } })
    },
    raw(...pieces) {
      for (const piece of pieces) for (const watcher of watchers) watcher.write(piece)
    },
    endWatches() {
      for (const watcher of watchers) watcher.end()
    },
    cutWatches() {
      for (const watcher of watchers) watcher.destroy()
    },
    get version() {
      return version
    },
    get watching() {
      return watchers.size
    },
    close() {
      http.closeAllConnections()
      return new Promise((resolve) => http.close(() => resolve()))
    },
  }
  return api
}
