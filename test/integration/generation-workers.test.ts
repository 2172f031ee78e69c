/**
 * Generations joined across the workers of one process: four data planes that share memory and claims, each with a port of its
 * own, so that a test chooses the worker that a call comes to.
 */
import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Answered, Generated } from '../../src/core/observer.ts'
import { outcomeLabel } from '../../src/core/reply.ts'
import { openai } from '../../src/protocol/openai/openai.ts'
import { type ChatCall, type ChatServer, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { silentObserver } from '../support/observer.ts'
import { CACHE } from '../support/pipeline.ts'
import { type RunningWorkers, startWorkers } from '../support/plane.ts'
import { type Reading, read } from '../support/reading.ts'

const WORKERS = 4
const MAX_ENTRY_BYTES = 64 << 10

let server: ChatServer
let workers: RunningWorkers
let prompts = 0
let seed = 1
const answered: Answered[] = []
const generated: Generated[] = []

beforeAll(async () => {
  server = await startChatServer()
  workers = await startWorkers(WORKERS, {
    routes: [
      {
        name: 'main',
        match: {},
        protocols: [openai],
        pool: 'main',
        timeout: 20_000,
        pure: true,
        cache: { ...CACHE, rows: 'auto', maxEntryBytes: MAX_ENTRY_BYTES },
      },
    ],
    pools: { main: [server.url] },
    observer: {
      ...silentObserver,
      answered: (one) => void answered.push({ ...one, outcome: { ...one.outcome } }),
      generated: (_, one) => void generated.push(one),
    },
  })
})
afterEach(async () => {
  // No flight, no generation and no claim is left, whatever became of the callers.
  await eventually(() => expect(workers.planes.map(({ loads }) => loads)).toEqual([0, 0, 0, 0]))
  expect(workers.claimed()).toBe(0)
  workers.relays()
  server.reset()
  answered.length = generated.length = 0
})
afterAll(async () => {
  await workers?.close()
  server?.close()
})

const fresh = () => `prompt ${++prompts}`

function bodyOf(prompt: string, members: object = {}): object {
  return { model: 'm', temperature: 0, messages: [{ role: 'user', content: prompt }], ...members }
}

const ask = (worker: number, body: object, path = '/v1/chat/completions') =>
  read(`http://127.0.0.1:${workers.planes[worker]?.port}${path}`, body)

/** A caller who leaves before the head of its answer is there. */
function leaver(worker: number, body: object) {
  const sent = request({
    port: workers.planes[worker]?.port,
    path: '/v1/chat/completions',
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json' },
  })
  const closed = new Promise((resolve) => sent.on('error', () => {}).on('close', resolve))
  sent.end(JSON.stringify(body))
  return {
    async leave() {
      sent.destroy()
      await closed
    },
  }
}

/** The next call, whose events the test writes; those behind it are answered by the server. */
function nextCall(): Promise<ChatCall> {
  const { promise, resolve } = Promise.withResolvers<ChatCall>()
  server.onCall = (call) => {
    server.onCall = undefined
    resolve(call)
  }
  return promise
}

/** Begins a stream at the first worker, with one piece of its text; gives the backend's call and the first reader. */
async function begun(body: object): Promise<[ChatCall, Reading]> {
  const calling = nextCall()
  const asking = ask(0, body)
  const call = await calling
  call.say('one')
  return [call, await asking]
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const statusOf = ({ headers }: Reading) => String(headers['cache-status'])
const contentOf = ({ text }: Reading) =>
  (JSON.parse(text) as { choices: { message: { content: string } }[] }).choices[0]?.message.content

/** Numbers that look random and are the same in each run of a seed. */
function random(): number {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
  return seed / 2 ** 32
}

describe('callers of several workers', () => {
  it('read one generation: events from the first on, or all of it as JSON', async () => {
    const prompt = fresh()
    const calling = nextCall()
    const first = ask(0, bodyOf(prompt, { stream: true }))
    const call = await calling
    // Before its first byte, and while it runs.
    const early = ask(1, bodyOf(prompt, { stream: true, user: 'early' }))
    const json = ask(2, bodyOf(prompt))
    call.say('one')
    const late = await ask(3, bodyOf(prompt, { stream: true, stream_options: { include_usage: true } }))
    await eventually(() => expect(late.content()).toBe('one'))
    expect(statusOf(late)).toContain('fwd=miss; fwd-status=200; collapsed')
    expect(late.headers['x-call']).toBeUndefined()
    const beside = await ask(3, bodyOf(prompt, { stream: true }))
    call.say(' two')
    call.finish()
    const all = await Promise.all([first, early, late, beside].map(async (one) => (await one).over()))
    expect(all.map((one) => one.content())).toEqual(all.map(() => 'one two'))
    expect(all[1]?.text).toBe(all[0]?.text)
    expect(all[3]?.text).toBe(all[0]?.text)
    expect(late.text).toContain('"completion_tokens":2')
    expect(contentOf(await (await json).over())).toBe('one two')
    expect(server.calls.length).toBe(1)
    for (const worker of [0, 1, 2, 3]) {
      const kept = await (await ask(worker, bodyOf(prompt, { stream: true }))).over()
      expect(statusOf(kept)).toContain('hit')
      expect(kept.content()).toBe('one two')
    }
  })

  it('are counted as those of one worker: one generation, and what the others saved', async () => {
    const prompt = fresh()
    const [call, first] = await begun(bodyOf(prompt, { stream: true }))
    const others = await Promise.all([0, 1, 2].map((worker) => ask(worker, bodyOf(prompt, { stream: true }))))
    call.finish()
    await Promise.all([first, ...others].map((one) => one.over()))
    const tokens = { input: 7, output: 1 }
    await eventually(() => expect(answered.length).toBe(1 + others.length))
    const joined = answered.filter(({ outcome }) => outcomeLabel(outcome) === 'collapsed')
    expect(joined.map(({ saved }) => saved)).toEqual(others.map(() => tokens))
    expect(generated.map((one) => one.tokens)).toEqual([tokens])
  })

  it('cost the backend one call where fifty of them come over its whole length, and half leave', async () => {
    const prompt = fresh()
    const [call, first] = await begun(bodyOf(prompt, { stream: true }))
    const readings = [first]
    const pieces = Array.from({ length: 100 }, (_, i) => ` word${i}`)
    const leaving = new Set<Reading>()
    for (const [i, piece] of pieces.entries()) {
      call.say(piece)
      if (i % 2 === 0 && readings.length < 50)
        readings.push(await ask(Math.floor(random() * WORKERS), bodyOf(prompt, { stream: true })))
      // The one for whom the backend was called leaves early.
      if (i < 3 || i % 4 !== 3) continue
      const staying = i === 3 ? [first] : readings.filter((one) => !leaving.has(one))
      const one = staying[Math.floor(random() * staying.length)] as Reading
      leaving.add(one)
      one.leave()
    }
    expect([readings.length, leaving.size]).toEqual([50, 25])
    call.finish()
    const stayed = readings.filter((one) => !leaving.has(one))
    for (const one of stayed) expect((await one.over()).isCut).toBe(false)
    expect(new Set(stayed.map((one) => one.content()))).toEqual(new Set([`one${pieces.join('')}`]))
    expect(server.calls.length).toBe(1)
  })

  it('cancel the work of the backend when the last of them all leaves', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const [second, third] = [await ask(1, body), await ask(2, body)]
    first.leave()
    second.leave()
    await eventually(() => expect(third.content()).toBe('one'))
    call.say(' two')
    await eventually(() => expect(third.content()).toBe('one two'))
    expect(call.isCut).toBe(false)
    third.leave()
    await eventually(() => expect(call.isCut).toBe(true))
  })

  it('cancel it where all leave before the first event, and not before the last of them has', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const first = leaver(0, body)
    const call = await calling
    const second = leaver(1, body)
    await eventually(() => expect(workers.relays()).toBe(1))
    await first.leave()
    await eventually(() => expect(answered.length).toBe(1))
    expect(call.isCut).toBe(false)
    await second.leave()
    await eventually(() => expect(call.isCut).toBe(true))
  })

  it('read an answer that was asked for as JSON, and keep the backend at it when the one who asked leaves', async () => {
    const prompt = fresh()
    const calling = nextCall()
    const first = leaver(0, bodyOf(prompt))
    const call = await calling
    const streaming = ask(1, bodyOf(prompt, { stream: true }))
    await eventually(() => expect(workers.relays()).toBe(1))
    await first.leave()
    await eventually(() => expect(answered.length).toBe(1))
    const message = { role: 'assistant', content: 'all of it' }
    const choices = [{ index: 0, message, finish_reason: 'stop' }]
    call.response.setHeader('content-type', 'application/json')
    call.response.end(JSON.stringify({ id: 'c', object: 'chat.completion', model: 'm', choices }))
    expect((await (await streaming).over()).content()).toBe('all of it')
    expect(server.calls.length).toBe(1)
  })

  it('ask the backend each for itself where it refuses', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const first = ask(0, body)
    const call = await calling
    const second = ask(1, body)
    await eventually(() => expect(workers.relays()).toBe(1))
    call.response.statusCode = 400
    call.response.end('{"error":{"message":"no"}}')
    expect((await first).status).toBe(400)
    expect((await (await second).over()).content()).toContain('You said')
    expect(server.calls.length).toBe(2)
  })
})

