/**
 * What calls of this API take by the token. Before a call is sent that is an estimate: four bytes of its body are a token, and its
 * answer is as long as the caller lets it be. What it has taken stands in the `usage` of its answer; where a server does not say,
 * or the caller leaves before it does, an event is a token.
 */
import { header, type Target } from '../../core/call.ts'
import type { Reply, TokenCounts } from '../../core/reply.ts'
import { OPEN_ARRAY, OPEN_OBJECT, QUOTE } from '../json/bytes.ts'
import { Cursor } from '../json/scan.ts'
import type { RowAnswer, TokenFollower, TokenMeter } from '../protocol.ts'
import { isEventStream } from './generation/answer.ts'
import { StreamFollower } from './generation/follower.ts'
import { readNotes, spliced } from './generation/request.ts'
import { BOUNDS } from './generation/rules.ts'
import { tokensIn, USAGE_BYTES, usageIn } from './generation/usage.ts'
import { frameOf, SliceReader } from './items.ts'
import { latin1 } from './members.ts'
import type { OperationName } from './target.ts'
import { usageText } from './usage.ts'

const BYTES_PER_TOKEN = 4
/** Of an answer whose caller does not bound it. */
const UNBOUNDED_OUTPUT = 1024
/** Of a prompt in a body too long to be read: most of it is images. */
const LONG_INPUT = 32_768
/** More is taken for this: the longest contexts there are. */
const MOST = 1 << 20

/** Calls by the verb of their target, and whether they are answered with text. */
const VERBS: ReadonlyMap<string, boolean> = new Map<OperationName, boolean>([
  ['chat', true],
  ['completions', true],
  ['responses', true],
  ['embeddings', false],
  ['rerank', false],
  ['score', false],
  ['classify', false],
  ['pooling', false],
])

/**
 * What is passed on unread may take tokens, too: servers have more paths for the same work, such as `/invocations` or
 * `/chat/completions`, and each has its own. These take none.
 */
const FREE = /^\/v1\/(?:(?:batches|files|uploads|vector_stores)(?:\/.*)?|.*\/cancel)$/

const NONE: TokenCounts = { input: 0, output: 0 }

export const tokens: TokenMeter = {
  estimate({ method, path, target }, body) {
    const isText = VERBS.get(target?.verb ?? '')
    if (isText === undefined) return isUnread(method, target) && !FREE.test(path) ? NONE : undefined
    if (!(body instanceof Uint8Array)) return { input: LONG_INPUT, output: isText ? UNBOUNDED_OUTPUT : 0 }
    return { input: tokensOf(textBytes(body)), output: isText ? outputOf(body) : 0 }
  },
  estimateRows(rows) {
    const bytes = rows.reduce((sum, { wire }) => sum + wire.length, 0)
    return { input: tokensOf(bytes), output: 0 }
  },
  asking({ target }, body) {
    const kind = target?.verb
    // Responses say it always.
    if ((kind !== 'chat' && kind !== 'completions') || !isStreamed(body)) return undefined
    const notes = readNotes(kind, body)
    if (!notes?.usage) return undefined
    const follower = new StreamFollower(notes)
    return { body: spliced(body, notes.usage), shown: (events) => follower.push(events) }
  },
  follow: (reply, estimate) => new UsageFollower(reply, estimate),
  ofRows(answers) {
    const [first] = answers
    const frame = first && frameOf(first.frame)
    if (!frame) return undefined
    const slices = answers.map(({ slice }: RowAnswer) => new SliceReader(slice))
    return tokensIn(Buffer.from(usageText(frame.pattern, slices), 'latin1'))
  },
}

function isUnread(method: string, target: Target | undefined): boolean {
  return method === 'POST' && target?.verb === 'forward' && target.manages !== true
}

function tokensOf(bytes: number): number {
  return Math.min(MOST, Math.ceil(bytes / BYTES_PER_TOKEN))
}

const BASE64 = Buffer.from(';base64,')

/** The bytes of a body without those of images and sounds in it. */
function textBytes(body: Uint8Array): number {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.length)
  let count = bytes.length
  for (let at = bytes.indexOf(BASE64); at >= 0; at = bytes.indexOf(BASE64, at + 1)) {
    const end = bytes.indexOf(QUOTE, at)
    if (end < 0) break
    count -= end - at
    at = end
  }
  return count
}

