/** The load tester against small real servers: what it counts is what they saw, and nothing that they do keeps it from ending. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import http2, { type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, expect, it } from 'vitest'
import { describeInputs, firstModel, UnreachableError } from '../../src/load-test/describe.ts'
import type { DialectOptions } from '../../src/load-test/dialects/dialect.ts'
import { Generator } from '../../src/load-test/generator.ts'
import { LoadTest, type LoadTestOptions, type Seen } from '../../src/load-test/load-test.ts'
import { flat } from '../../src/load-test/profile.ts'
import { caveats, summarise } from '../../src/load-test/summary.ts'
import { LoadTally } from '../../src/load-test/tally.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function listening(server: Server | http2.Http2Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown

async function serve(answer: Answer): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer({ keepAlive: true }, (...exchange) => void answer(...exchange))
  const url = await listening(server)
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url, server }
}

const DIALECT: DialectOptions = {
  protocol: 'tfserving',
  model: 'm',
  rows: 2,
  overlap: 1,
  inputs: [{ name: 'x', datatype: 'FP32', shape: [4] }],
  headers: [],
  isHttp2: false,
  path: undefined,
  template: undefined,
  generation: { endpoint: 'stream', maxTokens: 4, temperature: 0, words: 4 },
}

type Given = Partial<Omit<LoadTestOptions, 'dialect'>> & { readonly dialect?: Partial<DialectOptions> }

const QUIET = { began: () => {}, progressed: () => {} }

const OPTIONS: Omit<LoadTestOptions, 'urls' | 'dialect'> = {
  plan: { kind: 'closed', durationMs: 200 },
  connections: 4,
  threads: 1,
  warmUpMs: 0,
  rounds: 1,
  keys: 50,
  exponent: 1,
  seed: 1,
  timeoutMs: 5000,
  tls: undefined,
  streams: 2,
  driver: 'own',
}

function load(url: string, { dialect, ...options }: Given): LoadTest {
  return new LoadTest({ urls: [url], ...OPTIONS, ...options, dialect: { ...DIALECT, ...dialect } })
}

/** By generators in threads of their own. */
async function seen(url: string, given: Given): Promise<Seen> {
  const { sides } = await load(url, given).run(QUIET)
  return sides[0] as Seen
}

/** By a generator in this thread, which starts at once. */
async function counted(
  url: string,
  { dialect, ...given }: Given,
  isEnough: (total: LoadTally) => boolean = () => false,
): Promise<LoadTally> {
  const { connections: callers, plan, ...options } = { ...OPTIONS, ...given }
  const total = new LoadTally()
  const ended = Promise.withResolvers<void>()
  const part = { index: 0, of: 1, urls: [url], callers, dialect: { ...DIALECT, ...dialect } }
  const generator = new Generator({ ...options, ...part }, (report) => {
    if (report.type === 'counts') {
      total.merge(report.counts)
      if (isEnough(total)) generator.handle({ type: 'stop', graceMs: 1000 })
    }
    if (report.type === 'ended') ended.resolve()
    if (report.type === 'failed') ended.reject(new Error(report.message))
  })
  closers.push(() => void generator.close())
  const at = performance.timeOrigin + performance.now()
  generator.handle({ type: 'begin', phase: { id: 0, side: 0, plan, at } })
  await ended.promise
  return total
}

const open = (rate: number, ms: number): Given => ({
  plan: { kind: 'open', stages: [flat(rate, ms)], spacing: 'even' },
})

it('over HTTP/1.1, counts each answer once, with its status, its rows and what the cache did', async () => {
  const statuses: Record<string, number> = {}
  let calls = 0
  const { url } = await serve(async (request, response) => {
    const { instances } = JSON.parse(await text(request)) as { instances: unknown[] }
    expect(instances).toHaveLength(2)
    const turn = calls++ % 4
    const status = turn === 3 ? 503 : 200
    statuses[status] = (statuses[status] ?? 0) + 1
    response.setHeader('cache-status', turn === 0 ? 'infergate; hit' : 'infergate; fwd=miss')
    response.statusCode = status
    // Half of the answers come in chunks.
    if (turn % 2 === 0) response.write('{"predictions": ')
    response.end('[1, 2]')
  })
  const total = await counted(url, {})
  expect(total.numbers.calls).toBe(calls)
  expect(total.numbers.sent).toBe(total.numbers.calls)
  expect((total.statuses['200'] ?? 0) + (total.statuses['503'] ?? 0)).toBe(total.numbers.calls)
  expect(total.numbers.errors).toBe(total.statuses['503'])
  expect(total.numbers.rows).toBe(2 * (total.statuses['200'] ?? 0))
  expect(total.numbers.savedRows).toBe(2 * (total.cache['hit'] ?? 0))
  expect(total.latency.total).toBe(total.numbers.calls)
})

