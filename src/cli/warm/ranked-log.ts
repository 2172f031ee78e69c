/**
 * The calls of prediction logs, those first that were asked most. The files are read twice: to count, and to read what is asked,
 * each call from where it stands first. Of a call only a digest and a place are held.
 */
import { hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'
import { type LoggedLine, parseLogged } from '../../load-test/replay.ts'
import { UserError } from '../user-error.ts'

/** A call as the admin API takes it. */
export interface LoggedRequest {
  readonly method: string
  readonly path: string
  readonly headers: LoggedLine['request']['headers']
  readonly principal: string
  /** In base64. */
  readonly body: string
  readonly weight: number
}

interface Place {
  readonly file: number
  readonly at: number
  readonly length: number
  count: number
}

/** Different calls that are told apart: some 200 bytes each. What is new beyond them is not asked. */
const MAX_CALLS = 1_000_000
/** A longer line is none of ours: the prediction log bounds a record to 16 MiB. */
const MAX_LINE_BYTES = 48 << 20
const READ_BYTES = 1 << 20
const LINE_END = 0x0a

export class RankedLog {
  readonly #files: readonly string[]
  readonly #order: readonly Place[]
  /** Calls that are not asked since there are too many different ones. */
  readonly left: number

  private constructor(files: readonly string[], order: readonly Place[], left: number) {
    this.#files = files
    this.#order = order
    this.left = left
  }

  /** Rejects with a UserError where a file cannot be read or has no call of the route. */
  static async read(files: readonly string[], route: string): Promise<RankedLog> {
    const places = new Map<string, Place>()
    let left = 0
    for (const [file, path] of files.entries())
      for await (const { text, at, length } of linesOf(path)) {
        const line = parseLogged(text)
        if (!line || (line.route !== undefined && line.route !== route)) continue
        const digest = digestOf(line)
        const known = places.get(digest)
        if (known) known.count++
        else if (places.size < MAX_CALLS) places.set(digest, { file, at, length, count: 1 })
        else left++
      }
    if (places.size === 0) throw new UserError(`no line of the log is a call of the route "${route}"`)
    // Sorting is stable: of equals the earlier ones stay in front.
    const order = [...places.values()].sort((a, b) => b.count - a.count)
    return new RankedLog(files, order, left)
  }

  get size(): number {
    return this.#order.length
  }

  /** The calls from this position on. */
  async *from(position: number): AsyncGenerator<LoggedRequest> {
    const handles: (FileHandle | undefined)[] = this.#files.map(() => undefined)
    try {
      for (const { file, at, length, count } of this.#order.slice(position)) {
        const handle = (handles[file] ??= await open(this.#files[file] as string))
        const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, at)
        const line = parseLogged(buffer.toString('utf8', 0, bytesRead))
        if (line) yield requestOf(line, count)
      }
    } finally {
      for (const handle of handles) await handle?.close()
    }
  }
}

function requestOf(
  { method, path, query = '', principal = '', request }: LoggedLine,
  weight: number,
): LoggedRequest {
  const { headers, encoding, body } = request
  const base64 = encoding === 'base64' ? body : Buffer.from(body).toString('base64')
  return { method, path: path + query, headers, principal, body: base64, weight }
}

function digestOf({ method, path, query, principal, request }: LoggedLine): string {
  return hash('sha256', JSON.stringify([method, path, query, principal, request]), 'latin1')
}

interface FileLine {
  readonly text: string
  readonly at: number
  readonly length: number
}

async function* linesOf(path: string): AsyncGenerator<FileLine> {
  const handle = await open(path).catch((error: Error) => {
    throw new UserError(`cannot read ${path}: ${error.message}`)
  })
  try {
    let rest: Buffer = Buffer.alloc(0)
    let at = 0
    for (;;) {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(READ_BYTES))
      if (bytesRead === 0) break
      const bytes =
        rest.length > 0 ? Buffer.concat([rest, buffer.subarray(0, bytesRead)]) : buffer.subarray(0, bytesRead)
      let from = 0
      for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, from)) {
        yield { text: bytes.toString('utf8', from, end), at: at + from, length: end - from }
        from = end + 1
      }
      at += from
      rest = bytes.subarray(from)
      if (rest.length > MAX_LINE_BYTES)
        throw new UserError(`${path} is no prediction log: a line is too long`)
    }
    if (rest.length > 0) yield { text: rest.toString('utf8'), at, length: rest.length }
  } finally {
    await handle.close()
  }
}
