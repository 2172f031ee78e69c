/** A model server with a script: answers as told, and remembers what it was asked. Real sockets. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export type Script = (
  asked: Asked,
  response: ServerResponse,
  request: IncomingMessage,
) => void | Promise<void>

export interface ScriptedBackend {
  readonly url: string
  readonly port: number
  /** Predictions asked for; health probes and metadata do not count. */
  readonly asked: Asked[]
  script: Script
  /** Closes the listener and cuts every connection. */
  close(): Promise<void>
}

/** `{"predictions": [...]}`, each row the sum of its instance and the backend's name, so that answers tell who gave them. */
export const summing: Script = (asked, response) => {
  const { instances } = JSON.parse(asked.body.toString()) as { instances: (number | number[])[] }
  const predictions = instances.map((row) => [row].flat().reduce((sum, value) => sum + value, 0))
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ predictions }))
}

export async function startBackend(script: Script = summing, port = 0): Promise<ScriptedBackend> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const isProbe = request.method === 'GET' && !(request.url ?? '').startsWith('/opaque')
    if (isProbe)
      return void response.writeHead(200, { 'content-type': 'application/json' }).end('{"ready":true}')
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const entry: Asked = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks),
      }
      asked.push(entry)
      void backend.script(entry, response, request)
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  const bound = (server.address() as AddressInfo).port
  const backend: ScriptedBackend = {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    asked,
    script,
    close: () => stop(server),
  }
  return backend
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}