/** The most tokens of the answer: as many as the caller allows each of its choices. */
function outputOf(body: Uint8Array): number {
  const cursor = new Cursor(body)
  let bound = 0
  let choices = 1
  let prompts = 1
  cursor.members((key) => {
    const first = cursor.peek()
    const start = cursor.pos
    if (key === 'prompt' && first === OPEN_ARRAY) {
      prompts = promptsIn(cursor)
      return cursor.problem === undefined
    }
    if (!cursor.skip()) return false
    if (BOUNDS.has(key)) bound = Math.max(bound, countAt(body, start, cursor.pos))
    else if (key === 'n' || key === 'best_of') choices = Math.max(choices, countAt(body, start, cursor.pos))
    return true
  })
  return Math.min(MOST, (bound || UNBOUNDED_OUTPUT) * choices * prompts)
}

function isStreamed(body: Uint8Array): boolean {
  const cursor = new Cursor(body)
  let isTrue = false
  cursor.members((key) => {
    const start = (cursor.peek(), cursor.pos)
    if (!cursor.skip()) return false
    if (key === 'stream') isTrue = latin1(body, start, cursor.pos) === 'true'
    return true
  })
  return isTrue
}

/** Walks over a list: texts and lists of tokens are a prompt each, tokens are one. */
function promptsIn(cursor: Cursor): number {
  let prompts = 0
  cursor.elements(() => {
    const first = cursor.peek()
    if (first === QUOTE || first === OPEN_ARRAY || first === OPEN_OBJECT) prompts++
    return cursor.skip()
  })
  return Math.max(1, prompts)
}

/** A whole number above 0; 0: it is none. */
function countAt(body: Uint8Array, start: number, end: number): number {
  const text = end - start > 7 ? '' : latin1(body, start, end)
  return /^[1-9]\d*$/.test(text) ? Number(text) : 0
}

const TEXT = /json|^text\//i
const DATA = Buffer.from('data:')
const FEED = 0x0a

/** Reads an answer as it arrives. Its `usage` may come in pieces, so the end of what was read is kept. */
class UsageFollower implements TokenFollower {
  readonly #estimate: TokenCounts
  readonly #isGood: boolean
  readonly #isEncoded: boolean
  readonly #isStream: boolean
  /** It may have a usage: sounds and images have none. */
  readonly #isText: boolean
  #said: TokenCounts | undefined
  /** A line begins. */
  #rest: Uint8Array = Buffer.from('\n')
  #bytes = 0
  #events = 0
  /** Those that have begun since it was said. */
  #eventsSince = 0

  constructor(reply: Pick<Reply, 'status' | 'headers'>, estimate: TokenCounts) {
    this.#estimate = estimate
    this.#isGood = reply.status >= 200 && reply.status < 300
    const coding = header(reply.headers, 'content-encoding') ?? 'identity'
    this.#isEncoded = coding.toLowerCase() !== 'identity'
    this.#isStream = isEventStream(reply)
    this.#isText = TEXT.test(header(reply.headers, 'content-type') ?? 'text/plain')
  }

  push(bytes: Uint8Array): void {
    if (!this.#isGood || this.#isEncoded || !this.#isText) return
    const before = this.#rest
    const read = Buffer.concat([before, bytes])
    const said = usageIn(read)
    if (said) this.#said = said.tokens
    if (this.#isStream) {
      const begun = eventsBegun(read, before.length)
      this.#events += begun
      this.#eventsSince = said ? eventsBegun(read, said.at) : this.#eventsSince + begun
    }
    this.#bytes += bytes.length
    this.#rest = read.subarray(Math.max(0, read.length - USAGE_BYTES))
  }

  get tokens(): TokenCounts {
    const { input, output } = this.#estimate
    if (!this.#isGood) return NONE
    if (this.#said) return this.#withWhatCame(this.#said)
    if (this.#isEncoded) return this.#estimate
    return { input, output: this.#isStream ? this.#events : Math.min(output, tokensOf(this.#bytes)) }
  }

  /**
   * What a stream says before its end is what it has taken by then, or something else of that name: a response begins with what
   * its caller has sent.
   */
  #withWhatCame(said: TokenCounts): TokenCounts {
    const more = this.#eventsSince - CLOSING_EVENTS
    if (more <= 0) return said
    return { input: Math.max(said.input, this.#estimate.input), output: said.output + more }
  }
}

/** Events behind the one that says what the whole stream has taken. */
const CLOSING_EVENTS = 2

/** How many lines of data begin in the bytes, of which those up to `known` were counted before. */
function eventsBegun(bytes: Buffer, known: number): number {
  // What began at the very end was not told from other fields yet.
  const from = Math.max(0, known - DATA.length + 1)
  let count = 0
  for (let at = bytes.indexOf(DATA, from); at >= 0; at = bytes.indexOf(DATA, at + 1))
    if (bytes[at - 1] === FEED) count++
  return count
}
