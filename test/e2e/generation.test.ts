/** Generations through the gateway: kept once and given in both forms, and joined while they run. */
import { once } from 'node:events'
import { request } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { createGzip } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type ChatCall, type ChatServer, piecesFor, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { type Reading, read } from '../support/reading.ts'

let server: ChatServer
let gateway: RunningGateway
let prompts = 0

beforeAll(async () => {
  server = await startChatServer()
  const pool = { backends: [{ url: server.url }], health: { path: 'off' as const } }
  const cache = { maxEntryBytes: '64KiB' }
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: { main: pool },
      routes: [
        {
          name: 'sampled',
          match: { path: '/v1/*', model: 'sampled' },
          protocol: 'openai',
          pool: 'main',
          cache: { ...cache, sampled: true },
        },
        { name: 'main', match: { path: '/v1/*' }, protocol: 'openai', pool: 'main', cache },
      ],
    },
  })
})
afterEach(() => server.reset())
afterAll(async () => {
  await gateway?.stop()
  server?.close()
})

/** A prompt that nobody has asked before. */
function fresh(): string {
  return `prompt ${++prompts}`
}

function bodyOf(prompt: string, members: object = {}): object {
  return { model: 'm', temperature: 0, messages: [{ role: 'user', content: prompt }], ...members }
}

/** Asks, and resolves when the head of the answer is there. */
const ask = (body: object, headers?: Record<string, string>): Promise<Reading> =>
  read(`${gateway.url}/v1/chat/completions`, body, headers)

async function whole(body: object, headers?: Record<string, string>): Promise<Reading> {
  return (await ask(body, headers)).over()
}

function sentOverHttp2(session: ClientHttp2Session, body: object): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/v1/chat/completions',
    'content-type': 'application/json',
  })
  stream.end(JSON.stringify(body))
  return stream
}

async function overHttp2(session: ClientHttp2Session, body: object): Promise<string> {
  let text = ''
  for await (const piece of sentOverHttp2(session, body)) text += String(piece)
  return text
}

const contentOf = ({ text }: Reading) =>
  (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]?.message.content

/** The next call, whose events the test writes. */
function nextCall(): Promise<ChatCall> {
  const { promise, resolve } = Promise.withResolvers<ChatCall>()
  server.onCall = resolve
  return promise
}

const statusOf = ({ headers }: Reading) => String(headers['cache-status'])
const withoutId = (text: string) => text.replaceAll(/"id":"[^"]*"/g, '"id":""')

