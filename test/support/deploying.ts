/** A model server in the words of TensorFlow Serving, whose model is replaced while calls run. On real sockets. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface DeployingServer {
  readonly url: string
  /** What it tells. */
  version: number
  /** What it is: a model may be replaced without being told. */
  content: number
  /** The predictions it was asked for: `content path instances`. */
  readonly asked: string[]
  close(): Promise<void>
}

/** Answers each instance with `content/instance`. */
export async function startDeploying(): Promise<DeployingServer> {
  const http = createServer((request, response) => {
    const json = (status: number, body: unknown) =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.method === 'GET') {
      if (request.url !== '/v1/models/m') return json(404, { error: 'not found' })
      return json(200, { model_version_status: [{ version: `${server.version}`, state: 'AVAILABLE' }] })
    }
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      server.asked.push(`${server.content} ${request.url} ${Buffer.concat(chunks).toString()}`)
      const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: unknown[] }
      json(200, { predictions: instances.map((instance) => `${server.content}/${String(instance)}`) })
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: DeployingServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    version: 1,
    content: 1,
    asked: [],
    close: () => {
      http.closeAllConnections()
      return new Promise((resolve) => http.close(() => resolve()))
    },
  }
  return server
}
