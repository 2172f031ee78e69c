/** Model servers that tell their versions as TensorFlow Serving, Open Inference servers and TorchServe do, on real sockets. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Ailment = 'none' | 'error' | 'overloaded' | 'garbage' | 'hang' | 'loading'

export interface VersionedServer {
  readonly url: string
  /** What it serves under the name `iris`, and under each that begins so. */
  versions: readonly string[]
  revision: string | undefined
  ailment: Ailment
  /** Requests so far. */
  asked: number
  close(): Promise<void>
}

export async function startVersioned(
  dialect: 'tfserving' | 'oip' | 'torchserve',
  ...versions: string[]
): Promise<VersionedServer> {
  const http = createServer((request, response) => {
    server.asked++
    if (server.ailment === 'hang') return
    if (server.ailment === 'error') return json(response, 500, { error: 'out of memory' })
    if (server.ailment === 'overloaded') return json(response, 503, { error: 'queue is full' })
    if (server.ailment === 'garbage') return void response.writeHead(200).end('{"model_version_st')
    if (dialect === 'tfserving') return tfserving(request.url ?? '', response, server)
    if (dialect === 'torchserve') return torchserve(request.url ?? '', response, server)
    return oip(request.url ?? '', response, server)
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: VersionedServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    versions,
    revision: undefined,
    ailment: 'none',
    asked: 0,
    close: () => stop(http),
  }
  return server
}

function tfserving(path: string, response: ServerResponse, { versions, ailment }: VersionedServer): void {
  if (!path.startsWith('/v1/')) {
    return json(response, 400, { error: `Malformed request: GET ${path}` })
  }
  if (!path.startsWith('/v1/models/iris')) {
    return json(response, 404, {
      error: `Could not find any versions of model ${path.slice('/v1/models/'.length)}`,
    })
  }
  const state = ailment === 'loading' ? 'LOADING' : 'AVAILABLE'
  const status = { error_code: 'OK', error_message: '' }
  json(response, 200, { model_version_status: versions.map((version) => ({ version, state, status })) })
}

function oip(path: string, response: ServerResponse, server: VersionedServer): void {
  if (!path.startsWith('/v2/models/iris'))
    return json(response, 404, { error: "Request for unknown model: 'iris'" })
  const { versions, revision, ailment } = server
  const tensor = { name: 'x', datatype: 'FP32', shape: [-1, 4] }
  json(response, 200, {
    name: 'iris',
    versions: ailment === 'loading' ? [] : versions,
    platform: 'onnxruntime_onnx',
    inputs: [tensor],
    outputs: [{ ...tensor, name: 'y' }],
    ...(revision === undefined ? {} : { parameters: { revision } }),
  })
}

/** Of one address for predictions and management; the last version is the one that answers where none is asked for. */
function torchserve(
  path: string,
  response: ServerResponse,
  { versions, revision = 'iris' }: VersionedServer,
): void {
  if (path.startsWith('/v1/models/iris')) return json(response, 200, { name: 'iris', ready: true })
  if (path !== '/models/iris') {
    const message = 'Requested resource is not found, please refer to API document.'
    return json(response, 404, { code: 404, type: 'ResourceNotFoundException', message })
  }
  const [modelVersion] = versions.slice(-1)
  const workers = [{ id: '9000', startTime: new Date().toISOString(), status: 'READY' }]
  json(response, 200, [
    { modelName: 'iris', modelVersion, modelUrl: `${revision}.mar`, minWorkers: 1, workers },
  ])
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
