/**
 * HDFS as far as WebHDFS goes: NameNodes that keep the names and redirect, and a DataNode that has the bytes, in memory,
 * over real sockets. A file that a writer has open has no checksum, as in Hadoop. What each test does to it (a standby, a
 * redirect elsewhere, a body that breaks off) is set on the cluster.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

interface HdfsFile {
  bytes: Buffer
  modified: number
  fileId: number
  isOpen: boolean
}

export interface HdfsCluster {
  /** `http://127.0.0.1:port`, one a NameNode. */
  readonly namenodes: readonly string[]
  readonly dataNode: string
  /** `METHOD OP PATH`, with the node that was asked before it: `namenode 0 GET OPEN /a`. */
  readonly asked: string[]
  /** Raw targets, with their queries. */
  readonly targets: string[]
  /** Index of the NameNode that is not a standby. */
  active: number
  hasChecksums: boolean
  /** What a redirect leads to in place of the right place. */
  redirect: ((location: string) => string) | undefined
  /** Takes a request to the DataNode in place of it; false: it did not. */
  dataNodeTrouble: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  /** Takes a request to a NameNode in place of it; false: it did not. */
  nameNodeTrouble: ((request: IncomingMessage, response: ServerResponse, op: string) => boolean) | undefined
  put(path: string, bytes: Uint8Array): void
  /** A file that a writer has open, as it is until the writer closes it. */
  putOpen(path: string, bytes: Uint8Array): void
  remove(path: string): void
  read(path: string): Buffer | undefined
  close(): Promise<void>
}

const PREFIX = '/webhdfs/v1'

