/**
 * Every answer says by which id the log, the backend and the caller know the call, over each door, from the cache or not; and by
 * that id the access log, the admin API and its events say what became of it.
 */
import http2 from 'node:http2'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { RawClient } from '../support/door.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { readOpenMetrics } from '../support/open-metrics.ts'
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts'
import { PREDICT } from '../support/settings.ts'

const OURS = /^[0-9a-f]{16}-[0-9a-v]{6,}$/
const THEIRS = 'their-id.1'

let backend: ScriptedBackend
let gateway: RunningGateway
let collector: OtlpReceiver
let serial = 0
beforeAll(async () => {
  collector = await startOtlpReceiver()
  backend = await startBackend((_, response) => {
    response.setHeader('content-type', 'application/json').setHeader('x-request-id', 'of the backend')
    response.end('{"predictions":[1]}')
  })
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      log: { access: { sample: '100%' } },
      tracing: { otlp: collector.url, sample: '100%' },
      pools: {
        main: { backends: [{ url: backend.url }], health: { path: 'off' } },
        gone: { backends: [{ url: 'http://127.0.0.1:9' }], health: { path: 'off' } },
      },
      routes: [
        { name: 'gone', match: { path: '/gone*' }, pool: 'gone' },
        { name: 'kept', match: { path: '/kept*' }, pool: 'main', protocol: 'opaque', cache: { ttl: '1m' } },
        { name: 'timed', match: { path: '/v1/models/timed:*' }, pool: 'main', cache: {}, serverTiming: true },
        { name: 'main', pool: 'main', cache: {} },
      ],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  await backend?.close()
  await collector?.close()
})

/** A body that was not sent before. */
const fresh = () => ({ instances: [++serial] })

async function overHttp1(fields: readonly string[], body: unknown, path = PREDICT) {
  const client = await RawClient.connect(gateway.port)
  const payload = JSON.stringify(body)
  const head = [`POST ${path} HTTP/1.1`, 'Host: h', 'Content-Type: application/json', ...fields]
  client.send([...head, `Content-Length: ${payload.length}`, '', payload].join('\r\n'))
  const answer = await eventually(() => client.answers.at(-1) ?? Promise.reject(new Error(client.received)))
  client.destroy()
  return {
    status: answer.status,
    id: answer.headers.get('x-request-id'),
    cache: answer.headers.get('cache-status'),
  }
}

async function overHttp2(fields: Record<string, string>, body: unknown, path = PREDICT) {
  const session = http2.connect(gateway.url)
  try {
    const request = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/json',
      ...fields,
    })
    const answer = new Promise<http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader>(
      (resolve, reject) => {
        request.once('response', resolve).once('error', reject)
      },
    )
    request.end(typeof body === 'string' ? body : JSON.stringify(body))
    const headers = await answer
    await text(request)
    return { status: headers[':status'], id: headers['x-request-id'], cache: headers['cache-status'] }
  } finally {
    session.close()
  }
}

describe.each([
  [
    'the fast door',
    (id: string, body: unknown, path?: string) => overHttp1(id ? [`X-Request-ID: ${id}`] : [], body, path),
  ],
  [
    'the door of node:http',
    (id: string, body: unknown, path?: string) =>
      overHttp1(['TE: trailers', 'Connection: TE', ...(id ? [`x-request-id: ${id}`] : [])], body, path),
  ],
  [
    'HTTP/2',
    (id: string, body: unknown, path?: string) => overHttp2(id ? { 'x-request-id': id } : {}, body, path),
  ],
])('over %s', (_, ask) => {
  it('a miss and its hits have the id of their own caller, and the backend that of the miss', async () => {
    const body = fresh()
    for (const [id, cache] of [
      [`${THEIRS}-a`, 'fwd=miss'],
      [`${THEIRS}-b`, 'hit'],
      [`${THEIRS}-c`, 'hit'],
      [`${THEIRS}-d`, 'hit'],
    ] as const) {
      expect(await ask(id, body)).toEqual({ status: 200, id, cache: expect.stringContaining(cache) })
    }
    expect(backend.asked.at(-1)?.headers['x-request-id']).toBe(`${THEIRS}-a`)
  })

  it.each([
    ['none', ''],
    ['one that is not sound', 'not sound'],
    ['one that is too long', 'x'.repeat(129)],
  ])('who sends %s is given one of ours, another with each answer', async (_name, id) => {
    const body = fresh()
    const answers = [await ask(id, body), await ask(id, body), await ask(id, body), await ask(id, body)]
    for (const answer of answers)
      expect(answer).toMatchObject({ status: 200, id: expect.stringMatching(OURS) })
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(answers.length)
    expect(backend.asked.at(-1)?.headers['x-request-id']).toBe(answers[0]?.id)
  })

  it('errors have it, and the log has it of a failed backend', async () => {
    const none = await ask(THEIRS, fresh(), '/v3/none?x')
    expect(none).toMatchObject({ id: THEIRS })
    // Of one kind of failure one line in ten seconds is written.
    const id = (await ask('', fresh(), '/gone/x')).id
    expect(id).toMatch(OURS)
    await eventually(() =>
      expect(gateway.logs.find(({ event }) => event === 'backend.failed')).toMatchObject({
        pool: 'gone',
        requestId: expect.stringMatching(OURS),
      }),
    )
  })

  it('an opaque answer that is kept is given with the id of who asks', async () => {
    const path = `/kept/${++serial}`
    const ids = ['1', '2', '3'].map((n) => `${THEIRS}-${n}`)
    for (const id of ids) expect(await ask(id, fresh(), path)).toMatchObject({ id })
  })
})

