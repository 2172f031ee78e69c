/** A web server of files with validators, as nginx is one: ETag, If-None-Match, 304. In memory, over a real socket. */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listen } from './webhdfs.ts'

export interface FileServer {
  readonly url: string
  /** `METHOD /path STATUS` of what was answered. */
  readonly answered: string[]
  /** Which validators its answers have. */
  validators: 'etag' | 'last-modified' | 'none'
  /** Further fields of a 200. */
  fields: (bytes: Buffer) => Record<string, string>
  /** Takes a request in place of the server; false: it did not. */
  trouble: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  put(path: string, bytes: Uint8Array): void
  remove(path: string): void
  close(): Promise<void>
}

export async function startFileServer(): Promise<FileServer> {
  const files = new Map<string, { bytes: Buffer; modified: string }>()
  let changes = 0
  const { url, close } = await listen((request, response) => {
    response.on('finish', () =>
      server.answered.push(`${request.method} ${request.url} ${response.statusCode}`),
    )
    if (server.trouble?.(request, response)) return
    const found = files.get(request.url ?? '')
    if (!found) return void response.writeHead(404).end()
    const etag = `"${createHash('md5').update(found.bytes).digest('hex')}"`
    const { 'if-none-match': match, 'if-modified-since': since } = request.headers
    if (server.validators === 'etag' && match === etag) return void response.writeHead(304, { etag }).end()
    if (server.validators === 'last-modified' && since === found.modified)
      return void response.writeHead(304).end()
    const validators = {
      etag: { etag },
      'last-modified': { 'last-modified': found.modified },
      none: {},
    }[server.validators]
    response.writeHead(200, {
      ...validators,
      'content-length': found.bytes.length,
      ...server.fields(found.bytes),
    })
    response.end(found.bytes)
  })
  const server: FileServer = {
    url,
    answered: [],
    validators: 'etag',
    fields: () => ({}),
    trouble: undefined,
    put: (path, bytes) => {
      const modified = new Date(Date.UTC(2026, 0, 1) + ++changes * 1000).toUTCString()
      files.set(path, { bytes: Buffer.from(bytes), modified })
    },
    remove: (path) => void files.delete(path),
    close,
  }
  return server
}
