/**
 * Asks the predictions of a log again (`format: jsonl` of the prediction log), each as long behind the first as it was then, or by a
 * factor sooner.
 */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { RawPairs } from '../core/call.ts'
import { Condition } from '../lib/condition.ts'
import type { Arrivals } from './arrivals.ts'
import type { Question } from './question.ts'
import type { GeneratorShare } from './schedule.ts'

export interface ReplayPlan {
  /** In the order in which they are read. */
  readonly files: readonly string[]
  /** 2 asks twice as fast. */
  readonly speed: number
}

/** A call of the log. */
interface LoggedCall {
  readonly dueMs: number
  readonly question: Question
}

/** Lines that are read ahead. */
const AHEAD = 512

export class ReplayedArrivals implements Arrivals {
  readonly #calls: LoggedCall[] = []
  #isRead = false
  readonly #taken = new Condition()
  onChange = (): void => {}

  constructor(plan: ReplayPlan, share: GeneratorShare, headers: RawPairs) {
    void this.#read(plan, share, headers)
  }

  get dueMs(): number {
    return this.#calls[0]?.dueMs ?? Number.POSITIVE_INFINITY
  }

  get isOver(): boolean {
    return this.#isRead && this.#calls.length === 0
  }

  take(): Question {
    const { question } = this.#calls[0] as LoggedCall
    this.skip()
    return question
  }

  skip(): void {
    this.#calls.shift()
    this.#taken.notify()
  }

  close(): void {
    this.#isRead = true
    this.#calls.length = 0
    this.#taken.notify()
  }

  /** Each generator reads all and takes its part. A file that cannot be read ends the replay: the command has looked at it before. */
  async #read(plan: ReplayPlan, { index, of }: GeneratorShare, headers: RawPairs): Promise<void> {
    let count = 0
    try {
      for await (const call of loggedCalls(plan, headers)) {
        if (count++ % of === index) this.#calls.push(call)
        while (!this.#isRead && this.#calls.length >= AHEAD) await this.#taken.wait()
        if (this.#isRead) return
        if (this.#calls.length === 1) this.onChange()
      }
    } catch {
      // What was read is asked.
    }
    this.#isRead = true
    this.onChange()
  }
}

/** What a line of the log says of a call. */
export interface LoggedLine {
  readonly time: string
  readonly method: string
  readonly path: string
  readonly query?: string
  readonly route?: string
  /** The caller in keys. */
  readonly principal?: string
  readonly request: {
    readonly headers: readonly { readonly name: string; readonly value: string }[]
    readonly encoding: 'utf8' | 'base64'
    readonly body: string
  }
}

async function* loggedCalls({ files, speed }: ReplayPlan, headers: RawPairs): AsyncGenerator<LoggedCall> {
  let first: number | undefined
  let last = 0
  const lists = new Map<string, RawPairs>()
  for (const file of files)
    for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
      const line = parseLogged(text)
      if (!line) continue
      const at = Date.parse(line.time)
      first ??= at
      // A log has its lines in the order of the answers, and several files may overlap.
      last = Math.max(last, (at - first) / speed)
      yield { dueMs: last, question: questionOf(line, headers, lists) }
    }
}

/** A line of the log; undefined: it is none. */
export function parseLogged(text: string): LoggedLine | undefined {
  try {
    const line = JSON.parse(text) as Partial<LoggedLine> | null
    const { time, method, path, request } = line ?? {}
    const isCall = typeof method === 'string' && typeof path === 'string' && typeof request?.body === 'string'
    return isCall && !Number.isNaN(Date.parse(time ?? '')) ? (line as LoggedLine) : undefined
  } catch {
    return undefined
  }
}

/** The latest and the first time of a log, and its calls, for a plan of the whole. */
export interface LogSpan {
  readonly calls: number
  readonly ms: number
}

export async function spanOf(files: readonly string[]): Promise<LogSpan> {
  let calls = 0
  let ms = 0
  for await (const { dueMs } of loggedCalls({ files, speed: 1 }, [])) {
    calls++
    ms = dueMs
  }
  return { calls, ms }
}

/** Given fields take the place of logged ones of the same name. Equal lists of fields become one list. */
function questionOf(line: LoggedLine, given: RawPairs, lists: Map<string, RawPairs>): Question {
  const { headers: logged, encoding, body } = line.request
  const names = new Set(given.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase()))
  const kept = logged.filter(({ name }) => !names.has(name.toLowerCase()))
  const fields = [...kept.flatMap(({ name, value }) => [name, value]), ...given]
  const key = fields.join('\n')
  const headers = lists.get(key) ?? fields
  if (lists.size < MAX_LISTS) lists.set(key, headers)
  const isGrpc = logged.some(
    ({ name, value }) => name === 'content-type' && value.startsWith('application/grpc'),
  )
  return {
    method: line.method,
    target: line.path + (line.query ?? ''),
    headers,
    body: Buffer.from(body, encoding),
    rows: 1,
    transport: isGrpc ? 'grpc' : 'http',
  }
}

const MAX_LISTS = 1000
