/**
 * One kept answer in each form that is asked for: events for those who want a stream, the answer in one piece for others. What
 * was given before gets an id of its own; the rest stays as it was.
 */
import { header } from '../../../core/call.ts'
import type { Reply } from '../../../core/reply.ts'
import { eventsIn } from '../../../lib/sse-reader.ts'
import type { AnswerOrigin } from '../../protocol.ts'
import { type ExactObject, parseExact } from './exact-json.ts'
import { answerOf } from './fold.ts'
import { DONE, isGoodEnding, isGoodResponse, StreamFollower, withoutUsage } from './follower.ts'
import { type Identified, withFreshId } from './fresh-id.ts'
import type { GenerationNotes } from './request.ts'
import { eventsOf, responseOf } from './responses.ts'
import { chunksOf } from './unfold.ts'
import { tokensIn } from './usage.ts'

export const EVENTS = 'text/event-stream'

/** The reply for a caller; undefined: it cannot be put into the form that this caller wants without loss. */
export function generationFor(
  reply: Reply,
  notes: GenerationNotes,
  { isOwn = false }: AnswerOrigin = {},
): Reply | undefined {
  const { status, body } = reply
  // What a server answers to this very call in another form than was asked for is its own way.
  if (status !== 200 || !(body instanceof Uint8Array) || (isOwn && isEventStream(reply) !== notes.isStreamed))
    return reply
  const saved = () => tokensIn(body)
  const given = inForm(reply, body, notes, isOwn)
  return given && !isOwn ? { ...given, saved } : given
}

function inForm(reply: Reply, body: Uint8Array, notes: GenerationNotes, isOwn: boolean): Reply | undefined {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString()
  if (isEventStream(reply) === notes.isStreamed) return sameForm(reply, text, notes, isOwn)
  const made = notes.isStreamed ? asEvents(text, notes) : asJson(text, notes)
  return made === undefined ? undefined : written(reply, withOwnId(made, notes), notes)
}

/** Whether a 200 is the whole answer, and one that the same request would be given again. */
export function isKeepable(reply: Reply, body: Uint8Array, notes: GenerationNotes): boolean {
  if (isEventStream(reply)) {
    const follower = new StreamFollower(notes)
    follower.push(body)
    return follower.isWhole
  }
  const said = objectOf(body)
  if (!said || (said['error'] !== undefined && said['error'] !== null)) return false
  if (notes.kind === 'responses') return isGoodResponse(said, notes)
  const choices = said['choices']
  if (!Array.isArray(choices) || choices.length < notes.choices) return false
  return choices.every((choice: Members) => isGoodEnding(choice?.['finish_reason'], notes))
}

export function isEventStream({ headers }: Pick<Reply, 'headers'>): boolean {
  return header(headers, 'content-type')?.toLowerCase().startsWith(EVENTS) === true
}

function sameForm(reply: Reply, text: string, notes: GenerationNotes, isOwn: boolean): Reply {
  const own = isOwn ? { text, ownId: undefined } : withOwnId(text, notes)
  const shown = notes.isStreamed && !notes.wantsUsage ? withoutUsage(own.text) : own.text
  return shown === text ? reply : written(reply, { ...own, text: shown }, notes)
}

/** The reply with another text. */
function written(reply: Reply, { text, ownId }: Identified, { isStreamed }: GenerationNotes): Reply {
  const headers = reply.headers.flatMap((part, i) => {
    if (i % 2 === 1) return []
    const name = part.toLowerCase()
    return name === 'content-type' || name === 'content-length' ? [] : [part, reply.headers[i + 1] as string]
  })
  const type = isStreamed ? `${EVENTS}; charset=utf-8` : 'application/json'
  return {
    status: reply.status,
    headers: ['content-type', type, ...headers],
    body: Buffer.from(text),
    ...(ownId === undefined ? {} : { ownId }),
  }
}

function withOwnId(text: string, { isStreamed }: GenerationNotes): Identified {
  if (!isStreamed) return withFreshId(text, text, (first) => parseExact(first)?.['id'])
  const end = Math.max(FIRST_EVENTS, text.indexOf('\n\n') + 2)
  // Azure begins with an event whose id is empty.
  const first = eventsIn(text.slice(0, end)).find(({ data }) => HAS_ID.test(data))?.data ?? ''
  return withFreshId(text, first, () => idOf(parseExact(first)))
}

const HAS_ID = /"id"\s*:\s*"[^"]/

/** Comments before the first event fit into this many characters, or the id stays. */
const FIRST_EVENTS = 2048

function idOf(event: ExactObject | undefined): unknown {
  const response = event?.['response'] as ExactObject | undefined
  return response?.['id'] ?? event?.['id']
}

/** The answer in one piece that events add up to. */
function asJson(text: string, { kind }: GenerationNotes): string | undefined {
  const chunks: ExactObject[] = []
  for (const { data } of eventsIn(text)) {
    if (data === DONE) continue
    const chunk = parseExact(data)
    if (!chunk) return undefined
    chunks.push(chunk)
  }
  const answer = kind === 'responses' ? responseOf(chunks) : answerOf(kind, chunks)
  return answer && JSON.stringify(answer)
}

function asEvents(text: string, { kind, wantsUsage }: GenerationNotes): string | undefined {
  const answer = parseExact(text)
  if (!answer) return undefined
  if (kind === 'responses')
    return eventsOf(answer)
      ?.map((event) => `event: ${event.type}\n${dataOf(event)}`)
      .join('')
  const chunks = chunksOf(kind, answer, wantsUsage)
  return chunks && `${chunks.map(dataOf).join('')}data: ${DONE}\n\n`
}

function dataOf(event: ExactObject): string {
  return `data: ${JSON.stringify(event)}\n\n`
}

type Members = Readonly<Record<string, unknown>>

function objectOf(body: Uint8Array): Members | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString())
    return typeof value === 'object' && value !== null ? (value as Members) : undefined
  } catch {
    return undefined
  }
}