describe('what is kept', () => {
  it('answers in one piece and as a stream, whichever was asked for first', async () => {
    for (const first of [true, false]) {
      const prompt = fresh()
      const said = piecesFor(prompt).join('')
      const answers = []
      for (const stream of [first, !first, first, !first])
        answers.push(await whole(bodyOf(prompt, { stream })))
      expect(server.calls.length).toBe(1)
      for (const [i, answer] of answers.entries()) {
        const isStream = (i % 2 === 0) === first
        expect(isStream ? answer.content() : contentOf(answer)).toBe(said)
        expect(statusOf(answer)).toMatch(i === 0 ? /fwd=miss/ : /; hit;.*detail=memory/)
        if (i > 0) expect(answer.headers['age']).toMatch(/^\d+$/)
      }
      server.reset()
    }
  })

  it('not a stream that is encoded: it is passed on as it comes', async () => {
    const body = bodyOf(fresh(), { stream: true })
    for (let i = 1; i <= 2; i++) {
      const next = nextCall()
      const asking = ask(body)
      const { response } = await next
      response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' })
      const encoder = createGzip()
      encoder.pipe(response)
      encoder.write('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
      await new Promise<void>((resolve) => encoder.flush(resolve))
      const reading = await asking
      await eventually(() => expect(reading.length).toBeGreaterThan(10))
      expect(reading.headers['content-encoding']).toBe('gzip')
      encoder.end('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
      expect((await reading.over()).isCut).toBe(false)
      expect(server.calls).toHaveLength(i)
    }
  })

  it('a stream whose server does not say the usage for those who want a stream alone', async () => {
    const prompt = fresh()
    server.onCall = (call) => {
      if (call.body.stream !== true) return
      call.say('a')
      call.send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }, 'data: [DONE]\n\n')
      call.response.end()
    }
    const stream = bodyOf(prompt, { stream: true })
    await whole(stream)
    expect(statusOf(await whole(stream))).toContain('hit')
    expect(server.calls).toHaveLength(1)
    server.onCall = undefined
    const answer = JSON.parse((await whole(bodyOf(prompt))).text) as { usage: unknown }
    expect(answer.usage).toMatchObject({ prompt_tokens: 7 })
    // What came in one piece says all, and is kept in its place.
    const said = await whole(bodyOf(prompt, { stream: true, stream_options: { include_usage: true } }))
    expect(statusOf(said)).toContain('hit')
    expect(said.text).toContain('"prompt_tokens":7')
    expect(server.calls).toHaveLength(2)
  })

  it('is replayed as it came the first time, under an id of its own', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [first, second, third] = [await whole(body), await whole(body), await whole(body)]
    expect(server.calls.length).toBe(1)
    expect(first?.data().at(-1)).toBe('[DONE]')
    expect(withoutId(second?.text ?? '')).toBe(withoutId(first?.text ?? ''))
    expect(
      new Set([first, second, third].map((one) => /"id":"([^"]*)"/.exec(one?.text ?? '')?.[1])).size,
    ).toBe(3)
    expect(first?.headers['x-call']).toBeDefined()
    expect(second?.headers['x-call']).toBeUndefined()
  })

  it('has another id in each replay, also where the same bytes come over and over', async () => {
    const prompt = fresh()
    await whole(bodyOf(prompt))
    const texts: string[] = []
    const session = connect(gateway.url)
    for (const stream of [true, false])
      for (let i = 0; i < 4; i++) {
        const body = bodyOf(prompt, { stream })
        texts.push((await whole(body, { connection: 'keep-alive' })).text, await overHttp2(session, body))
      }
    session.close()
    expect(server.calls.length).toBe(1)
    const ids = texts.map((text) => new Set(Array.from(text.matchAll(/"id":"([^"]*)"/g), ([, id]) => id)))
    expect(ids.map(({ size }) => size)).toEqual(texts.map(() => 1))
    expect(new Set(ids.flatMap((own) => [...own])).size).toBe(texts.length)
    expect(new Set(texts.map(withoutId)).size).toBe(2)
  })

  it('has the usage for those who ask for it, and the server is asked for it always', async () => {
    const prompt = fresh()
    const first = await whole(bodyOf(prompt, { stream: true }))
    expect(server.calls[0]?.body.stream_options).toEqual({ include_usage: true })
    expect(first.text).not.toContain('usage')
    const asking = await whole(bodyOf(prompt, { stream: true, stream_options: { include_usage: true } }))
    const tokens = piecesFor(prompt).length
    const usage = { prompt_tokens: 7, completion_tokens: tokens, total_tokens: 7 + tokens }
    expect(asking.data().at(-2)).toMatchObject({ choices: [], usage })
    const json = await whole(bodyOf(prompt))
    expect(JSON.parse(json.text)).toMatchObject({ usage })
    expect(server.calls.length).toBe(1)
  })

  it('is counted: tokens and times of what the backend did, and the tokens that were saved', async () => {
    const model = 'counted'
    const prompt = fresh()
    const said = piecesFor(prompt).length
    await whole(bodyOf(prompt, { model, stream: true }))
    await whole(bodyOf(prompt, { model }))
    // The last two are answered before a call is made of them.
    for (let i = 0; i < 3; i++) await whole(bodyOf(prompt, { model, stream: true }))
    await whole(bodyOf(fresh(), { model }))
    const of = (name: string, labels: object) => gateway.metric(`infergate_${name}`, { model, ...labels })
    expect(await of('gen_ai_tokens_total', { type: 'input' })).toBe(2 * 7)
    expect(await of('gen_ai_tokens_total', { type: 'output' })).toBe(2 * said)
    expect(await of('saved_tokens_total', { type: 'input' })).toBe(4 * 7)
    expect(await of('saved_tokens_total', { type: 'output' })).toBe(4 * said)
    expect(await of('gen_ai_time_to_first_token_seconds_count', {})).toBe(1)
    expect(await of('gen_ai_time_per_output_token_seconds_count', {})).toBe(1)
  })

  it('is found by those who write the same in another way, and by nobody who asks for anything else', async () => {
    const prompt = fresh()
    await whole(bodyOf(prompt))
    const { messages } = bodyOf(prompt) as { messages: unknown }
    await whole({ user: 'u', messages, temperature: 0, stream: true, metadata: { a: 'b' }, model: 'm' })
    expect(server.calls.length).toBe(1)
    const texts = []
    for (let i = 0; i < 4; i++)
      for (const stream of [true, false]) {
        const usage = stream ? { stream_options: { include_usage: i % 2 === 0 } } : {}
        texts.push((await whole(bodyOf(prompt, { stream, user: `u${i}`, ...usage }))).text)
      }
    expect(server.calls.length).toBe(1)
    expect(texts.map((text) => text.includes('"usage":{'))).toEqual(
      [0, 1, 2, 3].flatMap((i) => [i % 2 === 0, true]),
    )
    expect(new Set(texts.map(withoutId)).size).toBe(3)
    expect(new Set(texts.map((text) => /"id":"([^"]*)"/.exec(text)?.[1])).size).toBe(texts.length)
    await whole(bodyOf(prompt, { max_tokens: 5 }))
    await whole(bodyOf(prompt, { seed: 1 }))
    await whole(bodyOf(prompt), { authorization: 'Bearer another' })
    expect(server.calls.length).toBe(4)
  })

  it('is no sampled answer, but where the route says so', async () => {
    const prompt = fresh()
    const [first, second] = [
      await whole(bodyOf(prompt, { temperature: 1 })),
      await whole(bodyOf(prompt, { temperature: 1, stream: true })),
    ]
    expect(statusOf(first)).toContain('fwd=bypass; fwd-status=200; detail=sampled')
    expect(statusOf(second)).toContain('detail=sampled')
    expect(server.calls[1]?.body.stream_options).toBeUndefined()
    server.reset()
    const sampled = bodyOf(prompt, { model: 'sampled', temperature: 1 })
    await whole(sampled)
    expect(statusOf(await whole({ ...sampled, stream: true }))).toContain('hit')
    expect(server.calls.length).toBe(1)
  })

  it.each([
    ['was cut off', (call: ChatCall) => (call.say('a'), call.response.end())],
    ['was filtered', (call: ChatCall) => (call.say('a'), call.finish('content_filter'))],
    ['was cut at a length that nobody asked for', (call: ChatCall) => (call.say('a'), call.finish('length'))],
    ['failed in the middle', (call: ChatCall) => (call.say('a'), call.response.destroy())],
    [
      'has an error in it',
      (call: ChatCall) => (call.say('a'), call.send({ error: { message: 'no' } }), call.finish()),
    ],
    [
      'is for one caller',
      (call: ChatCall) => (call.response.setHeader('set-cookie', 'a=b'), call.say('a'), call.finish()),
    ],
    [
      'may not be kept',
      (call: ChatCall) => (call.response.setHeader('cache-control', 'private'), call.say('a'), call.finish()),
    ],
  ])('is nothing that %s', async (_why, script) => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    script(await calling)
    await (await asking).over()
    server.onCall = undefined
    const again = await whole(body)
    expect(again.content()).toContain('You said')
    expect(server.calls.length).toBe(2)
  })

  it.each(['no-cache', 'no-store'])('is an answer on whose stream the server has put %s', async (habit) => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    const call = await calling
    call.response.setHeader('cache-control', habit)
    call.send(': ping\r\n\r\n')
    call.say('a')
    call.finish()
    await (await asking).over()
    expect(statusOf(await whole(body))).toContain('hit')
  })
})