it('a call over gRPC has it among its first metadata', async () => {
  const fields = { 'content-type': 'application/grpc', te: 'trailers', 'x-request-id': THEIRS }
  const answer = await overHttp2(fields, '\0\0\0\0\0', '/inference.GRPCInferenceService/ServerLive')
  expect(answer).toMatchObject({ status: 200, id: THEIRS })
})

it('what is no request is refused with one of ours', async () => {
  for (const bytes of ['GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n']) {
    const client = await RawClient.connect(gateway.port)
    client.send(bytes)
    const answer = await eventually(() => client.answers[0] ?? Promise.reject(new Error(client.received)))
    expect([answer.status, answer.headers.get('x-request-id')]).toEqual([400, expect.stringMatching(OURS)])
    client.destroy()
  }
})

/** The line that the access log has of this call. */
const lineOf = (id: string) =>
  eventually(
    () =>
      gateway.logs.find(({ event, requestId }) => event === 'call' && requestId === id) ??
      Promise.reject(new Error(id)),
  )

describe('the access log', () => {
  it('has a line of a miss, with its stages and attempts, and of the hits behind it', async () => {
    const body = fresh()
    const path = `${PREDICT}?key=secret`
    for (const id of ['log-1', 'log-2', 'log-3'])
      await overHttp1([`X-Request-Id: ${id}`, 'Authorization: hush'], body, path)
    const common = {
      peer: '127.0.0.1',
      route: 'main',
      protocol: 'tfserving',
      method: 'POST',
      path: PREDICT,
      status: 200,
      rows: 1,
    }
    const bytes = { in: JSON.stringify(body).length, out: '{"predictions":[1]}'.length }
    const miss = await lineOf('log-1')
    const times = {
      ms: expect.any(Number),
      connect: expect.any(Number),
      firstByte: expect.any(Number),
      transfer: expect.any(Number),
    }
    expect(miss).toMatchObject({
      ...common,
      outcome: 'miss',
      bytes,
      stages: { receive: expect.any(Number), connect: expect.any(Number), firstByte: expect.any(Number) },
      attempts: [{ backend: expect.any(String), ending: 'ok', at: expect.any(Number), ...times }],
    })
    for (const id of ['log-2', 'log-3'])
      expect(await lineOf(id)).toMatchObject({
        ...common,
        outcome: 'hit',
        tier: 'memory',
        bytes,
        attempts: [],
      })
    expect(JSON.stringify(gateway.logs)).not.toMatch(/hush|secret/)
  })

  it('has lines of what failed, what found no route, and what came over HTTP/2', async () => {
    await overHttp1(['X-Request-Id: log-gone'], fresh(), '/gone/x')
    const attempt = { ending: 'error', backend: expect.any(String) }
    expect(await lineOf('log-gone')).toMatchObject({
      status: 502,
      fault: 'backendRefused',
      attempts: expect.arrayContaining([expect.objectContaining(attempt)]),
    })
    const body = fresh()
    for (const id of ['h2-1', 'h2-2', 'h2-3']) await overHttp2({ 'x-request-id': id }, body)
    expect(await lineOf('h2-1')).toMatchObject({ outcome: 'miss', status: 200 })
    expect(await lineOf('h2-3')).toMatchObject({
      outcome: 'hit',
      status: 200,
      bytes: { in: JSON.stringify(body).length },
    })
  })
})