describe('what goes wrong', () => {
  it('is told all of them as the last event, where the backend dies', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const readings = [first, await ask(1, body), await ask(2, body)]
    for (const reading of readings) await eventually(() => expect(reading.content()).toBe('one'))
    call.send('data: {"choices":[{"delta":{"content":" thr')
    call.response.socket?.destroy()
    for (const reading of readings) {
      await reading.over()
      expect(reading.content()).toBe('one')
      expect(reading.data().at(-1)).toMatchObject({ error: { code: 'backend_reset', type: 'server_error' } })
      expect(reading.isCut).toBe(false)
    }
    expect(server.calls.length).toBe(1)
  })

  it('is an error for those who read along with a worker that ends, and nothing for whoever asks later', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const [second, third] = [await ask(1, body), await ask(2, body)]
    for (const reading of [second, third]) await eventually(() => expect(reading.content()).toBe('one'))
    workers.cut(0)
    for (const reading of [second, third]) {
      await reading.over()
      expect(reading.content()).toBe('one')
      expect(reading.data().at(-1)).toMatchObject({ error: { code: 'internal', type: 'server_error' } })
      expect(reading.isCut).toBe(false)
    }
    expect(server.calls.length).toBe(1)
    expect((await (await ask(1, body)).over()).content()).toContain('You said')
    first.leave()
    await eventually(() => expect(call.isCut).toBe(true))
  })

  it('is nothing for those who wait for a worker that ends before the first event', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const first = ask(0, body)
    const call = await calling
    const second = ask(1, body)
    await eventually(() => expect(workers.relays()).toBe(1))
    workers.cut(0)
    expect((await (await second).over()).content()).toContain('You said')
    call.say('one')
    call.finish()
    await (await first).over()
  })

  it('holds up nobody: a reader who does not read, at another worker', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const idle = await ask(1, body)
    idle.pause()
    const beside = await ask(2, body)
    // A comment, which is passed on as any event and costs little to follow.
    const piece = `: ${'x'.repeat(30 << 10)}\n\n`
    const count = 640
    for (let sent = 0; sent < count; sent++) {
      call.send(piece)
      // No faster than both of them read.
      while (Math.min(first.length, beside.length) < sent * piece.length) await turn()
    }
    call.finish()
    for (const reading of [first, beside]) {
      await reading.over()
      expect(reading.length).toBeGreaterThan(count * piece.length)
      expect(reading.text.endsWith('data: [DONE]\n\n')).toBe(true)
    }
    idle.resume()
    await idle.over()
    expect(idle.length).toBeLessThan(16 << 20)
    expect(idle.data().at(-1)).toMatchObject({ error: { message: expect.stringContaining('bytes behind') } })
    expect(server.calls.length).toBe(1)
  })

  it('is a call of their own for those who come when it is too long to be joined', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    for (let i = 0; i < 40; i++) call.say('x'.repeat(4 << 10))
    await eventually(() => expect(first.length).toBeGreaterThan(2 * MAX_ENTRY_BYTES))
    expect((await (await ask(1, body)).over()).content()).toContain('You said')
    call.finish()
    expect((await first.over()).isCut).toBe(false)
  })
})

