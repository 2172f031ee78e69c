/** One kept answer as events and in one piece: without loss, or not at all. */
import { describe, expect, it } from 'vitest'
import type { RawPairs } from '../../../../src/core/call.ts'
import { GatewayError } from '../../../../src/core/errors.ts'
import { digestOf } from '../../../../src/core/key.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { eventsIn } from '../../../../src/lib/sse-reader.ts'
import { generation, generationOf } from '../../../../src/protocol/openai/generation/generation.ts'
import type { GenerationKind } from '../../../../src/protocol/openai/generation/rules.ts'
import type { AnswerOrigin, Plan } from '../../../../src/protocol/protocol.ts'

const CALL = {} as Parameters<ReturnType<typeof generationOf>['read']>[0]

function planOf(members: Record<string, unknown>, kind: GenerationKind = 'chat'): Plan {
  const body = Buffer.from(JSON.stringify({ temperature: 0, store: false, ...members }))
  const plan = generationOf(kind).read(CALL, body, { seed: digestOf(''), split: false })
  if ('bypass' in plan) throw new Error(plan.bypass)
  return plan
}

/** An answer as one caller gets what is kept for all; undefined: it does not get it. */
function given(
  reply: Reply,
  members: Record<string, unknown>,
  kind: GenerationKind = 'chat',
  origin: AnswerOrigin = {},
) {
  return generationOf(kind).address?.(
    reply,
    { headers: [], query: '', body: NOTHING, target: undefined },
    planOf(members, kind),
    origin,
  )
}

const NOTHING = new Uint8Array(0)

function reply(body: string, type: string): Reply {
  const headers: RawPairs = ['content-type', type, 'x-kept', 'yes']
  return { status: 200, headers, body: Buffer.from(body) }
}

const json = (answer: unknown) =>
  reply(typeof answer === 'string' ? answer : JSON.stringify(answer), 'application/json')