export async function startHdfs({ namenodes = 1 } = {}): Promise<HdfsCluster> {
  const files = new Map<string, HdfsFile>()
  const directories = new Set<string>(['/'])
  const asked: string[] = []
  const targets: string[] = []
  let inode = 16_385

  const dataNode = await listen((request, response) => {
    const { op, path } = noted('datanode', request)
    if (cluster.dataNodeTrouble?.(request, response)) return
    if (op === 'OPEN') return void response.writeHead(200, OCTETS).end(files.get(path)?.bytes)
    if (op === 'GETFILECHECKSUM') return checksum(path, response)
    // As a DataNode does it, though nobody has asked.
    response.writeContinue()
    void bodyOf(request).then((bytes) => {
      const before = op === 'APPEND' ? (files.get(path)?.bytes ?? Buffer.alloc(0)) : Buffer.alloc(0)
      put(path, Buffer.concat([before, bytes]), false)
      response.writeHead(op === 'CREATE' ? 201 : 200).end()
    })
  })

  const nameNodes = await Promise.all(
    Array.from({ length: namenodes }, (_, at) =>
      listen((request, response) => {
        const { op, path, url } = noted(`namenode ${at}`, request)
        if (cluster.nameNodeTrouble?.(request, response, op)) return
        if (cluster.active !== at)
          return refuse(response, 403, 'StandbyException', 'Operation category READ is not supported')
        if (['OPEN', 'GETFILECHECKSUM', 'APPEND'].includes(op) && !files.has(path))
          return missing(response, path)
        if (op === 'CREATE' && files.has(path) && url.searchParams.get('overwrite') !== 'true')
          return refuse(response, 403, 'FileAlreadyExistsException', `${path} already exists`)
        if (['OPEN', 'GETFILECHECKSUM', 'APPEND', 'CREATE'].includes(op)) return redirect(request, response)
        answer(op, path, url, response)
      }),
    ),
  )

  function noted(node: string, request: IncomingMessage): { op: string; path: string; url: URL } {
    const url = new URL(request.url ?? '', 'http://x')
    const op = url.searchParams.get('op')?.toUpperCase() ?? ''
    const path = decodeURIComponent(url.pathname.slice(PREFIX.length)) || '/'
    asked.push(`${node} ${request.method} ${op} ${path}`)
    targets.push(request.url ?? '')
    return { op, path, url }
  }

  function redirect(request: IncomingMessage, response: ServerResponse): void {
    const location = `${dataNode.url}${request.url}&namenoderpcaddress=localhost:8020&offset=0`
    response
      .writeHead(307, { location: cluster.redirect?.(location) ?? location, 'content-length': '0' })
      .end()
  }

  function answer(op: string, path: string, url: URL, response: ServerResponse): void {
    if (op === 'GETFILESTATUS') {
      const found = statusOf(path, '')
      return found ? json(response, { FileStatus: found }) : missing(response, path)
    }
    if (op === 'LISTSTATUS') {
      if (!statusOf(path, '')) return missing(response, path)
      return json(response, { FileStatuses: { FileStatus: children(path) } })
    }
    if (op === 'MKDIRS') return json(response, { boolean: makeDirectories(path) })
    if (op === 'RENAME') return json(response, { boolean: rename(path, url.searchParams.get('destination')) })
    if (op === 'DELETE') return json(response, { boolean: remove(path) })
    refuse(response, 400, 'IllegalArgumentException', `Invalid value for webhdfs parameter "op"`)
  }

  function statusOf(path: string, pathSuffix: string): object | undefined {
    const file = files.get(path)
    if (!file && !directories.has(path)) return undefined
    return {
      pathSuffix,
      type: file ? 'FILE' : 'DIRECTORY',
      length: file?.bytes.length ?? 0,
      modificationTime: file?.modified ?? 0,
      fileId: file?.fileId ?? 16_384,
      blockSize: 134_217_728,
      owner: 'hdfs',
      permission: '644',
      replication: 1,
    }
  }

  function children(path: string): unknown[] {
    if (files.has(path)) return [statusOf(path, '')]
    const under = path === '/' ? '/' : `${path}/`
    const names = [...files.keys(), ...directories].flatMap((each) =>
      each !== path && each.startsWith(under) && !each.slice(under.length).includes('/')
        ? each.slice(under.length)
        : [],
    )
    return names.toSorted().map((name) => statusOf(under + name, name))
  }

  function put(path: string, bytes: Uint8Array, isOpen: boolean): void {
    makeDirectories(path.slice(0, path.lastIndexOf('/')) || '/')
    files.set(path, { bytes: Buffer.from(bytes), modified: Date.now(), fileId: inode++, isOpen })
  }

  function makeDirectories(path: string): boolean {
    const segments = path.split('/').filter((each) => each !== '')
    segments.forEach((_, at) => directories.add(`/${segments.slice(0, at + 1).join('/')}`))
    return true
  }

  function rename(from: string, to: string | null): boolean {
    const file = files.get(from)
    if (!file || to === null || files.has(to)) return false
    files.delete(from)
    files.set(to, file)
    return true
  }

  function remove(path: string): boolean {
    const gone = [...files.keys(), ...directories].filter(
      (each) => each === path || each.startsWith(`${path}/`),
    )
    for (const each of gone) {
      files.delete(each)
      directories.delete(each)
    }
    return gone.length > 0
  }

  function checksum(path: string, response: ServerResponse): void {
    const file = files.get(path)
    if (!cluster.hasChecksums) return refuse(response, 400, 'UnsupportedOperationException', 'not supported')
    if (!file || file.isOpen) {
      const why = `Fail to get checksum, since file ${path} is under construction.`
      return refuse(response, 403, 'IOException', why)
    }
    const bytes = createHash('md5').update(file.bytes).digest('hex')
    json(response, { FileChecksum: { algorithm: 'MD5-of-0MD5-of-512CRC32C', bytes, length: 28 } })
  }

  const cluster: HdfsCluster = {
    namenodes: nameNodes.map(({ url }) => url),
    dataNode: dataNode.url,
    asked,
    targets,
    active: 0,
    hasChecksums: true,
    redirect: undefined,
    dataNodeTrouble: undefined,
    nameNodeTrouble: undefined,
    put: (path, bytes) => put(path, bytes, false),
    putOpen: (path, bytes) => put(path, bytes, true),
    remove,
    read: (path) => files.get(path)?.bytes,
    close: async () => void (await Promise.all([dataNode, ...nameNodes].map((each) => each.close()))),
  }
  return cluster
}

const OCTETS = { 'content-type': 'application/octet-stream' }

function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

function refuse(response: ServerResponse, status: number, exception: string, message: string): void {
  json(response, { RemoteException: { exception, javaClassName: `java.x.${exception}`, message } }, status)
}

const missing = (response: ServerResponse, path: string): void =>
  refuse(response, 404, 'FileNotFoundException', `File does not exist: ${path}`)

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

export async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ url: string; server: Server; close: () => Promise<void> }> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  }
  return { url: `http://127.0.0.1:${port}`, server, close }
}
