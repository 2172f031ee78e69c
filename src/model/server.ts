/**
 * The server of embedded models, in two protocols: TensorFlow Serving's V1 and Open Inference's V2, the latter over gRPC too, at
 * the same port; of embedding models in OpenAI's as well.
 *
 *   body → tensors (v1, v2) → repository.find → runner.run → text
 *
 * It listens before its models are loaded, so that liveness and readiness are two answers. It computes on its own
 * thread: a process serves one core, and more cores need more processes.
 */
import { isUtf8 } from 'node:buffer'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { BufferList } from '../lib/buffer-list.ts'
import { http } from '../lib/http.ts'
import { CallMeter } from './call-meter.ts'
import { ModelError, reasonOf } from './error.ts'
import { GrpcServer } from './grpc/server.ts'
import { KEEP_ALIVE_MS, MAX_BODY_BYTES, REQUEST_TIMEOUT_MS } from './limits.ts'
import {
  describeError,
  describeModels,
  describeModel as describeOpenai,
  isOpenaiPath,
  readEmbeddings,
  writeEmbeddings,
} from './openai.ts'
import { splitByPreface } from './preface.ts'
import type { Repository } from './repository.ts'
import { type ModelRoute, matchRoute } from './routes.ts'
import { describeSignature, readPredict, statusOf, writePredict } from './v1.ts'
import { describeModel, readInfer, SERVER, writeInfer } from './v2.ts'

interface ModelServerReply {
  readonly body: string | Buffer
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

export interface ModelServerOptions {
  readonly repository: Repository
  /** The version that the server reports of itself. */
  readonly version: string
  /** Called with internal errors, which the caller sees only as 500. */
  readonly onFault: (error: unknown) => void
}

export class ModelServer {
  readonly #options: ModelServerOptions
  readonly #server: Server
  readonly #grpc: GrpcServer
  readonly #silent: ReadonlySet<Socket>
  readonly #meter = new CallMeter()
  #isDraining = false

  constructor(options: ModelServerOptions) {
    this.#options = options
    this.#server = http.createServer({ requestTimeout: REQUEST_TIMEOUT_MS, keepAliveTimeout: KEEP_ALIVE_MS })
    this.#server.on('request', (request, response) => void this.#answer(request, response))
    this.#grpc = new GrpcServer({ ...options, meter: this.#meter, isDraining: () => this.#isDraining })
    this.#silent = splitByPreface(this.#server, (socket) => this.#grpc.accept(socket))
  }

