/** What calls of OpenAI's API may take by the token, and what their answers say that they have taken, however those arrive. */
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../../../../src/core/call.ts'
import { Chunks } from '../../../../src/core/chunks.ts'
import { cutEmbeddings } from '../../../../src/protocol/openai/embeddings/rows.ts'
import { tokensIn } from '../../../../src/protocol/openai/generation/usage.ts'
import { openaiTarget } from '../../../../src/protocol/openai/target.ts'
import { tokens } from '../../../../src/protocol/openai/tokens.ts'

const CHAT = '/v1/chat/completions'

function estimate(path: string, body: string | object | undefined, method = 'POST') {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  const target = openaiTarget(method, path)
  return tokens.estimate({ method, path, target }, text === undefined ? undefined : Buffer.from(text))
}

describe('a call may take', () => {
  it.each([
    ['as long an answer as it allows', CHAT, { max_tokens: 100 }, 100],
    ['by the newer name', CHAT, { max_completion_tokens: 200, max_tokens: 100 }, 200],
    ['a response', '/v1/responses', { max_output_tokens: 300 }, 300],
    ['each of its choices', CHAT, { max_tokens: 100, n: 3 }, 300],
    ['the best of several', '/v1/completions', { max_tokens: 10, best_of: 4, n: 2 }, 40],
    ['each of its prompts', '/v1/completions', { max_tokens: 10, prompt: ['a', 'b'], n: 2 }, 40],
    ['lists of tokens', '/v1/completions', { max_tokens: 10, prompt: [[1, 2], [3]] }, 20],
    ['a list of tokens is one prompt', '/v1/completions', { max_tokens: 10, prompt: [1, 2, 3] }, 10],
    ['1,024 where it says nothing', CHAT, { messages: [] }, 1024],
    ['or nothing that a server would take', CHAT, { max_tokens: -1 }, 1024],
    ['no more than the longest there is', CHAT, { max_tokens: 9_999_999, n: 9 }, 1 << 20],
    ['what cannot be read is refused by its server', CHAT, '{"max_tokens":5', 5],
  ])('%s', (_, path, body, output) => {
    expect(estimate(path, body)?.output).toBe(output)
  })

  it('a token for four bytes, but not for those of an image', () => {
    expect(estimate('/v1/embeddings', `{"input":"${'x'.repeat(388)}"}`)).toEqual({ input: 100, output: 0 })
    const image = `data:image/png;base64,${'A'.repeat(100_000)}`
    const body = { messages: [{ content: [{ type: 'image_url', image_url: { url: image } }] }] }
    expect(estimate(CHAT, body)?.input).toBeLessThan(30)
    expect(estimate(CHAT, '{";base64,')?.input).toBe(3)
  })

  it('a fixed number where its body is too long to be read', () => {
    const target = openaiTarget('POST', CHAT)
    const body = new Chunks([Buffer.alloc(8 << 20, 0x20)])
    expect(tokens.estimate({ method: 'POST', path: CHAT, target }, body)).toEqual({
      input: 32_768,
      output: 1024,
    })
  })

  it.each([
    '/v1/audio/transcriptions',
    '/v1/images/generations',
    '/v1/messages',
    '/v1/messages/',
    '/invocations',
    '/chat/completions',
    '/v1/chat/completions/',
    '/v1/engines/m/completions',
    '/generate',
  ])('what its answer says, which cannot be known before: %s', (path) => {
    expect(estimate(path, undefined)).toEqual({ input: 0, output: 0 })
  })

  it.each([
    ['GET', '/v1/responses/resp_1'],
    ['POST', '/v1/responses/resp_1/cancel'],
    ['POST', '/tokenize'],
    ['POST', '/v1/files'],
    ['POST', '/v1/uploads/upload_1/parts'],
    ['POST', '/sleep'],
    ['GET', '/v1/models'],
  ])('none at all: %s %s', (method, path) => {
    expect(estimate(path, '{}', method)).toBeUndefined()
  })
})

const JSON_TYPE = ['content-type', 'application/json']
const EVENTS = ['content-type', 'text/event-stream; charset=utf-8']
const ESTIMATE = { input: 50, output: 100 }