it('makes the calls of a rate, no more and no fewer, whoever makes them', async () => {
  let calls = 0
  const { url } = await serve((request, response) => {
    calls++
    request.resume()
    response.end('{}')
  })
  const found = await seen(url, { ...open(400, 500), threads: 2, connections: 400, warmUpMs: 50 })
  // Those of the warm-up are made and not counted.
  expect(calls).toBe(220)
  expect(found.total.numbers).toMatchObject({
    sent: 200,
    calls: 200,
    errors: 0,
    unsentLate: 0,
    unsentBlocked: 0,
  })
  expect(summarise(found).callsPerSecond).toBe(400)
})

it('a server that stalls once is charged for all calls that were due meanwhile', async () => {
  let calls = 0
  const { url } = await serve((request, response) => {
    request.resume()
    if (++calls === 100) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    response.end('{}')
  })
  const found = await seen(url, { ...open(500, 800), connections: 4 })
  const { calls: ended, unsentBlocked, unsentLate } = found.total.numbers
  expect(ended + unsentBlocked + unsentLate).toBe(400)
  // Only four calls were under way, and some hundred were due in those 200 ms.
  const { waited, late } = found.total.numbers
  expect(waited + late).toBeGreaterThan(50)
  expect(found.total.latency.quantile(1 - 60 / 400)).toBeGreaterThan(50_000)
  expect(caveats(summarise(found), true).join()).toContain('all connections were in use')
})

it('a server that dies in the middle: what had no answer is counted, and the test ends', async () => {
  let calls = 0
  const { url, server } = await serve((request, response) => {
    request.resume()
    if (++calls <= 20) return void response.end('{}')
    server.closeAllConnections()
    server.close()
  })
  const plan = { kind: 'closed', durationMs: 60_000 } as const
  const total = await counted(url, { plan }, ({ faults }) => (faults['refused'] ?? 0) > 0)
  const { reset = 0, refused = 0, ...others } = total.faults
  expect(others).toEqual({})
  expect(reset).toBeGreaterThan(0)
  expect(total.numbers.errors).toBe(reset + refused)
  // An answer may be lost with its connection, of the three that were not the last.
  const { '200': good = 0 } = total.statuses
  expect(good).toBeGreaterThanOrEqual(17)
  expect(good).toBeLessThanOrEqual(20)
  expect(total.numbers.calls).toBe(good + reset + refused)
})

it('a server that never answers: calls are given up after the time-out', async () => {
  const { url } = await serve((request) => void request.resume())
  const total = await counted(url, { timeoutMs: 100, connections: 3 })
  expect(total.faults).toEqual({ timeout: total.numbers.calls })
  expect(total.numbers.calls).toBeGreaterThanOrEqual(3)
  expect(total.latency.quantile(0)).toBeGreaterThan(90_000)
})

it('a stop ends the test with what was seen, though no call ends', async () => {
  let calls = 0
  const { url } = await serve((request, response) => {
    request.resume()
    calls++
    if (calls <= 5) return void response.end('{}')
    if (calls === 9) test.stop()
  })
  const test = load(url, { plan: { kind: 'closed', durationMs: 60_000 }, timeoutMs: 60_000 })
  const { total, ms } = (await test.run(QUIET)).sides[0] as Seen
  expect(total.numbers).toMatchObject({ sent: 9, calls: 5, errors: 0, unfinished: 4 })
  expect(ms).toBeLessThan(50_000)
})

it('over HTTP/2 and gRPC, with as many connections as its streams need', async () => {
  const sessions = new Set<unknown>()
  let calls = 0
  const server = http2.createServer()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (incoming) => {
    const stream = incoming as ServerHttp2Stream
    const status = ++calls % 3 === 0 ? '14' : '0'
    stream.resume()
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status }))
      stream.end(Buffer.from([0, 0, 0, 0, 0]))
    })
  })
  const url = await listening(server)
  closers.push(() => void server.close())
  const total = await counted(url, { dialect: { protocol: 'oip-grpc' }, connections: 6, streams: 2 })
  expect(total.numbers.calls).toBe(calls)
  expect(total.statuses).toEqual({
    'grpc OK': calls - Math.floor(calls / 3),
    'grpc UNAVAILABLE': Math.floor(calls / 3),
  })
  expect(total.numbers.errors).toBe(Math.floor(calls / 3))
  expect(sessions.size).toBe(3)
})

