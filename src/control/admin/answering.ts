/** Reads the bodies of requests to the admin listener, and writes its replies. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { BufferList } from '../../lib/buffer-list.ts'
import { parseJson } from '../../lib/json-list.ts'
import type { AdminReply } from './contract.ts'
import { Problem } from './problem.ts'

export const COMMON_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/**
 * Writes a reply of the API. One with an `etag` of its own is not sent again to who has it; what has none is of this
 * instant, and is stored nowhere.
 */
export function write(request: IncomingMessage, response: ServerResponse, reply: AdminReply): void {
  const isJson = 'json' in reply
  const body = isJson ? Buffer.from(`${JSON.stringify(reply.json)}\n`) : Buffer.from(reply.text)
  const headers = isJson ? undefined : reply.headers
  const isKnown = isKnownAs(headers?.['etag'], request.headers['if-none-match'])
  response.writeHead(isKnown ? 304 : reply.status, {
    ...COMMON_HEADERS,
    'content-type': isJson ? 'application/json' : reply.contentType,
    ...(isKnown ? {} : { 'content-length': body.length }),
    ...headers,
  })
  response.end(isKnown || request.method === 'HEAD' ? undefined : body)
}

/** Whether the client has what this tag stands for; weak tags are as good here, and `*` is any (RFC 9110, section 13.1.2). */
function isKnownAs(etag: string | undefined, ifNoneMatch: string | undefined): boolean {
  if (etag === undefined || ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  const tags = ifNoneMatch.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? []
  return tags.some((tag) => tag.replace(/^W\//, '') === etag)
}

/** The body of a request as JSON; undefined where there is none. Throws a Problem. */
export async function readJson(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const tooLarge = new Problem(413, `the body is larger than ${maxBytes} bytes`)
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge
  const list = new BufferList()
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    list.push(chunk)
    if (list.length > maxBytes) throw tooLarge
  }
  if (list.length === 0) return undefined
  try {
    return parseJson(list.joined())
  } catch (error) {
    throw new Problem(400, `the body is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
}
