/**
 * A client of WebHDFS, the REST API of Hadoop's HDFS (and of HttpFS). An operation on a file's bytes takes two steps: the
 * NameNode answers with a redirect, and the DataNode that it names is sent the same. Several NameNodes are tried in
 * order, from the one that answered last; a standby says what it is. Kerberos and the renewal of delegation tokens are
 * left out: a token is read from where the operator puts it.
 */

import { HostSet } from '../core/host-set.ts'
import { StoreError } from './error.ts'
import { readWhole, type StoreBody, type StoreHttp, type StoreResponse } from './http.ts'
import { readRedirect } from './redirect.ts'
import { field, type HdfsChecksum, type HdfsStatus, invalid, refusalOf, statusOf } from './webhdfs-answers.ts'

export interface WebHdfsOptions {
  readonly http: StoreHttp
  /** `http(s)://host:port`, at least one. */
  readonly namenodes: readonly string[]
  /** Host patterns that redirects may lead to, besides the hosts of the NameNodes. */
  readonly dataNodes: readonly string[]
  /** Sent as `user.name` where there is no token; undefined: the server's default user. */
  readonly user?: string
  /** A delegation token, read before every operation because tokens are renewed. */
  readonly token?: () => Promise<string>
  /** Longest wait for the head of an answer, for the whole of one in JSON, and the longest silence in a body. */
  readonly timeoutMs: number
}

export interface CallOptions {
  /** Ends the operation at any time. */
  readonly signal?: AbortSignal
}

export interface UploadOptions {
  /** Ends the upload: its deadline, since what a body takes depends on its length. */
  readonly signal: AbortSignal
}

type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'

interface HdfsOperation extends CallOptions {
  readonly method: Method
  readonly op: string
  /** Absolute. */
  readonly path: string
  readonly params?: Readonly<Record<string, string>>
  /** It may be sent again when its answer was lost, because twice is as once. */
  readonly isIdempotent: boolean
}

const PREFIX = '/webhdfs/v1'
/** A listing of some 20,000 names. */
const MAX_JSON_BYTES = 8 * 1024 * 1024

export class WebHdfs {
  readonly #options: WebHdfsOptions
  readonly #hosts: HostSet
  /** Index of the NameNode that answered last. */
  #active = 0

  constructor(options: WebHdfsOptions) {
    this.#options = options
    const own = options.namenodes.map((url) => new URL(url).hostname)
    this.#hosts = new HostSet([...own, ...options.dataNodes])
  }

  /** Undefined where there is nothing at the path. */
  async status(path: string, options: CallOptions = {}): Promise<HdfsStatus | undefined> {
    const body = await this.#read({ method: 'GET', op: 'GETFILESTATUS', path, ...options }).catch(onMissing)
    return body === undefined ? undefined : statusOf(field(body, 'FileStatus'), path)
  }

  /** What is in a directory, in the server's order; of a file, the file alone. Rejects with `missing`. */
  async list(path: string, options: CallOptions = {}): Promise<HdfsStatus[]> {
    const body = await this.#read({ method: 'GET', op: 'LISTSTATUS', path, ...options })
    const found = field(field(body, 'FileStatuses'), 'FileStatus')
    if (!Array.isArray(found)) throw invalid('LISTSTATUS', path)
    return found.map((each) => statusOf(each, path))
  }

  /** The bytes of a file, to be read or closed. Rejects with `missing`. */
  async open(path: string, options: CallOptions = {}): Promise<StoreResponse> {
    return await this.#throughDataNode({ method: 'GET', op: 'OPEN', path, isIdempotent: true, ...options })
  }