interface Came {
  readonly status?: number
  readonly headers?: RawPairs
  readonly estimate?: typeof ESTIMATE
}

function followed(
  parts: readonly string[],
  { status = 200, headers = JSON_TYPE, estimate: of = ESTIMATE }: Came = {},
) {
  const follower = tokens.follow({ status, headers }, of)
  for (const part of parts) follower.push(Buffer.from(part))
  return follower.tokens
}

const chunk = (content: string) => `data: {"choices":[{"delta":{"content":"${content}"}}],"usage":null}\n\n`

describe('an answer has taken', () => {
  it.each([
    ['a chat', { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 }, { input: 9, output: 5 }],
    ['a response', { input_tokens: 8, output_tokens: 4 }, { input: 8, output: 4 }],
    ['embeddings', { prompt_tokens: 7, total_tokens: 7 }, { input: 7, output: 0 }],
    ['ranks', { total_tokens: 6 }, { input: 6, output: 0 }],
    ['a sum and a part', { completion_tokens: 2, total_tokens: 6 }, { input: 4, output: 2 }],
  ])('what it says: %s', (_, usage, wanted) => {
    expect(followed([JSON.stringify({ id: 'a', usage, results: [1, 2] })])).toEqual(wanted)
  })

  it('what it says, wherever it is cut', () => {
    const text = `${chunk('a')}: comment\n\n${chunk('data: b')}data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}\n\ndata: [DONE]\n\n`
    for (let at = 0; at <= text.length; at++)
      expect(followed([text.slice(0, at), text.slice(at)], { headers: EVENTS })).toEqual({
        input: 9,
        output: 2,
      })
    expect(followed(text.split(''), { headers: EVENTS })).toEqual({ input: 9, output: 2 })
  })

  it('a token an event where it says nothing, or its caller has left before', () => {
    const text = `${chunk('a')}: comment\n\n${chunk('data: b')}event: x\n${chunk('c')}`
    for (let at = 0; at <= text.length; at++)
      expect(followed([text.slice(0, at), text.slice(at)], { headers: EVENTS })).toEqual({
        input: 50,
        output: 3,
      })
    expect(followed(new Array<string>(300).fill(chunk('x')), { headers: EVENTS }).output).toBe(300)
  })

  it('what came behind what a stream has said too early, too', () => {
    const delta = 'event: d\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
    const begun = (tools: object) =>
      `data: ${JSON.stringify({ type: 'response.created', response: { tools, usage: null } })}\n\n`
    const feigned = begun([{ parameters: { usage: { input_tokens: 0, output_tokens: 0 } } }])
    const left = feigned + delta.repeat(10)
    expect(followed([left], { headers: EVENTS })).toEqual({ input: 50, output: 8 })
    expect(followed(left.match(/.{1,7}/gs) ?? [], { headers: EVENTS })).toEqual({ input: 50, output: 8 })
    const end = `data: ${JSON.stringify({ response: { usage: { input_tokens: 9, output_tokens: 7 } } })}\n\n`
    expect(followed([left, end], { headers: EVENTS })).toEqual({ input: 9, output: 7 })
    // As in Anthropic's messages.
    const start = 'data: {"message":{"usage":{"input_tokens":60,"output_tokens":1}}}\n\n'
    expect(followed([start, delta.repeat(200)], { headers: EVENTS })).toEqual({ input: 60, output: 199 })
  })

  it('of JSON that says nothing a token for four bytes, and no more than it might', () => {
    expect(followed(['x'.repeat(40)])).toEqual({ input: 50, output: 10 })
    expect(followed(['x'.repeat(4000)])).toEqual(ESTIMATE)
    expect(followed(['{"data":[]}'], { estimate: { input: 50, output: 0 } })).toEqual({
      input: 50,
      output: 0,
    })
  })

  it('nothing where it is a sound, whatever is in it', () => {
    const usage = '{"usage":{"prompt_tokens":9}}'
    const none = { input: 0, output: 0 }
    expect(followed([usage], { headers: ['content-type', 'audio/mpeg'], estimate: none })).toEqual(none)
    expect(followed([usage], { headers: [], estimate: none })).toEqual({ input: 9, output: 0 })
  })

  it('an event of a stream that was not read, and what is no stream only where it says it', () => {
    const none = { input: 0, output: 0 }
    expect(followed([chunk('a'), chunk('b')], { headers: EVENTS, estimate: none })).toEqual({
      input: 0,
      output: 2,
    })
    expect(followed(['{"text":"abcdefgh"}'], { estimate: none })).toEqual(none)
  })

  it('nothing where it is an error', () => {
    expect(followed(['{"usage":{"prompt_tokens":9,"completion_tokens":2}}'], { status: 500 })).toEqual({
      input: 0,
      output: 0,
    })
  })

  it('what it might where it is encoded', () => {
    expect(followed(['\u001f\u008b'], { headers: [...JSON_TYPE, 'Content-Encoding', 'gzip'] })).toEqual(
      ESTIMATE,
    )
  })

  it('what the last that says anything says, where not too many say nothing', () => {
    const said = JSON.stringify({ usage: { prompt_tokens: 9, completion_tokens: 5 } })
    const nested = `${'{"usage":'.repeat(60)}0${'}'.repeat(60)}`
    expect(followed([`[${nested},${nested},${said},${nested}]`])).toEqual({ input: 9, output: 5 })
    // Each would be read to its end: a megabyte of them took two seconds.
    expect(tokensIn(Buffer.from(`[${said},${nested},${nested}]`))).toBeUndefined()
  })

  it('no number that is none', () => {
    for (const prompt_tokens of ['9', -1, 1.5, 1e300, null])
      expect(followed([JSON.stringify({ usage: { prompt_tokens } })]).input).toBe(50)
  })
})