describe('a purge or a new deployment while it runs', () => {
  /** The first reads on to its end; who asks afterwards, at whichever worker, is answered anew. */
  async function isNew(body: object, call: ChatCall, running: readonly Reading[]): Promise<void> {
    for (const worker of [1, 0, 3]) {
      const reading = await (await ask(worker, body)).over()
      expect(reading.content()).toContain('You said')
      expect(statusOf(reading)).not.toContain('collapsed')
    }
    call.say(' two')
    call.finish()
    for (const reading of running) expect((await reading.over()).content()).toBe('one two')
    for (const worker of [0, 1, 2, 3]) {
      const kept = await (await ask(worker, body)).over()
      expect(kept.content()).toContain('You said')
      expect(statusOf(kept)).toContain('hit')
    }
    expect(server.calls.length).toBe(2)
  }

  it('by key: nothing of the old is kept, or given to those who ask later', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const second = await ask(1, body)
    await workers.forget('/v1/chat/completions', JSON.stringify(body))
    await isNew(body, call, [first, second])
  })

  it('by key, before its first event', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const calling = nextCall()
    const asked = [ask(0, body)]
    const call = await calling
    asked.push(ask(1, body))
    await eventually(() => expect(workers.relays()).toBe(1))
    await workers.forget('/v1/chat/completions', JSON.stringify(body))
    call.say('one')
    await isNew(body, call, await Promise.all(asked))
  })

  it('of everything', async () => {
    const body = bodyOf(fresh(), { stream: true })
    const [call, first] = await begun(body)
    const second = await ask(1, body)
    await workers.purge()
    await isNew(body, call, [first, second])
  })

  it('a deployment', async () => {
    const body = bodyOf(fresh(), { stream: true })
    workers.deploy('m', '1')
    const [call, first] = await begun(body)
    const second = await ask(1, body)
    workers.deploy('m', '2')
    await isNew(body, call, [first, second])
  })
})