  /**
   * The checksum that HDFS keeps of a file. Rejects with `incomplete` while the file is being written. Undefined where
   * the server keeps none, which is so behind HttpFS on other file systems.
   */
  async checksum(path: string, options: CallOptions = {}): Promise<HdfsChecksum | undefined> {
    const operation = { method: 'GET', op: 'GETFILECHECKSUM', path, isIdempotent: true, ...options } as const
    const answer = await this.#throughDataNode(operation).catch(onUnsupported)
    const found = answer && field(await this.#json(answer, operation), 'FileChecksum')
    const [algorithm, bytes] = [field(found, 'algorithm'), field(found, 'bytes')]
    return typeof algorithm === 'string' && typeof bytes === 'string' ? { algorithm, bytes } : undefined
  }

  /** Writes a whole file, with its parent directories. Without `overwrite` it rejects where the file exists. */
  async create(
    path: string,
    body: StoreBody,
    { overwrite = false, signal }: UploadOptions & { readonly overwrite?: boolean },
  ): Promise<void> {
    const params = { overwrite: `${overwrite}` }
    await this.#write({ method: 'PUT', op: 'CREATE', path, params, isIdempotent: true, signal }, body)
  }

  /** Appends to a file that exists. Not to be sent again when it failed: the bytes may be there. */
  async append(path: string, body: StoreBody, { signal }: UploadOptions): Promise<void> {
    await this.#write({ method: 'POST', op: 'APPEND', path, isIdempotent: false, signal }, body)
  }

  /** Makes a directory and its parents; one that is there is as good. */
  async mkdirs(path: string, options: CallOptions = {}): Promise<void> {
    if (!(await this.#did({ method: 'PUT', op: 'MKDIRS', path, isIdempotent: true, ...options })))
      throw new StoreError('denied', `MKDIRS of ${path}: not made`)
  }

  /**
   * False where nothing was renamed: `from` is not there, or `to` is. A `to` that is a directory gets the file into
   * it. After an error it may have been done.
   */
  async rename(from: string, to: string, options: CallOptions = {}): Promise<boolean> {
    checkPath(to)
    const params = { destination: to }
    return await this.#did({
      method: 'PUT',
      op: 'RENAME',
      path: from,
      params,
      isIdempotent: false,
      ...options,
    })
  }

  /** False where nothing was there. After an error it may have been done. */
  async delete(
    path: string,
    { recursive = false, ...options }: CallOptions & { readonly recursive?: boolean } = {},
  ): Promise<boolean> {
    const params = { recursive: `${recursive}` }
    return await this.#did({ method: 'DELETE', op: 'DELETE', path, params, isIdempotent: false, ...options })
  }

  async #did(operation: HdfsOperation): Promise<boolean> {
    const answer = field(await this.#read(operation), 'boolean')
    if (typeof answer !== 'boolean') throw invalid(operation.op, operation.path)
    return answer
  }

  /** One step: the NameNode's answer in JSON. */
  async #read(operation: Omit<HdfsOperation, 'isIdempotent'> & Partial<HdfsOperation>): Promise<unknown> {
    const whole: HdfsOperation = { isIdempotent: true, ...operation }
    const { answer } = await this.#ask(whole)
    if (answer.status >= 300) {
      answer.close()
      throw new StoreError('invalid', `${whole.op} of ${whole.path}: an unexpected redirect`)
    }
    return await this.#json(answer, whole)
  }

