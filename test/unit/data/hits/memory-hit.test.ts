import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { RawPairs } from '../../../../src/core/call.ts'
import { silentLog } from '../../../../src/core/log.ts'
import type { Answered } from '../../../../src/core/observer.ts'
import { freshId } from '../../../../src/core/own-id.ts'
import type { Reply } from '../../../../src/core/reply.ts'
import { Admission } from '../../../../src/data/decision/admission.ts'
import { createCacheDecisions } from '../../../../src/data/decision/cache-decision.ts'
import type { HeadNotes } from '../../../../src/data/exchange/exchange.ts'
import { MemoryHits, type Repeat, repeatOf } from '../../../../src/data/hits/memory-hit.ts'
import { ReadyAnswers } from '../../../../src/data/hits/ready-answers.ts'
import { FastRequest, type ResponseWriter } from '../../../../src/data/ingress/door/request.ts'
import { TextAnswers, type TextWriter } from '../../../../src/data/ingress/door/text-answers.ts'
import { createIngress } from '../../../../src/data/ingress/ingress.ts'
import { Deployments } from '../../../../src/data/key/deployment.ts'
import { Epochs } from '../../../../src/data/key/epochs.ts'
import { createKeyer } from '../../../../src/data/key/keyer.ts'
import { principalOf } from '../../../../src/data/key/meaning.ts'
import { encodingOf, rawDigest, rawPrefix } from '../../../../src/data/key/raw.ts'
import { createRouter } from '../../../../src/data/route/routes.ts'
import { createCompose } from '../../../../src/data/serve/compose.ts'
import { createPoolPipeline } from '../../../../src/data/serve/pipeline.ts'
import { createTraffic } from '../../../../src/data/serve/traffic.ts'
import { Wheel } from '../../../../src/lib/wheel.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { silentObserver } from '../../../support/observer.ts'
import { CACHE } from '../../../support/pipeline.ts'

const PATH = '/v1/models/m:predict'
const JSON_TYPE: RawPairs = ['Host', 'h', 'Content-Type', 'application/json']
const CONNECTION = 'Connection: keep-alive\r\n'
const TTL_MS = 60_000
const BODY = Buffer.from('{"instances":[[1]]}')
const REPLY: Reply = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: Buffer.from('{"predictions":[é]}', 'latin1'),
}