describe.each([
  [
    'a text completion',
    '/v1/completions',
    () => ({ model: 'm', temperature: 0, stream: true, prompt: fresh() }),
    (call: ChatCall, text: string) =>
      call.send({ id: 'cmpl-1', choices: [{ index: 0, text, finish_reason: null }] }),
    (call: ChatCall) =>
      call.send(
        { id: 'cmpl-1', choices: [{ index: 0, text: '', finish_reason: 'stop' }] },
        'data: [DONE]\n\n',
      ),
  ],
  [
    'a response',
    '/v1/responses',
    () => ({ model: 'm', temperature: 0, stream: true, store: false, input: fresh() }),
    (call: ChatCall, delta: string) =>
      call.send(
        told('response.output_text.delta', { output_index: 0, content_index: 0, item_id: 'msg_1', delta }),
      ),
    (call: ChatCall) => call.send(told('response.completed', { response: RESPONSE })),
  ],
])('%s', (_, path, body, say, finish) => {
  it.each([0, 1])('is joined while it runs, at worker %i', async (worker) => {
    const asked = body()
    const calling = nextCall()
    const asking = ask(0, asked, path)
    const call = await calling
    say(call, 'one')
    const [first, second] = [await asking, await ask(worker, asked, path)]
    await eventually(() => expect(second.content()).toBe('one'))
    expect(statusOf(second)).toContain('collapsed')
    say(call, ' two')
    finish(call)
    call.response.end()
    for (const reading of [first, second]) expect((await reading.over()).content()).toBe('one two')
    expect(second.text).toBe(first.text)
    const kept = await (await ask(3, asked, path)).over()
    expect(statusOf(kept)).toContain('hit')
    expect(kept.content()).toBe('one two')
    expect(server.calls.length).toBe(1)
  })

  it.each([0, 1])('whose backend dies ends in the same error for all, at worker %i', async (worker) => {
    const asked = body()
    const calling = nextCall()
    const asking = ask(0, asked, path)
    const call = await calling
    say(call, 'one')
    const readings = [await asking, await ask(worker, asked, path)]
    for (const reading of readings) await eventually(() => expect(reading.content()).toBe('one'))
    call.response.socket?.destroy()
    const [first, second] = await Promise.all(readings.map((reading) => reading.over()))
    expect(JSON.stringify(first?.data().at(-1))).toContain('backend_reset')
    expect(second?.text).toBe(first?.text)
    expect(server.calls.length).toBe(1)
  })
})

const RESPONSE = {
  id: 'resp_1',
  object: 'response',
  created_at: 1,
  status: 'completed',
  error: null,
  model: 'm',
  output: [
    {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'one two', annotations: [] }],
    },
  ],
  usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
}

/** An event as the Responses API writes it. */
function told(type: string, more: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`
}