  async #write(operation: HdfsOperation, body: StoreBody): Promise<void> {
    const answer = await this.#throughDataNode(operation, body)
    await this.#text(answer, `${operation.op} of ${operation.path}`)
  }

  /**
   * Two steps: what the NameNode redirects to is sent the same, with the body. HttpFS answers what is read at once,
   * but redirects what is written, to itself.
   */
  async #throughDataNode(operation: HdfsOperation, body?: StoreBody): Promise<StoreResponse> {
    const { op, path, method } = operation
    const { answer, namenode } = await this.#ask(operation)
    if (answer.status < 300 && body === undefined) return answer
    answer.close()
    if (answer.status !== 307)
      throw new StoreError('invalid', `${op} of ${path}: status ${answer.status} in place of a redirect`)
    const rules = { isTls: namenode.startsWith('https:'), path: PREFIX + path, op, hosts: this.#hosts }
    const to = readRedirect(answer.header('location'), rules)
    if ('problem' in to) throw new StoreError('invalid', `${op} of ${path}: ${to.problem}`)
    const what = `${op} of ${path} at ${to.origin}`
    const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream' }
    const signal = operation.signal ?? NEVER
    const { http, timeoutMs } = this.#options
    const sent = { method, ...to, headers, timeoutMs, signal, what, ...(body === undefined ? {} : { body }) }
    const reply = await http.send(sent)
    if (reply.status < 300) return reply
    throw refusalOf(reply.status, await this.#text(reply, what), what)
  }

  /** The first NameNode's answer that is no standby's: 2xx or a redirect. Rejects with a StoreError for other statuses. */
  async #ask(operation: HdfsOperation): Promise<{ answer: StoreResponse; namenode: string }> {
    checkPath(operation.path)
    const { namenodes } = this.#options
    const target = await this.#target(operation)
    let last: StoreError | undefined
    for (let n = 0; n < namenodes.length; n++) {
      const at = (this.#active + n) % namenodes.length
      const namenode = namenodes[at] ?? ''
      try {
        const answer = await this.#askOne(operation, namenode, target)
        this.#active = at
        return { answer, namenode }
      } catch (error) {
        if (!(error instanceof StoreError) || !mayAskAnother(error, operation)) throw error
        last = error
      }
    }
    throw last ?? new StoreError('unreachable', 'no NameNode is configured')
  }

  async #askOne(
    { method, op, path, signal = NEVER }: HdfsOperation,
    namenode: string,
    target: string,
  ): Promise<StoreResponse> {
    const { http, timeoutMs } = this.#options
    const what = `${op} of ${path} at ${namenode}`
    // Jetty wants a length of zero with a PUT or POST that has no body.
    const body = method === 'PUT' || method === 'POST' ? new Uint8Array() : undefined
    const request = { method, origin: namenode, target, timeoutMs, signal, what }
    const answer = await http.send(body === undefined ? request : { ...request, body })
    if (answer.status < 300 || answer.status === 307) return answer
    throw refusalOf(answer.status, await this.#text(answer, what), what)
  }

  async #target({ op, path, params = {} }: HdfsOperation): Promise<string> {
    const { user, token } = this.#options
    const query = new URLSearchParams({ op, ...params })
    if (token) query.set('delegation', await token())
    else if (user !== undefined) query.set('user.name', user)
    return `${PREFIX}${path.split('/').map(encodeURIComponent).join('/')}?${query.toString()}`
  }

  async #json(answer: StoreResponse, { op, path }: HdfsOperation): Promise<unknown> {
    const text = await this.#text(answer, `${op} of ${path}`)
    try {
      return JSON.parse(text)
    } catch {
      throw invalid(op, path)
    }
  }

  async #text(answer: StoreResponse, what: string): Promise<string> {
    const bounds = { maxBytes: MAX_JSON_BYTES, timeoutMs: this.#options.timeoutMs, what }
    return (await readWhole(answer, bounds)).toString('utf8')
  }
}

const NEVER = new AbortController().signal

/** Throws unless it is absolute, with no empty segment and none that is `.` or `..`. */
function checkPath(path: string): void {
  const segments = path.split('/')
  const isPlain = segments.slice(1).every((each) => !['', '.', '..'].includes(each)) || path === '/'
  if (segments[0] !== '' || !isPlain || /[\0-\x1f\x7f]/.test(path))
    throw new StoreError('invalid', `"${path}" is no path of HDFS: write an absolute one`)
}

/** A standby is told apart by what it says; a lost answer only where the operation may be sent twice. */
function mayAskAnother(error: StoreError, { isIdempotent, signal }: HdfsOperation): boolean {
  if (signal?.aborted) return false
  return error.fault === 'unreachable' && (error.unsent || isIdempotent)
}

function onMissing(error: unknown): undefined {
  if (error instanceof StoreError && error.fault === 'missing') return undefined
  throw error
}

/** Operations that a server does not have are answered with 400. */
function onUnsupported(error: unknown): undefined {
  if (error instanceof StoreError && error.fault === 'invalid') return undefined
  throw error
}
