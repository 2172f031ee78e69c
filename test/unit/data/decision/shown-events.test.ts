/** A stream whose server was asked for more than its caller wants to know, however it arrives and ends. */
import { expect, it } from 'vitest'
import type { RawPairs } from '../../../../src/core/call.ts'
import { GatewayError } from '../../../../src/core/errors.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { Incoming } from '../../../../src/data/backend/incoming.ts'
import type { SharedBodyReader } from '../../../../src/data/backend/shared-body.ts'
import { shownResponse } from '../../../../src/data/decision/shown-events.ts'
import type { UpstreamResponse } from '../../../../src/data/upstream/upstream-call.ts'
import { openai } from '../../../../src/protocol/openai/openai.ts'
import { openaiTarget } from '../../../../src/protocol/openai/target.ts'

const EVENTS = ['content-type', 'text/event-stream']
const SAID = ['a', 'b'].map((text) => `data: {"choices":[{"delta":{"content":"${text}"}}],"usage":null}\n\n`)
const USED = 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
const MARK = 'data: [DONE]\n\n'
const SHOWN = `${SAID.join('').replaceAll(',"usage":null', '')}${MARK}`

function asked() {
  const body = Buffer.from('{"stream":true}')
  const asking = openai.tokens?.asking({ target: openaiTarget('POST', '/v1/chat/completions') }, body)
  if (!asking) throw new Error('it is a stream')
  return asking
}

function arriving() {
  const state = { aborted: 0 }
  const flow = { pause: () => {}, resume: () => {}, abort: () => state.aborted++ }
  return { state, body: new Incoming(flow, () => {}) }
}

function shown(body: Reply['body'], headers: RawPairs = EVENTS): Reply {
  const response = { reply: { status: 200, headers, body }, ms: 1 } as unknown as UpstreamResponse
  return shownResponse(response, openai, asked()).reply
}

async function read({ body }: Reply): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(piece)
  return Buffer.concat(pieces).toString()
}

it('is as the caller has asked for it, wherever it is cut', async () => {
  const text = [...SAID, USED, MARK].join('')
  for (let at = 0; at <= text.length; at += 3) {
    const { body } = arriving()
    const reply = shown(body)
    body.push(Buffer.from(text.slice(0, at)))
    body.push(Buffer.from(text.slice(at)))
    body.end([])
    expect(await read(reply)).toBe(SHOWN)
  }
})

it('comes event by event, and not when it is over', async () => {
  const { body } = arriving()
  const pieces = (shown(body).body as SharedBodyReader)[Symbol.asyncIterator]()
  for (const event of SAID) {
    body.push(Buffer.from(event))
    const { value } = await pieces.next()
    expect(Buffer.from(value as Uint8Array).toString()).toBe(event.replace(',"usage":null', ''))
  }
})

it('is cancelled at its backend where the caller leaves, also before it has read', async () => {
  const { body, state } = arriving()
  const pieces = (shown(body).body as SharedBodyReader)[Symbol.asyncIterator]()
  await pieces.return?.()
  expect(state.aborted).toBe(1)
})

it('ends with the error of its backend', async () => {
  const { body } = arriving()
  const reading = read(shown(body))
  body.push(Buffer.from(SAID[0] as string))
  body.fail(new GatewayError('backendReset', 'gone'))
  await expect(reading).rejects.toThrow('gone')
})

it('that is there in one piece has the length of what is left', () => {
  const text = Buffer.from([...SAID, USED, MARK].join(''))
  const reply = shown(text, [...EVENTS, 'content-length', String(text.length)])
  expect(Buffer.from(reply.body as Uint8Array).toString()).toBe(SHOWN)
  expect(reply.headers).toEqual(EVENTS)
})

it.each([
  ['an error in JSON', ['content-type', 'application/json']],
  ['what is encoded', [...EVENTS, 'content-encoding', 'gzip']],
])('%s is left as it is', (_, headers) => {
  const { body } = arriving()
  expect(shown(body, headers).body).toBe(body)
})
