/** Model servers that tell little of their versions: MLServer, KServe, TensorFlow Serving's labels. On real sockets. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface UntoldServer {
  readonly url: string
  /** What the model is; each answer has it as its output. */
  content: number
  /** What answers say of their version; undefined: nothing. */
  stated: string | undefined
  /** What the repository's index says; undefined: there is none. */
  indexed: { version?: string; state: string } | undefined
  /** Versions to which labels point, and what these answer; undefined: labels are not told. */
  label: number | undefined
  /** A load is refused. */
  refuses: boolean
  close(): Promise<void>
}

const PREDICTIONS = /^\/v1\/models\/m\/labels\/stable:predict$/

export async function startUntold(): Promise<UntoldServer> {
  const http = createServer((request, response) => {
    const json = (status: number, body: unknown) =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    request.resume().on('end', () => {
      const [status, body] = answer(server, request.method ?? '', request.url ?? '')
      json(status, body)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const server: UntoldServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    content: 1,
    stated: undefined,
    indexed: undefined,
    label: undefined,
    refuses: false,
    close: () => {
      http.closeAllConnections()
      return new Promise((resolve) => http.close(() => resolve()))
    },
  }
  return server
}

function answer(server: UntoldServer, method: string, path: string): [number, unknown] {
  const { content, stated, indexed, label, refuses } = server
  const none: [number, unknown] = [404, { error: 'Not Found' }]
  if (PREDICTIONS.test(path)) return [200, { predictions: [content] }]
  if (path === '/v1/models/m/labels/stable' && label !== undefined)
    return [200, { model_version_status: [{ version: `${label}`, state: 'AVAILABLE' }] }]
  if (path === '/v2/models/m/infer')
    return [
      200,
      {
        model_name: 'm',
        ...(stated === undefined ? {} : { model_version: stated }),
        outputs: [{ name: 'y', datatype: 'INT32', shape: [1], data: [content] }],
      },
    ]
  if (method === 'GET' && path === '/v2/models/m')
    return [200, { name: 'm', versions: [], platform: '', inputs: [], outputs: [] }]
  if (method === 'POST' && path === '/v2/repository/index')
    return indexed ? [200, [{ name: 'm', reason: '', ...indexed }]] : none
  if (method === 'POST' && path === '/v2/repository/models/m/load')
    return refuses ? [403, { error: 'no' }] : [200, {}]
  return none
}