describe('the admin API', () => {
  it('finds a call by its id, its status and its backend', async () => {
    await overHttp1(['X-Request-Id: api-1'], fresh(), '/gone/x')
    await lineOf('api-1')
    const found = async (query: string) =>
      (await gateway.ask(`/api/v1/calls?${query}`)).json as { calls: { requestId: string }[] }
    const one = await found('id=api-1')
    expect(one.calls).toMatchObject([
      { requestId: 'api-1', status: 502, route: 'gone', attempts: expect.any(Array) },
    ])
    expect(
      (await found('status=5xx&route=gone&order=slowest')).calls.map(({ requestId }) => requestId),
    ).toContain('api-1')
    expect((await found('status=200&route=gone')).calls).toEqual([])
    expect((await found('limit=1')).calls).toHaveLength(1)
  })

  it.each(['states=5xx', 'status=abc', 'slower=x', 'order=oldest', 'limit=0', 'limit=2000'])(
    'refuses ?%s',
    async (query) => {
      const { status, text: said } = await gateway.ask(`/api/v1/calls?${query}`)
      expect([status, said]).toEqual([400, expect.stringContaining(query.split('=')[0]?.slice(0, 5) ?? '')])
    },
  )

  it('tells of calls as they happen', async () => {
    const cut = new AbortController()
    const events = await fetch(`${gateway.admin}/api/v1/events`, { signal: cut.signal })
    let told = ''
    const reading = (async () => {
      for await (const piece of events.body as unknown as AsyncIterable<Uint8Array>)
        told += Buffer.from(piece).toString()
    })().catch(() => {})
    await eventually(async () => {
      await overHttp1(['X-Request-Id: event-1'], fresh(), '/gone/x')
      expect(told).toMatch(/event: call\n(?:id: \d+\n)?data: .*"requestId":"event-1"/)
    })
    cut.abort()
    await reading
  })
})

it('Server-Timing has the stages where the route says so, on hits too, and is kept with no answer', async () => {
  const body = fresh()
  const timed = async () => {
    const client = await RawClient.connect(gateway.port)
    const payload = JSON.stringify(body)
    const head = ['POST /v1/models/timed:predict HTTP/1.1', 'Host: h', 'Content-Type: application/json']
    client.send([...head, `Content-Length: ${payload.length}`, '', payload].join('\r\n'))
    const { headers } = await eventually(
      () => client.answers.at(-1) ?? Promise.reject(new Error(client.received)),
    )
    client.destroy()
    return { timing: headers.get('server-timing'), cache: headers.get('cache-status') }
  }
  const miss = await timed()
  expect(miss).toMatchObject({ cache: expect.stringContaining('fwd=miss') })
  expect(miss.timing).toMatch(
    /^receive;dur=[\d.]+, (?:queue;dur=[\d.]+, )?connect;dur=[\d.]+, firstByte;dur=[\d.]+, (?:transfer;dur=[\d.]+, )?total;dur=[\d.]+$/,
  )
  for (let i = 0; i < 3; i++) {
    const hit = await timed()
    expect(hit.cache).toContain('hit')
    expect(hit.timing).toMatch(/^(?:receive;dur=[\d.]+, )?total;dur=[\d.]+$/)
  }
})

