/**
 * A server that says what TorchServe 0.12 says, byte for byte: no reason behind a 200 of a model, its four standing fields, no
 * date, no content type of JSON that a model returned, errors of its own in three lines, streams in chunks.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Asked } from './backend.ts'

const STANDING = [
  ['Pragma', 'no-cache'],
  ['Cache-Control', 'no-cache; no-store, must-revalidate, private'],
  ['Expires', 'Thu, 01 Jan 1970 00:00:00 UTC'],
] as const

export type TorchScript = (asked: Asked, answer: TorchAnswers) => unknown

export interface TorchAnswers {
  /** What a model's code returned; `fields` are those that it set. */
  model(text: string | Uint8Array, fields?: Readonly<Record<string, string>>): void
  /** A piece a call, and `end` with the last. */
  piece(text: string): void
  end(text: string): void
  /** The generator has failed, or its worker died. */
  cut(): void
  error(status: number, reason: string, type: string, message: string): void
  management(body: unknown): void
}

export interface TorchServer {
  readonly url: string
  readonly port: number
  /** All but what the gateway asks by itself. */
  readonly asked: Asked[]
  script: TorchScript
  close(): Promise<void>
}

export async function startTorchServe(script: TorchScript): Promise<TorchServer> {
  const asked: Asked[] = []
  const http = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request
      const one = { method, path, headers, body: Buffer.concat(chunks) }
      asked.push(one)
      server.script(one, answersTo(response, asked.length))
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const { port } = http.address() as AddressInfo
  const server: TorchServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    asked,
    script,
    close() {
      http.closeAllConnections()
      return new Promise((resolve) => http.close(() => resolve()))
    },
  }
  return server
}

function answersTo(response: ServerResponse, serial: number): TorchAnswers {
  response.sendDate = false
  const id = ['x-request-id', `00000000-0000-4000-8000-${String(serial).padStart(12, '0')}`] as const
  const json = (status: number, reason: string, body: unknown) => {
    const text = `${JSON.stringify(body, null, 2)}\n`
    const own = [
      ['content-type', 'application/json'],
      id,
      ...STANDING,
      ['content-length', String(text.length)],
    ]
    const connection = status < 400 ? 'keep-alive' : 'close'
    response.writeHead(status, reason, [...own, ['connection', connection]].flat()).end(text)
  }
  return {
    model(text, fields = {}) {
      const length = ['content-length', String(Buffer.byteLength(text))] as const
      const head = [...Object.entries(fields), id, ...STANDING, length, ['connection', 'keep-alive']]
      response.writeHead(200, '', head.flat()).end(text)
    },
    piece(text) {
      const own = [['ts_stream_next', 'true'], id, ...STANDING, ['transfer-encoding', 'chunked']]
      if (!response.headersSent) response.writeHead(200, '', [...own, ['connection', 'keep-alive']].flat())
      response.write(text)
    },
    end: (text) => void response.end(text),
    cut: () => void response.destroy(),
    error: (status, reason, type, message) => json(status, reason, { code: status, type, message }),
    management: (body) => json(200, 'OK', body),
  }
}