it('of streams, counts tokens and the times to and between them', async () => {
  const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`
  let streams = 0
  const { url } = await serve(async (request, response) => {
    const body = JSON.parse(await text(request)) as { stream?: boolean; model: string }
    expect(body).toMatchObject({ stream: true, model: 'm' })
    streams++
    response.setHeader('content-type', 'text/event-stream')
    response.write(`data: ${JSON.stringify({ choices: [{ delta: { role: 'assistant' } }] })}\n\n`)
    response.write(chunk('a'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    response.end(`${chunk('b')}data: [DONE]\n\n`)
  })
  const total = await counted(url, { dialect: { protocol: 'openai' } })
  expect(total.statuses).toEqual({ '200': streams })
  expect(total.numbers.tokens).toBe(2 * streams)
  expect([total.firstToken.total, total.betweenTokens.total]).toEqual([streams, streams])
  expect(total.betweenTokens.maxUs).toBeGreaterThan(15_000)
})

it('a stream that breaks off, or that says an error, is no answer', async () => {
  let streams = 0
  const { url } = await serve((request, response) => {
    request.resume()
    response.setHeader('content-type', 'text/event-stream')
    response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n', () => {
      if (streams++ % 2 === 0) response.destroy()
      else response.end('data: {"error":{"message":"out of memory"}}\n\n')
    })
  })
  const total = await counted(url, { dialect: { protocol: 'openai' }, connections: 1 })
  expect(total.statuses).toEqual({})
  expect(total.faults).toEqual({ reset: Math.ceil(streams / 2), 'stream-error': Math.floor(streams / 2) })
})

it('an answer that trickles for ever does not hold up the question before the test', async () => {
  const { url } = await serve((request, response) => {
    const drip = setInterval(() => response.write(' '), 10)
    request.once('close', () => clearInterval(drip))
  })
  const asked = { url, protocol: 'oip', model: 'm', headers: [], isHttp2: false, tls: undefined } as const
  await expect(describeInputs({ ...asked, timeoutMs: 100 })).rejects.toThrow(UnreachableError)
})

/** Writes JSON without an end, until the caller leaves. */
const endless: Answer = (request, response) => {
  const piece = Buffer.alloc(1 << 20, ' ')
  const write = () => {
    while (response.write(piece));
  }
  request.resume()
  response.on('drain', write)
  write()
}

it('an answer without end is left: by the question before the test, and as a fault by the test', async () => {
  const { url } = await serve(endless)
  const asked = { url, protocol: 'openai', headers: [], isHttp2: false, tls: undefined } as const
  expect(await firstModel(asked)).toBeUndefined()
  const generation = { endpoint: 'chat', maxTokens: 4, temperature: 0, words: 4 } as const
  const total = await counted(
    url,
    { connections: 1, dialect: { protocol: 'openai', generation } },
    ({ numbers }) => numbers.calls > 0,
  )
  expect(total.faults['other']).toBeGreaterThan(0)
  expect(total.statuses).toEqual({})
})

it('compares two servers in turn, round by round', async () => {
  const turns: string[] = []
  const calls: Record<string, number> = { first: 0, second: 0 }
  const serving = (name: string) =>
    serve((request, response) => {
      request.resume()
      if (turns.at(-1) !== name) turns.push(name)
      calls[name] = (calls[name] ?? 0) + 1
      response.end('{}')
    })
  const [first, second] = [await serving('first'), await serving('second')]
  const plan = { kind: 'closed', durationMs: 450 } as const
  const test = load(first.url, { urls: [first.url, second.url], rounds: 3, plan })
  const { sides, rounds } = await test.run(QUIET)
  // Who is first changes, so that two slices of one server follow each other: never are both asked at a time.
  expect(turns.length).toBeLessThanOrEqual(4)
  expect(rounds.map((round) => round.length)).toEqual([2, 2, 2])
  expect(sides.map(({ total }) => total.numbers.calls)).toEqual([calls['first'], calls['second']])
  for (const [side, { total }] of sides.entries())
    expect(total.numbers.calls).toBe(
      rounds.reduce((sum, round) => sum + (round[side]?.total.numbers.calls ?? 0), 0),
    )
})

it('asks by autocannon for a second opinion', async () => {
  let calls = 0
  const { url } = await serve((request, response) => {
    request.resume()
    calls++
    response.setHeader('cache-status', 'infergate; hit')
    response.end('{}')
  })
  const total = await counted(url, { driver: 'autocannon' })
  expect(total.statuses).toEqual({ '200': total.numbers.calls })
  expect(total.numbers.calls).toBeGreaterThan(0)
  expect(calls - total.numbers.calls).toBeLessThanOrEqual(4)
  expect(total.numbers.sent).toBe(total.numbers.calls + total.numbers.unfinished)
  expect(total.cache['hit']).toBe(total.numbers.calls)
})