describe('traces', () => {
  const PARENT = '00f067aa0ba902b7'
  /** A trace that was not seen before. */
  const traceOf = (n: number) => `4bf92f3577b34da6a3ce929d0e0e${n}`
  const spansOf = (traceId: string) => collector.spans.filter((span) => span.traceId === traceId)
  const asked = (traceId: string, flags: string, body: unknown, path?: string) =>
    overHttp1(
      [`traceparent: 00-${traceId}-${PARENT}-${flags}`, 'tracestate: a=b', `X-Request-Id: ${traceId}`],
      body,
      path,
    )

  it('a miss is one span with one for its attempt, which the backend hears of, and a hit is one', async () => {
    const [miss, hit, again] = [traceOf(4701), traceOf(4702), traceOf(4703)]
    const body = fresh()
    for (const id of [miss, hit, again]) await asked(id, '01', body)
    const { traceparent, tracestate } = backend.asked.at(-1)?.headers ?? {}
    await eventually(() => {
      const kinds = (id: string) =>
        spansOf(id)
          .flatMap(({ kind }) => (kind === 1 ? [] : kind))
          .toSorted((a, b) => a - b)
      expect([kinds(miss), kinds(hit), kinds(again)]).toEqual([[2, 3], [2], [2]])
    })
    const call = spansOf(miss).find(({ kind }) => kind === 2)
    const attempt = spansOf(miss).find(({ kind }) => kind === 3)
    expect(call).toMatchObject({ parentId: PARENT, name: 'POST main', status: 0 })
    expect(call?.attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'url.path': PREDICT,
      'infergate.request_id': miss,
      'infergate.route': 'main',
      'infergate.protocol': 'tfserving',
      'infergate.cache.outcome': 'miss',
      'infergate.rows': 1,
    })
    expect(attempt).toMatchObject({ parentId: call?.spanId, name: 'attempt' })
    expect(attempt?.attributes).toMatchObject({ 'infergate.ending': 'ok' })
    expect([traceparent, tracestate]).toEqual([`00-${miss}-${attempt?.spanId}-01`, 'a=b'])
    expect(
      (call?.start as bigint) <= (attempt?.start as bigint) &&
        (attempt?.end as bigint) <= (call?.end as bigint),
    ).toBe(true)
    expect(spansOf(hit)).toContainEqual(expect.objectContaining({ parentId: PARENT, kind: 2 }))
    expect(spansOf(again)[0]?.attributes).toMatchObject({
      'infergate.cache.outcome': 'hit',
      'infergate.cache.tier': 'memory',
    })
    expect(collector.resource).toMatchObject({ 'service.name': 'infergate' })
    expect(await lineOf(again)).toMatchObject({ traceId: again })
  })

  it('a caller who has no trace recorded has none here, and its field goes on as it is', async () => {
    const [unsampled, failed] = [traceOf(4704), traceOf(4705)]
    await asked(unsampled, '00', fresh())
    expect(backend.asked.at(-1)?.headers['traceparent']).toBe(`00-${unsampled}-${PARENT}-00`)
    await asked(failed, '01', fresh(), '/gone/x')
    await eventually(() =>
      expect(spansOf(failed).find(({ kind }) => kind === 2)).toMatchObject({ status: 2 }),
    )
    expect(spansOf(failed).filter(({ kind, status }) => kind === 3 && status === 2).length).toBeGreaterThan(0)
    expect(spansOf(unsampled)).toEqual([])
  })

  it('a `tracestate` without a trace of its caller ends here', async () => {
    await overHttp1(['tracestate: a=b'], fresh())
    const { traceparent, tracestate } = backend.asked.at(-1)?.headers ?? {}
    expect([typeof traceparent, tracestate]).toEqual(['string', undefined])
  })

  it('a collector that takes nothing makes nobody wait, and what is lost is counted', async () => {
    const lost = () => gateway.metric('infergate_traced_calls_total', { outcome: 'lost' })
    const before = await lost()
    collector.status = 400
    expect(await overHttp1([], fresh())).toMatchObject({ status: 200 })
    await eventually(async () => expect(await lost()).toBeGreaterThan(before))
    collector.status = 200
    expect(await gateway.metric('infergate_traced_calls_total', { outcome: 'exported' })).toBeGreaterThan(0)
  })
})

it('metrics have traced calls as exemplars where a scraper asks for OpenMetrics, and problems have the trace', async () => {
  const traceId = `${'c'.repeat(31)}1`
  const traceparent = `00-${traceId}-${'d'.repeat(16)}-01`
  await gateway.post(PREDICT, fresh(), { traceparent })
  await eventually(async () => {
    const { text, headers } = await gateway.ask('/metrics', {
      headers: { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' },
    })
    expect(headers['content-type']).toMatch(/^application\/openmetrics-text/)
    const { samples } = readOpenMetrics(text).get('infergate_call_seconds') ?? { samples: [] }
    expect(samples.map(({ exemplar }) => exemplar?.labels['trace_id'])).toContain(traceId)
  })
  const failed = await gateway.get('/gone/x', { traceparent })
  expect(failed.json).toMatchObject({ status: failed.status, traceId })
  expect((await gateway.ask('/api/v1/calls')).json).toMatchObject({ accessLog: true })
})

it('the files of the dashboard are not sent again to who has them, however that is said', async () => {
  const { headers } = await gateway.ask('/')
  const etag = String(headers['etag'])
  const status = async (tag: string) => (await gateway.ask('/', { headers: { 'if-none-match': tag } })).status
  expect(await Promise.all([etag, `W/${etag}`, `"a", W/"b",${etag}`, '*'].map(status))).toEqual([
    304, 304, 304, 304,
  ])
  expect(await Promise.all(['"a"', 'W/"b"', etag.slice(1, -1)].map(status))).toEqual([200, 200, 200])
})
