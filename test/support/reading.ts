/** An answer as a client reads it piece by piece: events as they come. */
import { request } from 'node:http'
import { eventsIn } from '../../src/lib/sse-reader.ts'
import { later } from './later.ts'

/** The most characters that are kept of an answer. */
const KEPT = 64 << 10

export interface Reading {
  readonly status: number
  readonly headers: Record<string, unknown>
  /** What has arrived so far; of a long answer the last of it. */
  text: string
  /** The bytes that have arrived so far. */
  length: number
  isOver: boolean
  /** The connection ended before the answer did. */
  isCut: boolean
  /** What the deltas add up to. */
  content(): string
  data(): unknown[]
  leave(): void
  pause(): void
  resume(): void
  over(): Promise<Reading>
}

/** Posts `body`, and resolves when the head of the answer is there. */
export function read(url: string, body: object, headers: Record<string, string> = {}): Promise<Reading> {
  const sent = request(url, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', ...headers },
  })
  const { promise, resolve, reject } = Promise.withResolvers<Reading>()
  sent.on('error', reject)
  sent.on('response', (response) => {
    const ended = Promise.withResolvers<void>()
    const reading: Reading = {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text: '',
      length: 0,
      isOver: false,
      isCut: false,
      data: () => eventsIn(reading.text).map(({ data }) => (data === '[DONE]' ? data : JSON.parse(data))),
      content: () => reading.data().map(deltaOf).join(''),
      leave: () => sent.destroy(),
      pause: () => response.pause(),
      resume: () => response.resume(),
      async over() {
        await ended.promise
        return reading
      },
    }
    response.on('data', (bytes: Buffer) => {
      reading.length += bytes.length
      reading.text = (reading.text + bytes.toString('latin1')).slice(-KEPT)
    })
    response.on('close', () => {
      reading.isOver = true
      reading.isCut = !response.complete
      ended.resolve()
    })
    response.on('error', () => {})
    resolve(reading)
  })
  sent.end(JSON.stringify(body))
  return later(promise)
}

/** What an event adds to the text: of a chat, a text completion or a response. */
function deltaOf(event: unknown): string {
  const { choices, type, delta } = event as {
    choices?: { delta?: { content?: string }; text?: string }[]
    type?: string
    delta?: string
  }
  if (type !== undefined) return type === 'response.output_text.delta' ? (delta ?? '') : ''
  const [choice] = choices ?? []
  return choice?.delta?.content ?? choice?.text ?? ''
}