const events = (...datas: readonly unknown[]) =>
  reply(
    datas.map((data) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`).join(''),
    'text/event-stream',
  )

function textOf(answer: Reply | undefined): string {
  return Buffer.from(answer?.body as Uint8Array).toString()
}

function dataOf(answer: Reply | undefined): unknown[] {
  return eventsIn(textOf(answer)).map(({ data }) => (data === '[DONE]' ? data : JSON.parse(data)))
}

const HEAD = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 7, model: 'm' }
const chunk = (choice: object, more: object = {}) => ({
  ...HEAD,
  choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: null, ...choice }],
  ...more,
})
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
const USED = { ...HEAD, choices: [], usage: USAGE }
const STREAM = [
  chunk({ delta: { role: 'assistant', content: '' } }),
  chunk({ delta: { content: 'Hel' } }),
  chunk({ delta: { content: 'lo' } }),
  chunk({ finish_reason: 'stop' }),
  USED,
  '[DONE]',
]

describe('a stream in one piece', () => {
  it('has what the deltas add up to, and the usage', () => {
    const answer = given(events(...STREAM), {})
    expect(JSON.parse(textOf(answer))).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: 'chat.completion',
      created: 7,
      model: 'm',
      choices: [
        { index: 0, message: { role: 'assistant', content: 'Hello' }, logprobs: null, finish_reason: 'stop' },
      ],
      usage: USAGE,
    })
    expect(answer?.headers).toEqual(['content-type', 'application/json', 'x-kept', 'yes'])
    expect(answer?.ownId).toBe(JSON.parse(textOf(answer)).id)
  })

  it('has every choice, with tools, thoughts, refusals and log probabilities', () => {
    const call = (index: number, part: object) => ({ delta: { tool_calls: [{ index, ...part }] } })
    const answer = given(
      events(
        chunk({ delta: { role: 'assistant', content: null, refusal: null } }),
        chunk({ delta: { reasoning_content: 'Let ' } }),
        chunk({ delta: { reasoning_content: 'me' } }),
        chunk(call(0, { id: 'a', type: 'function', function: { name: 'f', arguments: '' } })),
        chunk(call(0, { function: { arguments: '{"x"' } })),
        chunk(call(1, { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } })),
        chunk(call(0, { function: { arguments: ':1}' } })),
        chunk({
          index: 1,
          delta: { role: 'assistant', refusal: 'No' },
          logprobs: { content: null, refusal: [{ token: 'No' }] },
        }),
        chunk({ index: 1, finish_reason: 'stop', stop_reason: 128 }),
        chunk({ finish_reason: 'tool_calls', stop_reason: null }),
        USED,
        '[DONE]',
      ),
      { n: 2 },
    )
    expect(JSON.parse(textOf(answer))['choices']).toEqual([
      {
        index: 0,
        message: {
          role: 'assistant',
          content: null,
          refusal: null,
          reasoning_content: 'Let me',
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'f', arguments: '{"x":1}' } },
            { id: 'b', type: 'function', function: { name: 'g', arguments: '{}' } },
          ],
        },
        logprobs: null,
        finish_reason: 'tool_calls',
        stop_reason: null,
      },
      {
        index: 1,
        message: { role: 'assistant', content: null, refusal: 'No' },
        logprobs: { content: null, refusal: [{ token: 'No' }] },
        finish_reason: 'stop',
        stop_reason: 128,
      },
    ])
  })

  it('keeps numbers as the server wrote them', () => {
    const exact =
      '{"id":"c","choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":-1.0e-05,"x":12345678901234567890}]},"finish_reason":"stop"}]}'
    expect(textOf(given(events(exact, USED, '[DONE]'), {}))).toContain(
      '{"token":"a","logprob":-1.0e-05,"x":12345678901234567890}',
    )
  })

  it('has characters whose halves came in two events', () => {
    const half = (escape: string) => `{"id":"c","choices":[{"index":0,"delta":{"content":"${escape}"}}]}`
    const answer = given(
      events(half('\\ud83d'), half('\\ude00'), chunk({ finish_reason: 'stop' }), USED, '[DONE]'),
      {},
    )
    expect(JSON.parse(textOf(answer))['choices'][0]['message']['content']).toBe('😀')
  })

  it.each([
    ['a delta', chunk({ delta: { content: 'a', video: 'b' } })],
    ['a choice', chunk({ delta: { content: 'a' }, content_filter_results: {} })],
    ['a chunk', chunk({ delta: { content: 'a' } }, { prompt_filter_results: [] })],
    ['a call', chunk({ delta: { tool_calls: [{ index: 0, id: 'a', extra: 1 }] } })],
    ['a text of another type', chunk({ delta: { content: [{ type: 'text' }] } })],
  ])('is not made where %s has what nobody knows', (_where, unknown) => {
    expect(given(events(unknown, chunk({ finish_reason: 'stop' }), USED, '[DONE]'), {})).toBeUndefined()
  })

  it('is not made where the server has not said the usage, though it was asked', () => {
    const said = [chunk({ delta: { content: 'a' } }), chunk({ finish_reason: 'stop' }), '[DONE]']
    expect(given(events(...said), {})).toBeUndefined()
    expect(textOf(given(events(...said), { stream: true }))).toContain('"content":"a"')
  })

  it('is made of no two calls of tools that have the same index', () => {
    const called = (...ids: readonly string[]) =>
      given(
        events(
          ...ids.map((id) =>
            chunk({ delta: { tool_calls: [{ index: 0, id, function: { name: 'f', arguments: '{}' } }] } }),
          ),
          ...STREAM.slice(3),
        ),
        {},
      )
    expect(called('a', 'b')).toBeUndefined()
    // Some servers repeat the id, or leave it empty.
    expect(textOf(called('a', 'a', ''))).toContain('"id":"a"')
  })

  it('is made of a text completion', () => {
    const part = (choice: object) => ({
      id: 'cmpl-1',
      object: 'text_completion',
      created: 7,
      model: 'm',
      choices: [{ index: 0, ...choice }],
    })
    const lists = (token: string) => ({ tokens: [token], token_logprobs: [-0.5], text_offset: [0] })
    const answer = given(
      events(
        part({ text: 'a', logprobs: lists('a'), finish_reason: null }),
        part({ text: 'b', logprobs: lists('b'), finish_reason: 'stop' }),
        USED,
        '[DONE]',
      ),
      { prompt: 'p' },
      'completions',
    )
    expect(JSON.parse(textOf(answer))).toMatchObject({
      object: 'text_completion',
      choices: [
        {
          text: 'ab',
          finish_reason: 'stop',
          logprobs: { tokens: ['a', 'b'], token_logprobs: [-0.5, -0.5], text_offset: [0, 0] },
        },
      ],
    })
  })
})

const ANSWER = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 7,
  model: 'm',
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'Hello, wide world.', refusal: null },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: USAGE,
}

describe('an answer as events', () => {
  it('comes in pieces as a model makes them, and ends with the mark', () => {
    const answer = given(json(ANSWER), { stream: true })
    const said = dataOf(answer)
    expect(said.at(-1)).toBe('[DONE]')
    const chunks = said.slice(0, -1) as ReturnType<typeof chunk>[]
    const deltas = chunks.map(({ choices }) => choices[0]?.delta as { content?: string; role?: string })
    expect(deltas[0]).toEqual({ role: 'assistant', content: '', refusal: null })
    expect(deltas.map(({ content = '' }) => content)).toEqual(['', 'Hello,', ' wide', ' world.', ''])
    expect(chunks.at(-1)?.choices[0]).toEqual({ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' })
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
    expect(chunks[0]?.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/)
    expect(chunks.every(({ created, object }) => created === 7 && object === 'chat.completion.chunk')).toBe(
      true,
    )
    expect(JSON.stringify(said)).not.toContain('usage')
    expect(answer?.headers[1]).toBe('text/event-stream; charset=utf-8')
  })

  it('has the usage before the end for those who ask for it', () => {
    const said = dataOf(given(json(ANSWER), { stream: true, stream_options: { include_usage: true } }))
    expect(said.at(-2)).toMatchObject({ choices: [], usage: USAGE })
    expect(said.slice(0, -2).every((one) => (one as { usage: unknown }).usage === null)).toBe(true)
  })

  it('has a token each with its log probability', () => {
    const content = [
      { token: 'Hel', logprob: -0.1 },
      { token: 'lo', logprob: -0.2 },
    ]
    const choice = {
      ...ANSWER.choices[0],
      message: { role: 'assistant', content: 'Hello' },
      logprobs: { content, refusal: null },
    }
    const said = dataOf(given(json({ ...ANSWER, choices: [choice] }), { stream: true }))
    expect(said[1]).toMatchObject({
      choices: [{ delta: { content: 'Hel' }, logprobs: { content: [content[0]] } }],
    })
    expect(said[2]).toMatchObject({
      choices: [{ delta: { content: 'lo' }, logprobs: { content: [content[1]] } }],
    })
  })

  it.each([
    ['the answer', { ...ANSWER, citations: ['a'] }],
    ['a choice', { ...ANSWER, choices: [{ ...ANSWER.choices[0], seed: 1 }] }],
    [
      'a message',
      { ...ANSWER, choices: [{ index: 0, message: { role: 'assistant', content: 'a', video: {} } }] },
    ],
  ])('is not made where %s has what nobody knows', (_where, answer) => {
    expect(given(json(answer), { stream: true })).toBeUndefined()
  })

  const CALLS = [
    { id: 'a', type: 'function', function: { name: 'f', arguments: '{"city": "Wien",  "é": [1.50]}' } },
    { id: 'b', type: 'custom', custom: { name: 'g', input: 'some text' } },
  ]
  it.each([
    ['a chat', ANSWER],
    [
      'tools',
      {
        ...ANSWER,
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: null, tool_calls: CALLS },
            logprobs: null,
            finish_reason: 'tool_calls',
          },
        ],
      },
    ],
    [
      'an old function',
      {
        ...ANSWER,
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: null, function_call: { name: 'f', arguments: '{}' } },
            logprobs: null,
            finish_reason: 'function_call',
          },
        ],
      },
    ],
    [
      'thoughts',
      {
        ...ANSWER,
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: 'a  b\n\nc 日本語', reasoning_content: ' why ' },
            logprobs: null,
            finish_reason: 'stop',
            stop_reason: null,
          },
        ],
      },
    ],
    [
      'a refusal',
      {
        ...ANSWER,
        choices: [
          {
            index: 0,
            message: { role: 'assistant', content: null, refusal: 'I will not' },
            logprobs: null,
            finish_reason: 'stop',
          },
        ],
      },
    ],
    [
      'two choices',
      {
        ...ANSWER,
        choices: [{ ...ANSWER.choices[0] }, { ...ANSWER.choices[0], index: 1 }],
        service_tier: 'default',
        system_fingerprint: 'fp',
      },
    ],
  ])('and back again is the same: %s', (_what, answer) => {
    const stream = given(json(answer), { stream: true, stream_options: { include_usage: true } }) as Reply
    expect(JSON.parse(textOf(given(stream, {})))).toEqual({ ...answer, id: expect.any(String) })
  })

  it('comes as a text completion', () => {
    const answer = {
      id: 'cmpl-1',
      object: 'text_completion',
      created: 7,
      model: 'm',
      choices: [{ index: 0, text: 'one two', logprobs: null, finish_reason: 'stop' }],
      usage: USAGE,
    }
    const members = { stream: true, stream_options: { include_usage: true } }
    const stream = given(json(answer), members, 'completions') as Reply
    expect(dataOf(stream).length).toBe(5)
    expect(JSON.parse(textOf(given(stream, {}, 'completions')))).toEqual({
      ...answer,
      id: expect.any(String),
    })
  })
})

describe('an answer in the form in which it is kept', () => {
  it('gets an id of its own each time, and is the same beside it', () => {
    const [first, second] = [1, 2].map(() =>
      textOf(given(events(...STREAM), { stream: true, stream_options: { include_usage: true } })),
    )
    expect(first).not.toBe(second)
    const original = textOf(events(...STREAM))
    for (const text of [first, second])
      expect(text?.replaceAll(/chatcmpl-[0-9a-f]{32}/g, 'chatcmpl-1')).toBe(original)
  })

  it('gets it also where its first event has an empty one', () => {
    const opening = { choices: [], created: 0, id: '', model: '', object: '', prompt_filter_results: [] }
    const [first, ...more] = dataOf(given(events(opening, ...STREAM), { stream: true }))
    expect(first).toEqual(opening)
    const ids = new Set(more.slice(0, -1).map((said) => (said as { id: string }).id))
    expect(ids.size).toBe(1)
    expect(ids).not.toContain(HEAD.id)
  })

  it('is the caller’s own where the server gave it to this very call', () => {
    const stream = events(...STREAM)
    const wanting = { stream: true, stream_options: { include_usage: true } }
    expect(given(stream, wanting, 'chat', { isOwn: true })).toBe(stream)
    const answer = json(ANSWER)
    expect(given(answer, {}, 'chat', { isOwn: true })).toBe(answer)
    expect(given(answer, { stream: true }, 'chat', { isOwn: true })).toBe(answer)
  })

  it('has no usage for those who did not ask', () => {
    expect(
      dataOf(given(events(...STREAM), { stream: true }))
        .map((one) => JSON.stringify(one))
        .join(),
    ).not.toContain('usage')
    const asked = STREAM.map((one) =>
      typeof one === 'string' || 'usage' in one ? one : { ...one, usage: null },
    )
    expect(dataOf(given(events(...asked), { stream: true }, 'chat', { isOwn: true }))).toEqual(
      STREAM.filter((one) => typeof one === 'string' || !('usage' in one)),
    )
  })

  it('keeps what only looks like an empty usage', () => {
    const content = ',"usage":null}\n,"usage":null,"obfuscation":"'
    const stream = events(chunk({ delta: { content } }), chunk({ delta: {}, x: { usage: null } }), '[DONE]')
    expect(given(stream, { stream: true }, 'chat', { isOwn: true })).toBe(stream)
    const padded = events({ ...chunk({}), usage: null, obfuscation: 'a' }, '[DONE]')
    expect(dataOf(given(padded, { stream: true }, 'chat', { isOwn: true }))).toEqual([
      { ...chunk({}), obfuscation: 'a' },
      '[DONE]',
    ])
  })

  it('keeps a usage that the server writes beside a choice', () => {
    const stream = events(chunk({ finish_reason: 'stop' }, { usage: USAGE }), '[DONE]')
    expect(given(stream, { stream: true }, 'chat', { isOwn: true })).toBe(stream)
  })

  it('is given as it is where it is an error', () => {
    const error: Reply = { ...json({ error: { message: 'no' } }), status: 400 }
    expect(given(error, { stream: true })).toBe(error)
  })

  it('has the id that is in the middle of it, and no other, exchanged', () => {
    const answer = {
      created: 7,
      choices: [{ index: 0, message: { role: 'assistant', tool_calls: [{ id: 'call_1' }] } }],
      id: 'chatcmpl-1',
    }
    const text = textOf(given(json(answer), {}))
    expect(text).toMatch(/"call_1".*"id":"chatcmpl-[0-9a-f]{32}"/)
  })
})

describe('what a follower shows', () => {
  it('is what callers get who did not ask for the usage', () => {
    const follower = generation.follow(planOf({ stream: true }))
    const shown = STREAM.map((one) => follower.push(events(one).body as Uint8Array).length)
    expect(shown[4]).toBe(0)
    expect(follower).toMatchObject({ isWhole: true, generated: 4, tokens: { input: 3, output: 2 } })
  })

  it('has no half of a line end whose other half was withheld', () => {
    const follower = generation.follow(planOf({ stream: true }))
    const pieces = ['data: {"choices":[],"usage":{"prompt_tokens":1}}\r\n\r', '\ndata: [DONE]\r\n\r', '\n']
    const shown = pieces.map((piece) => Buffer.from(follower.push(Buffer.from(piece))).toString())
    expect(shown).toEqual(['', 'data: [DONE]\r\n\r', '\n'])
  })

  it('is without the member in each chunk', () => {
    const follower = generation.follow(planOf({ stream: true }))
    for (const written of [
      '{"choices":[{"index":0}], "usage" : null}',
      '{"usage":null , "choices":[{"index":0}]}',
      '{"a":1,"usage":null,"choices":[{"index":0}]}',
    ]) {
      const shown = Buffer.from(follower.push(Buffer.from(`data: ${written}\n\n`))).toString()
      const said = { ...(JSON.parse(written) as object) }
      delete (said as { usage?: null }).usage
      expect(JSON.parse(eventsIn(shown)[0]?.data ?? '')).toEqual(said)
    }
  })

  it.each([
    ['that ended without its mark', STREAM.slice(0, -1)],
    ['without an ending', [STREAM[1], '[DONE]']],
    ['that was cut at a length that its caller did not set', [chunk({ finish_reason: 'length' }), '[DONE]']],
    ['that was filtered', [chunk({ finish_reason: 'content_filter' }), '[DONE]']],
    ['with an error inside', [...STREAM.slice(0, 3), { error: { message: 'out of memory' } }, '[DONE]']],
    [
      'with an error as vLLM wrote it',
      [...STREAM.slice(0, 3), { object: 'error', message: 'out of memory', code: 500 }, ...STREAM.slice(3)],
    ],
    ['with something behind its end', [...STREAM, STREAM[1]]],
    ['with what is no JSON', ['oops', ...STREAM]],
    ['nothing', []],
  ])('is not whole: %s', (_why, stream) => {
    const follower = generation.follow(planOf({ stream: true }))
    follower.push(events(...stream).body as Uint8Array)
    expect(follower.isWhole).toBe(false)
    const answer = events(...stream)
    const plan = planOf({ stream: true })
    expect(generationOf('chat').storable?.(answer, answer.body as Uint8Array, plan, false)).toBe(false)
  })

  it('is whole at a length that its caller set, and with every choice that it asked for', () => {
    const both = [chunk({ finish_reason: 'length' }), chunk({ index: 1, finish_reason: 'stop' }), '[DONE]']
    const body = events(...both).body as Uint8Array
    const follow = (members: object) => {
      const follower = generation.follow(planOf({ stream: true, ...members }))
      follower.push(body)
      return follower.isWhole
    }
    expect(follow({ max_tokens: 5, n: 2 })).toBe(true)
    expect(follow({ max_tokens: 5, n: 3 })).toBe(false)
    expect(follow({ n: 2 })).toBe(false)
  })
})

describe('an answer in one piece is kept', () => {
  const kept = (answer: unknown, members: Record<string, unknown> = {}, kind: GenerationKind = 'chat') => {
    const whole = json(answer)
    return generationOf(kind).storable?.(whole, whole.body as Uint8Array, planOf(members, kind), false)
  }

  it('where it has ended as it would again', () => {
    expect(kept(ANSWER)).toBe(true)
    const cut = { ...ANSWER, choices: [{ ...ANSWER.choices[0], finish_reason: 'length' }] }
    expect(kept(cut)).toBe(false)
    expect(kept(cut, { max_tokens: 5 })).toBe(true)
    expect(kept(ANSWER, { n: 2 })).toBe(false)
    expect(kept({ error: { message: 'no' } })).toBe(false)
    expect(kept({ ...ANSWER, error: { message: 'no' } })).toBe(false)
    expect(kept('cut off')).toBe(false)
  })

  it('as a response', () => {
    const response = { id: 'resp_1', status: 'completed', error: null, output: [] }
    expect(kept(response, {}, 'responses')).toBe(true)
    expect(kept({ ...response, status: 'failed' }, {}, 'responses')).toBe(false)
    const cut = { ...response, status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    expect(kept(cut, {}, 'responses')).toBe(false)
    expect(kept(cut, { max_output_tokens: 5 }, 'responses')).toBe(true)
  })
})

describe('responses', () => {
  const RESPONSE = {
    id: 'resp_1',
    object: 'response',
    created_at: 7,
    status: 'completed',
    error: null,
    incomplete_details: null,
    output: [
      { id: 'rs_1', type: 'reasoning', summary: [{ type: 'summary_text', text: 'because it is' }] },
      {
        id: 'msg_1',
        type: 'message',
        role: 'assistant',
        status: 'completed',
        content: [
          { type: 'output_text', text: 'Hello, world', annotations: [], logprobs: [] },
          { type: 'refusal', refusal: 'no more' },
        ],
      },
      {
        id: 'fc_1',
        type: 'function_call',
        call_id: 'c',
        name: 'f',
        arguments: '{"a": 1}',
        status: 'completed',
      },
    ],
    usage: { input_tokens: 3, output_tokens: 2, total_tokens: 5 },
  }

  it('come as events that are named and numbered, and end without a mark', () => {
    const stream = given(json(RESPONSE), { stream: true }, 'responses') as Reply
    const read = eventsIn(textOf(stream))
    const said = read.map(
      ({ data }) => JSON.parse(data) as { type: string; sequence_number: number; delta?: string },
    )
    expect(read.map(({ event }) => event)).toEqual(said.map(({ type }) => type))
    expect(said.map(({ sequence_number }) => sequence_number)).toEqual([...said.keys()])
    expect(said[0]?.type).toBe('response.created')
    expect(said.at(-1)?.type).toBe('response.completed')
    const deltas = said.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas.map(({ delta }) => delta)).toEqual(['Hello,', ' world'])
    expect(JSON.parse(textOf(given(stream, {}, 'responses')))).toEqual({
      ...RESPONSE,
      id: expect.stringMatching(/^resp_[0-9a-f]{32}$/),
    })
  })

  it('get an id of their own, in every event that has it', () => {
    const stream = given(json(RESPONSE), { stream: true }, 'responses') as Reply
    const [first, again] = [textOf(stream), textOf(given(stream, { stream: true }, 'responses'))]
    const ids = (text: string) => new Set(text.match(/resp_\w+/g))
    expect(ids(first).size).toBe(1)
    expect(ids(again).size).toBe(1)
    expect(ids(again)).not.toEqual(ids(first))
    expect(again.replaceAll(/resp_\w+/g, '')).toBe(first.replaceAll(/resp_\w+/g, ''))
  })

  it('are whole at their last event', () => {
    const stream = given(json(RESPONSE), { stream: true }, 'responses')?.body as Uint8Array
    const follower = generation.follow(planOf({ stream: true }, 'responses'))
    follower.push(stream.subarray(0, 500))
    expect(follower.isWhole).toBe(false)
    const whole = generation.follow(planOf({ stream: true }, 'responses'))
    expect(whole.push(stream)).toBe(stream)
    expect(whole).toMatchObject({ isWhole: true, tokens: { input: 3, output: 2 } })
  })

  it('with an item that no events are known for stay as they are', () => {
    const answer = { ...RESPONSE, output: [{ type: 'image_generation_call', result: 'AA==' }] }
    expect(given(json(answer), { stream: true }, 'responses')).toBeUndefined()
  })
})

it('a stream that cannot go on ends with an error in the words of its kind', () => {
  const error = new GatewayError('backendReset', 'the backend closed the connection')
  const [chat] = eventsIn(Buffer.from(generation.failure(error, planOf({ stream: true }))).toString())
  expect(JSON.parse(chat?.data ?? '')).toMatchObject({
    error: { message: error.message, code: 'backend_reset' },
  })
  const [response] = eventsIn(
    Buffer.from(generation.failure(error, planOf({ stream: true }, 'responses'))).toString(),
  )
  expect(response?.event).toBe('error')
  expect(JSON.parse(response?.data ?? '')).toMatchObject({ type: 'error', message: error.message })
})