  /** Resolves to the server's URL. Rejects with the system's error, EADDRINUSE for one. */
  async listen(host: string, port: number): Promise<string> {
    this.#server.listen({ host, port })
    await once(this.#server, 'listening')
    const { address, family, port: bound } = this.#server.address() as AddressInfo
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${bound}`
  }

  /** Reports "not ready" and closes each connection with its answer; calls are still taken. */
  drain(): void {
    this.#isDraining = true
  }

  /** Resolves when no call has run for a moment, or after `timeoutMs`. */
  quiet(timeoutMs: number): Promise<void> {
    return this.#meter.quiet(timeoutMs)
  }

  /** Closes the listener and waits for running calls; after `timeoutMs` their connections are closed. */
  async close(timeoutMs: number): Promise<void> {
    this.drain()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#grpc.close()
    await this.#meter.idle(timeoutMs)
    // Idle connections, even those that never sent a request, would delay the close otherwise.
    this.#server.closeAllConnections()
    this.#grpc.destroy()
    for (const socket of this.#silent) socket.destroy()
    await closed
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#meter.open()
    response.once('close', () => this.#meter.close())
    try {
      const { body, status = 200, headers } = await this.#serve(request)
      this.#send(response, status, { 'content-type': 'application/json', ...headers }, body)
    } catch (error) {
      this.#fail(request, response, error)
    }
  }

  #send(response: ServerResponse, status: number, headers: Record<string, string>, body: string | Buffer) {
    if (this.#isDraining) headers['connection'] = 'close'
    headers['content-length'] = String(Buffer.byteLength(body))
    response.writeHead(status, headers).end(body)
  }

  #fail(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    if (response.headersSent || response.destroyed) return void response.destroy()
    const known = error instanceof ModelError ? error : undefined
    if (!known) this.#options.onFault(error)
    const headers: Record<string, string> = { 'content-type': 'application/json' }
    if (error instanceof ModelError && error.status === 405) headers['allow'] = String(error.cause)
    if (known?.status === 503) headers['retry-after'] = '1'
    // The rest of an unread body would be taken for the next request.
    if (!request.complete) headers['connection'] = 'close'
    const message = known?.message ?? 'the model server failed; its log says why'
    const status = known?.status ?? 500
    const isOpenai = isOpenaiPath(request.url ?? '')
    const body = isOpenai ? describeError(status, message) : JSON.stringify({ error: message })
    this.#send(response, status, headers, body)
  }

  async #serve(request: IncomingMessage): Promise<ModelServerReply> {
    const { repository, version } = this.#options
    const route = matchRoute(request.method ?? 'GET', request.url ?? '/')
    switch (route.name) {
      case 'live':
        return { body: '{"live": true}' }
      case 'ready':
        return this.#readiness(repository.isReady)
      case 'server':
        return { body: JSON.stringify({ name: SERVER.name, version, extensions: SERVER.extensions }) }
      case 'list':
        return { body: describeModels(repository) }
      case 'predict':
        return this.#meter.run(() => this.#predict(route, request))
      case 'infer':
        return this.#meter.run(() => this.#infer(route, request))
      case 'embed':
        return this.#meter.run(() => this.#embed(request))
      case 'load':
        return { body: JSON.stringify(this.#meter.load) }
      default:
        return this.#describe(route)
    }
  }

  #readiness(isLoaded: boolean): ModelServerReply {
    const isReady = isLoaded && !this.#isDraining
    return { status: isReady ? 200 : 503, body: `{"ready": ${isReady}}` }
  }

  #describe({ name, model, version }: ModelRoute): ModelServerReply {
    const { repository } = this.#options
    if (name === 'modelReady' && this.#isDraining) return this.#readiness(false)
    const served = repository.find(model, version)
    const versions = repository.versions(model)
    switch (name) {
      case 'status':
        return {
          body: JSON.stringify({
            ...describeOpenai(served),
            ...statusOf(version === undefined ? versions : [served]),
          }),
        }
      case 'metadata':
        return { body: describeSignature(served) }
      case 'modelReady':
        return { body: JSON.stringify({ name: model, ready: true }) }
      default:
        return { body: describeModel(served, versions) }
    }
  }

  async #predict({ model, version }: ModelRoute, request: IncomingMessage): Promise<ModelServerReply> {
    // Checked before the body is read: a body of 64 MiB for an unknown model is not worth reading.
    this.#options.repository.find(model, version)
    const text = textOf(await readBody(request))
    const served = this.#options.repository.find(model, version)
    const { tensors, form } = readPredict(text, served.inputs)
    return { body: writePredict(await served.runner.run(tensors), form) }
  }

  async #infer({ model, version }: ModelRoute, request: IncomingMessage): Promise<ModelServerReply> {
    this.#options.repository.find(model, version)
    const body = await readBody(request)
    const jsonLength = jsonLengthOf(request)
    if (jsonLength === undefined) textOf(body)
    const served = this.#options.repository.find(model, version)
    const call = readInfer(body, jsonLength, served)
    return writeInfer(served, call, await served.runner.run(call.tensors))
  }

  async #embed(request: IncomingMessage): Promise<ModelServerReply> {
    const call = readEmbeddings(textOf(await readBody(request)))
    const { embedder } = this.#options.repository.find(call.model)
    if (!embedder)
      throw new ModelError(400, `"${call.model}" takes tensors, and makes no embeddings of texts`)
    return { body: writeEmbeddings(call, await embedder.embed(call.inputs, call.dimensions)) }
  }
}

function jsonLengthOf(request: IncomingMessage): number | undefined {
  const header = request.headers['inference-header-content-length']
  if (header === undefined) return undefined
  if (typeof header === 'string' && /^\d{1,9}$/.test(header)) return Number(header)
  throw new ModelError(400, 'Inference-Header-Content-Length must be a number of bytes')
}

function textOf(body: Buffer): string {
  if (!isUtf8(body)) throw new ModelError(400, 'the body is not UTF-8')
  return body.toString()
}

const unzip = promisify(gunzip)

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLarge = () =>
    new ModelError(413, `the body is larger than ${MAX_BODY_BYTES} bytes: send fewer rows`)
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  const list = new BufferList()
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    list.push(chunk)
    if (list.length > MAX_BODY_BYTES) throw tooLarge()
  }
  const body = list.joined()
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding === 'identity') return body
  if (encoding !== 'gzip')
    throw new ModelError(415, `content-encoding ${encoding} is not read: use gzip or none`)
  return unzip(body, { maxOutputLength: MAX_BODY_BYTES }).catch((error: unknown) => {
    if (error instanceof RangeError) throw tooLarge()
    throw new ModelError(400, `the body is not gzip: ${reasonOf(error)}`, { cause: error })
  })
}