describe('a stream that runs', () => {
  it('gives its first event before the second is there, and each in its turn', async () => {
    const calling = nextCall()
    const asking = ask(bodyOf(fresh(), { stream: true }))
    const call = await calling
    call.say('one')
    const reading = await asking
    await eventually(() => expect(reading.content()).toBe('one'))
    call.say(' two')
    await eventually(() => expect(reading.content()).toBe('one two'))
    expect(reading.isOver).toBe(false)
    call.finish()
    expect((await reading.over()).isCut).toBe(false)
  })

  it('is whole for its first caller, too, where the server says how long it is with the usage', async () => {
    const calling = nextCall()
    const asking = ask(bodyOf(fresh(), { stream: true }))
    const call = await calling
    const events = [
      { choices: [{ index: 0, delta: { content: 'one' }, finish_reason: 'stop' }] },
      { choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } },
    ]
    const text = `${events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`
    call.response.writeHead(200, { 'content-type': 'text/event-stream', 'content-length': text.length })
    // In two pieces, so that it is no body that has come with its head.
    call.response.write(text.slice(0, 5))
    const reading = await asking
    call.response.end(text.slice(5))
    const { isCut, data } = await reading.over()
    expect(isCut).toBe(false)
    expect(data()).toEqual([events[0], '[DONE]'])
  })

  it('is joined: who asks the same gets what there is so far, and the rest as it comes', async () => {
    const prompt = fresh()
    const calling = nextCall()
    const first = ask(bodyOf(prompt, { stream: true }))
    const early = ask(bodyOf(prompt, { stream: true, user: 'early' }))
    const call = await calling
    call.say('one')
    const late = await ask(
      bodyOf(prompt, { stream: true, user: 'late', stream_options: { include_usage: true } }),
    )
    const json = ask(bodyOf(prompt))
    await eventually(() => expect(late.content()).toBe('one'))
    expect(statusOf(late)).toContain('collapsed')
    expect(late.headers['x-call']).toBeUndefined()
    call.say(' two')
    call.finish()
    const readings = await Promise.all([first, early, late, json].map(async (one) => (await one).over()))
    expect(readings.slice(0, 3).map((one) => one.content())).toEqual(['one two', 'one two', 'one two'])
    expect(readings[0]?.text).toBe(readings[1]?.text)
    expect(readings[2]?.text).toContain('"completion_tokens":2')
    expect(contentOf(readings[3] as Reading)).toBe('one two')
    expect(server.calls.length).toBe(1)
  })

  it('shows no usage to those who did not ask for it, whoever has begun it', async () => {
    const prompt = fresh()
    const calling = nextCall()
    const first = ask(bodyOf(prompt, { stream: true, stream_options: { include_usage: true } }))
    const call = await calling
    call.say('one')
    await first
    const joined = await ask(bodyOf(prompt, { stream: true }))
    expect(statusOf(joined)).toContain('collapsed')
    call.say(' two')
    call.finish()
    expect((await (await first).over()).text).toContain('"completion_tokens":2')
    const { text } = await joined.over()
    expect(text).not.toContain('usage')
    expect(text).toContain('[DONE]')
  })

  it('costs the backend one call for fifty callers, of whom half leave', async () => {
    const prompt = fresh()
    const calling = nextCall()
    const asked = [ask(bodyOf(prompt, { stream: true }))]
    const call = await calling
    const readings: Reading[] = []
    const pieces = Array.from({ length: 100 }, (_, i) => `word${i} `)
    call.say('begin ')
    readings.push(await (asked[0] as Promise<Reading>))
    for (const [i, piece] of pieces.entries()) {
      call.say(piece)
      if (i % 2 === 1 && readings.length < 50) readings.push(await ask(bodyOf(prompt, { stream: true })))
      // The one for whom the backend was called leaves as well.
      if (i % 4 === 3) readings[(i * 7) % readings.length]?.leave()
    }
    call.finish()
    const done = await Promise.all(readings.map((one) => one.over()))
    const stayed = done.filter(({ isCut }) => !isCut)
    expect(stayed.length).toBeGreaterThan(20)
    expect(stayed.length).toBeLessThan(50)
    expect(new Set(stayed.map((one) => one.content()))).toEqual(new Set([`begin ${pieces.join('')}`]))
    expect(server.calls.length).toBe(1)
    expect(statusOf(await whole(bodyOf(prompt)))).toContain('hit')
  })

  it('is cancelled at the backend when the last one leaves', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    const call = await calling
    call.say('one')
    const [first, second] = [await asking, await ask(body)]
    first.leave()
    await eventually(() => expect(second.content()).toBe('one'))
    call.say(' two')
    await eventually(() => expect(second.content()).toBe('one two'))
    expect(call.isCut).toBe(false)
    second.leave()
    await eventually(() => expect(call.isCut).toBe(true))
    server.onCall = undefined
    expect((await whole(body)).content()).toContain('You said')
  })

  it('is cancelled where all leave before its first event', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const sent = request(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    sent.on('error', () => {})
    sent.end(JSON.stringify(body))
    const call = await calling
    sent.destroy()
    await eventually(() => expect(call.isCut).toBe(true))
  })

  it('ends with an error for all where the backend dies, and is not gone on with from another', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    const call = await calling
    call.say('one', ' two')
    const readings = [await asking, await ask(body)]
    for (const reading of readings) await eventually(() => expect(reading.content()).toBe('one two'))
    // A part of an event, which nobody gets.
    call.send('data: {"choices":[{"delta":{"content":" thr')
    call.response.socket?.destroy()
    for (const reading of readings) {
      await reading.over()
      expect(reading.content()).toBe('one two')
      expect(reading.data().at(-1)).toMatchObject({ error: { code: 'backend_reset', type: 'server_error' } })
      expect(reading.isCut).toBe(false)
    }
    expect(server.calls.length).toBe(1)
  })

  it('holds up nobody for a reader who does not read, and keeps no more for that one than the bound', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    const call = await calling
    call.say('begin')
    const reading = await asking
    const idle = await ask(body)
    idle.pause()
    const piece = 'x'.repeat(4 << 10)
    const count = 5000
    for (let i = 0; i < count; i++) {
      call.say(piece)
      // As fast as the fastest reader reads.
      if (call.response.writableNeedDrain)
        await new Promise((resolve) => call.response.once('drain', resolve))
    }
    call.finish()
    await reading.over()
    expect(reading.length).toBeGreaterThan(count * piece.length)
    expect(reading.text.endsWith('data: [DONE]\n\n')).toBe(true)
    idle.resume()
    await idle.over()
    expect(idle.length).toBeLessThan(16 << 20)
    expect(idle.data().at(-1)).toMatchObject({ error: { message: expect.stringContaining('bytes behind') } })
    // It was too long to be kept.
    server.onCall = undefined
    expect(statusOf(await whole(body))).toContain('fwd=miss')
  })

  it('is joined over HTTP/2 as well', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asking = ask(body)
    const call = await calling
    call.say('one')
    const reading = await asking
    const session = connect(gateway.url)
    const streams = [1, 2].map(() => sentOverHttp2(session, body))
    const texts = streams.map(async (stream) => {
      let text = ''
      for await (const piece of stream) text += String(piece)
      return text
    })
    await Promise.all(streams.map((stream) => once(stream, 'response')))
    call.say(' two')
    call.finish()
    await reading.over()
    for (const text of await Promise.all(texts)) expect(text).toBe(reading.text)
    session.close()
    expect(server.calls.length).toBe(1)
  })

  it('is not joined by another tenant', async () => {
    const body = bodyOf(fresh(), { stream: true })
    server.onCall = (call) => {
      call.say(String(call.request.headers.authorization))
      call.finish()
    }
    const [one, other] = await Promise.all([
      whole(body, { authorization: 'Bearer one' }),
      whole(body, { authorization: 'Bearer other' }),
    ])
    expect([one.content(), other.content()]).toEqual(['Bearer one', 'Bearer other'])
  })
})