function setup() {
  const clock = new FakeClock()
  const facts = { shared: undefined, clock, log: silentLog, changed: () => {} }
  const epochs = new Epochs(facts)
  const deployments = new Deployments(facts)
  const keyer = createKeyer({ epochs, deployments, clock })
  const ready = new ReadyAnswers({ maxBytes: 1e6, clock })
  const route = {
    name: 'main',
    match: {},
    protocols: [tfserving],
    pool: 'main',
    timeout: 1000,
    pure: true,
    cache: CACHE,
  }
  const settings = () => ({ route: createRouter([route]), maxBodyBytes: 100 })
  let live = settings()
  const answered: Answered[] = []
  const decisions = createCacheDecisions(keyer)
  const admission = new Admission()
  const observer = { ...silentObserver, answered: (one: Answered) => void answered.push({ ...one }) }
  const memoryHit = new MemoryHits({
    live: () => live,
    decisions,
    ready,
    admission,
    memory: 'memory',
    observer,
    clock,
  })

  const behindMemory = () => expect.unreachable('it is answered from memory')
  const parts = { forward: behindMemory, observer, clock, memory: 'memory' }
  const answer = createPoolPipeline({
    ...parts,
    ...{ decisions, ready, admission, aliases: undefined },
    cache: { mark: () => 0 },
    compose: createCompose(parts as never),
  } as never)
  const pipeline = createTraffic({
    answer,
    upstream: { payOnce: behindMemory },
    observer,
    random: Math.random,
  })
  const ingress = createIngress({
    live: () => live,
    answer: pipeline,
    observer,
    log: silentLog,
    clock,
    wheel: new Wheel(clock),
    mintId: () => 'id',
  })

  /** What the pipeline has a request answered with, through the same door, and what it tells of that. */
  function askPipeline(headers = JSON_TYPE) {
    let text = ''
    const line: ResponseWriter = {
      peer: 'peer',
      connectionFields: () => CONNECTION,
      mintId: () => 'id',
      send: (head, rest) => void (text += head + Buffer.from(rest ?? []).toString('latin1')),
      answered() {},
      out: { pass: behindMemory, drained: behindMemory },
      cut: behindMemory,
      pause: behindMemory,
      resume: behindMemory,
    }
    const asked = { method: 'POST', target: PATH, headers, host: 'h', length: BODY.length } as const
    const request = new FastRequest(line, { ...asked, bytes: 0, text: '', requestId: '', notes: {} })
    request.take(BODY)
    // A head is dated by the system's clock.
    vi.setSystemTime(clock.wall())
    const before = answered.length
    ingress.serve(request)
    return { text, told: answered.splice(before) }
  }

  /** A head as its first call leaves it. */
  function head(headers = JSON_TYPE) {
    const method = 'POST'
    const matched = live.route({ method, path: PATH, host: 'h', headers })
    if (!matched) throw new Error('no route')
    const principal = principalOf(headers)
    const notes: HeadNotes = { live, matched, path: PATH, query: '', host: 'h', headers, principal }
    return { method, headers, host: 'h', notes }
  }

  async function keep(of = head(), reply = REPLY) {
    const { matched, principal = '' } = of.notes
    if (!matched) throw new Error('no route')
    const { method, headers, host } = of
    const asked = { method, target: matched.target, path: PATH, query: '', headers, host, principal }
    const seed = await keyer.seed(asked, matched)
    const raw = rawDigest(rawPrefix(seed.digest, encodingOf({ headers })), BODY)
    ready.set(raw, reply, [{ createdAt: clock.wall(), ttlMs: TTL_MS } as never])
  }

  /** What was written when the same bytes came again; undefined: they were read as if they never had. */
  function askAgain(repeat: Repeat) {
    let written: string | undefined
    const line = {
      peer: 'peer',
      connectionFields: () => CONNECTION,
      send: (text: string) => void (written = text),
    }
    expect(memoryHit.answerRepeat(repeat, answersTo(line))).toBe(written !== undefined)
    return written
  }

  /** What a head and BODY are answered from. */
  function repeat(of: ReturnType<typeof head>): Repeat {
    const one = { ...of, length: BODY.length }
    const line = { peer: '', connectionFields: () => CONNECTION, send: () => {} }
    const source = memoryHit.answer(one, [BODY], answersTo(line))
    if (!source) throw new Error('not answered at once')
    return repeatOf(one, source)
  }

  /** What was written; undefined: the request went to the pipeline. */
  function ask(of: ReturnType<typeof head>, body: Buffer = BODY, isCut = false) {
    let written: string | undefined
    const send = (text: string, rest: Uint8Array | undefined) => {
      written = text + (rest ? Buffer.from(rest).toString('latin1') : '')
    }
    const line = { peer: 'peer', connectionFields: () => CONNECTION, send }
    const half = body.length >> 1
    const pieces = isCut ? [body.subarray(0, half), body.subarray(half)] : [body]
    const source = memoryHit.answer({ ...of, length: body.length }, pieces, answersTo(line))
    expect(source !== undefined).toBe(written !== undefined)
    return written
  }

  return {
    clock,
    epochs,
    deployments,
    ready,
    answered,
    head,
    keep,
    ask,
    repeat,
    askAgain,
    askPipeline,
    reload: () => (live = settings()),
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date'] }))
afterEach(() => void vi.useRealTimers())

describe('a memory hit', () => {
  it('writes what the pipeline would, and counts it', async () => {
    const { head, keep, ask, answered, askPipeline } = setup()
    const one = head()
    expect(ask(one)).toBeUndefined()
    await keep()
    const { text, told } = askPipeline()
    expect(ask(one)).toBe(text)
    expect(ask(one, BODY, true)).toBe(text)
    expect(answered.splice(1)).toHaveLength(1)
    expect(answered).toEqual(told)
    expect(answered).toMatchObject([
      {
        door: 'fast',
        route: 'main',
        protocol: 'tfserving',
        model: 'm',
        status: 200,
        outcome: { kind: 'hit' },
      },
    ])
  })

  it.each([2047, 2048, 2049, 100_000])('writes a body of %i bytes whole', async (size) => {
    const { head, keep, ask, askPipeline } = setup()
    await keep(head(), { ...REPLY, body: Buffer.alloc(size, 'x') })
    const { text } = askPipeline()
    expect(text).toMatch(new RegExp(`\r\n\r\nx{${size}}$`))
    expect(ask(head())).toBe(text)
  })

  it.each([100, 2048, 2049, 100_000])(
    'has another id for each caller, in a body of %i bytes',
    async (size) => {
      const { head, keep, ask, answered, askPipeline } = setup()
      const ownId = freshId('chatcmpl-1')
      const event = `{"id":"${ownId}"}`
      const body = Buffer.from(event.repeat(Math.ceil(size / event.length)) + 'é'.repeat(3))
      const saved = { input: 3, output: 5 }
      await keep(head(), { ...REPLY, body, ownId, saved: () => saved })
      const { text, told } = askPipeline()
      const texts = [text, ask(head()) ?? '', ask(head()) ?? '', ask(head(), BODY, true) ?? '']
      const ids = texts.map((one) => /chatcmpl-[0-9a-f]{32}/.exec(one)?.[0] ?? '')
      expect(new Set([...ids, ownId]).size).toBe(texts.length + 1)
      const shown = texts.map((one, i) => one.replaceAll(ids[i] as string, ownId))
      expect(shown[0]?.endsWith(`\r\n\r\n${body.toString('latin1')}`)).toBe(true)
      expect(new Set(shown).size).toBe(1)
      expect(told).toMatchObject([{ saved }])
      expect(answered).toEqual(Array.from({ length: 3 }, () => told[0]))
    },
  )

  it('tells age, ttl and date as they are at each second, also when the clock is stepped back', async () => {
    const { clock, head, keep, ask, askPipeline } = setup()
    await keep()
    const one = head()
    for (const ms of [0, 1, 998, 1, 1, 500, 1500, 10_000]) {
      clock.advance(ms)
      const { text } = askPipeline()
      expect(text).toContain(`\r\nAge: ${Math.floor((clock.now() - 1000) / 1000)}\r\n`)
      expect(ask(one)).toBe(text)
    }
    clock.step(-3_600_000)
    expect(ask(one)).toBe(askPipeline().text)
    expect(ask(one)).toContain('\r\nAge: 0\r\n')
  })

  it('is over with the answer’s lifetime', async () => {
    const { clock, head, keep, ask } = setup()
    await keep()
    clock.advance(TTL_MS - 1)
    expect(ask(head())).toBeDefined()
    clock.advance(1)
    expect(ask(head())).toBeUndefined()
  })

  it('ends with a purge and with a deployment, for heads that are known as well', async () => {
    const { epochs, deployments, head, keep, ask } = setup()
    const one = head()
    await keep()
    expect(ask(one)).toBeDefined()
    await epochs.purge(['model:m'])
    expect(ask(one)).toBeUndefined()
    await keep()
    expect(ask(one)).toBeDefined()
    deployments.learn({ pool: 'main', model: 'm', evidence: 'v1' })
    deployments.learn({ pool: 'main', model: 'm', evidence: 'v2' })
    expect(ask(one)).toBeUndefined()
    await keep()
    expect(ask(one)).toBeDefined()
    await deployments.poll()
    expect(ask(one)).toBeDefined()
    expect(deployments.calledModels('main')).toEqual(['m'])
  })

  it('waits for a call under the present settings to find the route', async () => {
    const { head, keep, ask, reload } = setup()
    const one = head()
    await keep()
    expect(ask(one)).toBeDefined()
    reload()
    expect(ask(one)).toBeUndefined()
    expect(ask(head())).toBeDefined()
  })

  it.each<[string, RawPairs]>([
    ['of another principal', [...JSON_TYPE, 'Authorization', 'Bearer other']],
    ['in another encoding', ['Host', 'h', 'Content-Type', 'text/plain']],
    ['with a condition', [...JSON_TYPE, 'If-None-Match', '"x"']],
    ['with no-cache', [...JSON_TYPE, 'Cache-Control', 'no-cache']],
    ['with more min-fresh than is left', [...JSON_TYPE, 'Cache-Control', 'min-fresh=61']],
  ])('leaves a request %s to the pipeline', async (_, headers) => {
    const { head, keep, ask } = setup()
    await keep()
    expect(ask(head(headers))).toBeUndefined()
  })

  it('heeds max-age, and lets no-store have what is there', async () => {
    const { clock, head, keep, ask, ready } = setup()
    const young = head([...JSON_TYPE, 'Cache-Control', 'max-age=5'])
    const secret = head([...JSON_TYPE, 'Cache-Control', 'no-store'])
    await keep()
    const { bytes } = ready
    clock.advance(5000)
    expect(ask(young)).toBeDefined()
    clock.advance(1)
    expect(ask(young)).toBeUndefined()
    expect(ask(secret)).toBeDefined()
    expect(ready.bytes).toBe(bytes)
  })

  it('leaves a body that is too long, or another one, to the pipeline', async () => {
    const { head, keep, ask } = setup()
    await keep()
    expect(ask(head(), Buffer.alloc(101))).toBeUndefined()
    expect(ask(head(), Buffer.from('{"instances":[[2]]}'))).toBeUndefined()
  })
})

describe('the same bytes again', () => {
  it('are answered as they were, and counted', async () => {
    const { clock, head, keep, repeat, askAgain, askPipeline, answered } = setup()
    await keep()
    const known = repeat(head())
    clock.advance(1500)
    const { text, told } = askPipeline()
    expect(askAgain(known)).toBe(text)
    expect(answered.slice(1)).toEqual(told)
    expect(answered).toHaveLength(2)
    expect(answered[1]).toMatchObject({ route: 'main', status: 200, outcome: { kind: 'hit' } })
  })

  it('are read anew when the answer has had its time, is another one, or is gone', async () => {
    const { clock, ready, head, keep, repeat, askAgain } = setup()
    await keep()
    const first = repeat(head())
    await keep()
    expect(askAgain(first)).toBeUndefined()
    const second = repeat(head())
    clock.advance(TTL_MS - 1)
    expect(askAgain(second)).toBeDefined()
    clock.advance(1)
    expect(askAgain(second)).toBeUndefined()
    await keep()
    const third = repeat(head())
    ready.clear()
    expect(askAgain(third)).toBeUndefined()
  })

  it('are read anew after a purge, a deployment, and under other settings', async () => {
    const { epochs, deployments, head, keep, repeat, askAgain, reload } = setup()
    await keep()
    const one = repeat(head())
    await epochs.purge(['model:m'])
    expect(askAgain(one)).toBeUndefined()
    await keep()
    const two = repeat(head())
    deployments.learn({ pool: 'main', model: 'm', evidence: 'v1' })
    deployments.learn({ pool: 'main', model: 'm', evidence: 'v2' })
    expect(askAgain(two)).toBeUndefined()
    await keep()
    const three = repeat(head())
    expect(askAgain(three)).toBeDefined()
    reload()
    expect(askAgain(three)).toBeUndefined()
  })

  it('are held to the age the caller wishes', async () => {
    const { clock, head, keep, repeat, askAgain } = setup()
    await keep()
    const young = repeat(head([...JSON_TYPE, 'Cache-Control', 'max-age=5']))
    clock.advance(5000)
    expect(askAgain(young)).toBeDefined()
    clock.advance(1)
    expect(askAgain(young)).toBeUndefined()
  })
})

/** All that is written goes to `line.send`. */
function answersTo(line: Pick<TextWriter, 'peer' | 'connectionFields' | 'send'>): TextAnswers {
  const sendReady: TextWriter['out']['sendReady'] = (head, id, body = Buffer.alloc(0)) => {
    const text = `${Buffer.from(head).toString('latin1')}${id}\r\n\r\n`
    line.send(text + Buffer.from(body).toString('latin1'), undefined)
  }
  return Object.assign(new TextAnswers({ ...line, out: { sendReady } }), { requestId: 'id' })
}
