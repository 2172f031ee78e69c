/** What WebHDFS answers: statuses of files, checksums, and errors, read without trust. */
import { StoreError, type StoreFault } from './error.ts'

export interface HdfsStatus {
  /** The last segment of the path in a listing; empty for the path that was asked for. */
  readonly name: string
  readonly type: 'FILE' | 'DIRECTORY' | 'SYMLINK'
  /** Bytes; of a file that is being written, those of its finished blocks. */
  readonly length: number
  /** Milliseconds since the Unix epoch. */
  readonly modified: number
  /** The inode: another one where a file was replaced. Undefined where the server has none. */
  readonly fileId: number | undefined
}

export interface HdfsChecksum {
  readonly algorithm: string
  /** Hexadecimal digits. */
  readonly bytes: string
}

/** What a NameNode answers that is up but not, or not yet, the one to ask. */
const ASK_ANOTHER = new Set(['StandbyException', 'RetriableException', 'ObserverRetryOnActiveException'])

/** The StoreError of an answer that says no, with what its body says. */
export function refusalOf(status: number, text: string, what: string): StoreError {
  const remote = field(parsed(text), 'RemoteException')
  const [exception, message] = [field(remote, 'exception'), field(remote, 'message')]
  const name = typeof exception === 'string' ? exception : `status ${status}`
  const said = typeof message === 'string' ? `: ${firstLine(message)}` : ''
  const standby = ASK_ANOTHER.has(name)
  const fault = standby ? 'unreachable' : faultOf(status, said)
  return new StoreError(fault, `${what}: ${name}${said}`, { unsent: standby })
}

/** What HDFS answers with 403 to a checksum of a file that a writer has open. */
const BEING_WRITTEN = /under construction|being written/i

function faultOf(status: number, said: string): StoreFault {
  if (BEING_WRITTEN.test(said)) return 'incomplete'
  if (status === 404) return 'missing'
  if (status === 401 || status === 403) return 'denied'
  return status >= 500 || status === 429 ? 'unreachable' : 'invalid'
}

/** A message of Hadoop may hold a stack. */
const firstLine = (message: string): string => message.split('\n', 1)[0]?.slice(0, 300) ?? ''

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function field(of: unknown, name: string): unknown {
  return typeof of === 'object' && of !== null ? (of as Record<string, unknown>)[name] : undefined
}

export function statusOf(found: unknown, path: string): HdfsStatus {
  const [name, type, length, modified, fileId] = [
    'pathSuffix',
    'type',
    'length',
    'modificationTime',
    'fileId',
  ].map((each) => field(found, each))
  const isKnown = type === 'FILE' || type === 'DIRECTORY' || type === 'SYMLINK'
  if (typeof name !== 'string' || !isKnown || !isCount(length) || !isCount(modified))
    throw invalid('status', path)
  return { name, type, length, modified, fileId: isCount(fileId) ? fileId : undefined }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

export const invalid = (op: string, path: string): StoreError =>
  new StoreError('invalid', `${op} of ${path}: the answer is not that of WebHDFS`)