it('rows of an answer have taken their shares of what it says', () => {
  const body = Buffer.from(
    JSON.stringify({
      data: [0, 1, 2].map((index) => ({ index, embedding: [0.5, 1] })),
      usage: { prompt_tokens: 30, total_tokens: 30 },
    }),
  )
  const rows = ['"aaaa"', '"b"', '"cc"'].map((wire) => ({ wire: Buffer.from(wire), digest: '' as never }))
  const answers = cutEmbeddings({ status: 200, headers: [], body }, body, 3, rows) ?? []
  const shares = answers.map((answer) => tokens.ofRows([answer])?.input ?? 0)
  expect(shares.reduce((a, b) => a + b)).toBe(30)
  expect(tokens.ofRows(answers)).toEqual({ input: 30, output: 0 })
  expect(tokens.ofRows([])).toBeUndefined()
  expect(tokens.estimateRows(rows)).toEqual({ input: 4, output: 0 })
})

describe('a stream is asked what it has taken', () => {
  const asking = (path: string, body: string) =>
    tokens.asking({ target: openaiTarget('POST', path) }, Buffer.from(body))

  it.each([
    ['{"stream":true}', '{"stream":true,"stream_options":{"include_usage":true}}'],
    [
      '{"stream": true ,"temperature":2}',
      '{"stream": true ,"temperature":2,"stream_options":{"include_usage":true}}',
    ],
    ['{"stream":true,"stream_options":null}', '{"stream":true,"stream_options":{"include_usage":true}}'],
    ['{"stream":true,"store":true}', '{"stream":true,"store":true,"stream_options":{"include_usage":true}}'],
  ])('%s', (body, asked) => {
    expect(Buffer.from(asking(CHAT, body)?.body ?? []).toString()).toBe(asked)
    expect(asking('/v1/completions', body)).toBeDefined()
  })

  it.each([
    '{"stream":false}',
    '{}',
    '{"stream":true',
    '{"stream":true,"stream_options":{"include_usage":true}}',
  ])('but not %s', (body) => {
    expect(asking(CHAT, body)).toBeUndefined()
  })

  it('but not a response, which says it by itself', () => {
    expect(asking('/v1/responses', '{"stream":true}')).toBeUndefined()
    expect(asking('/v1/embeddings', '{"stream":true}')).toBeUndefined()
  })
})
