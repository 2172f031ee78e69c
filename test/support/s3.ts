/**
 * S3 as far as following a model goes: ListObjectsV2 with a delimiter and pages, HeadObject, and GetObject under
 * If-Match, over a real socket, path-style, in memory. Signatures are not checked; that there is one, is.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listen } from './webhdfs.ts'

export interface S3Server {
  readonly url: string
  /** `METHOD /bucket/key`, or with `?prefix=` a listing. */
  readonly asked: string[]
  /** Takes a request in place of the server; false: it did not. */
  trouble: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  /** Names a page of a listing; at least 1. */
  pageLength: number
  put(key: string, bytes: Uint8Array): void
  remove(key: string): void
  close(): Promise<void>
}

export async function startS3(bucket: string): Promise<S3Server> {
  const objects = new Map<string, Buffer>()
  const asked: string[] = []
  const { url, close } = await listen((request, response) => {
    const target = new URL(request.url ?? '', 'http://x')
    const prefix = target.searchParams.get('prefix')
    asked.push(`${request.method} ${target.pathname}${prefix === null ? '' : `?prefix=${prefix}`}`)
    if (server.trouble?.(request, response)) return
    if (!request.headers.authorization?.startsWith('AWS4-HMAC-SHA256'))
      return refuse(response, 403, 'AccessDenied')
    if (!target.pathname.startsWith(`/${bucket}`)) return refuse(response, 404, 'NoSuchBucket')
    if (target.searchParams.get('list-type') === '2') return list(target.searchParams, response)
    const key = decodeURIComponent(target.pathname.slice(bucket.length + 2))
    const found = objects.get(key)
    if (!found) return refuse(response, 404, 'NoSuchKey')
    const etag = `"${createHash('md5').update(found).digest('hex')}"`
    const wanted = request.headers['if-match']
    if (wanted !== undefined && wanted !== etag) return refuse(response, 412, 'PreconditionFailed')
    response.writeHead(200, { etag, 'content-length': found.length })
    response.end(request.method === 'HEAD' ? undefined : found)
  })

  function list(query: URLSearchParams, response: ServerResponse): void {
    const prefix = query.get('prefix') ?? ''
    const below = [...objects.keys()].filter((key) => key.startsWith(prefix))
    const folders = below.flatMap((key) => {
      const slash = key.indexOf('/', prefix.length)
      return slash < 0 ? [] : [key.slice(0, slash + 1)]
    })
    const all = [...new Set(folders)].toSorted()
    const from = Number(query.get('continuation-token') ?? 0)
    const page = all.slice(from, from + server.pageLength)
    const isTruncated = from + page.length < all.length
    const next = isTruncated ? `<NextContinuationToken>${from + page.length}</NextContinuationToken>` : ''
    const prefixes = page.map((each) => `<CommonPrefixes><Prefix>${each}</Prefix></CommonPrefixes>`).join('')
    response
      .writeHead(200, { 'content-type': 'application/xml' })
      .end(
        `<?xml version="1.0"?><ListBucketResult><Name>${bucket}</Name><Prefix>${prefix}</Prefix><KeyCount>${page.length}</KeyCount><IsTruncated>${isTruncated}</IsTruncated>${next}${prefixes}</ListBucketResult>`,
      )
  }

  const server: S3Server = {
    url,
    asked,
    trouble: undefined,
    pageLength: 1000,
    put: (key, bytes) => void objects.set(key, Buffer.from(bytes)),
    remove: (key) => void objects.delete(key),
    close,
  }
  return server
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response
    .writeHead(status, { 'content-type': 'application/xml' })
    .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`)
}
