/** TorchServe behind the gateway, on real sockets: what is kept, what is passed on, and what its answers mean. */
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { protocolsOf } from '../../src/app/parts.ts'
import type { Route } from '../../src/data/route/routes.ts'
import { silentObserver } from '../support/observer.ts'
import { CACHE } from '../support/pipeline.ts'
import { type RunningPlane, startPlane } from '../support/plane.ts'
import { startTorchServe, type TorchScript, type TorchServer } from '../support/torchserve.ts'

/** Says what it was asked and how often anybody was asked anything, so that no two answers are alike. */
const echo: TorchScript = ({ path, body }, answer) =>
  answer.model(JSON.stringify({ path, bytes: body.length, serial: ++serial }, null, 2))

let serial = 0
let servers: [TorchServer, TorchServer]
let plane: RunningPlane

beforeEach(async () => {
  serial = 0
  servers = [await startTorchServe(echo), await startTorchServe(echo)]
  plane = await start()
})
afterEach(async () => {
  await plane.close()
  await Promise.all(servers.map((server) => server.close()))
})

const route = (changes: Partial<Route> = {}): Route => ({
  name: 'torch',
  match: {},
  protocols: protocolsOf('torchserve'),
  pool: 'torch',
  timeout: 10_000,
  pure: true,
  cache: { ...CACHE, vary: ['x-tenant'] },
  ...changes,
})

async function start(changes: Partial<Route> = {}, backends = [servers[0].url]): Promise<RunningPlane> {
  const started = await startPlane({
    routes: [route(changes)],
    pools: { torch: backends },
    observer: silentObserver,
  })
  for (const model of ['m', '']) started.deployments.learn({ pool: 'torch', model, evidence: '1' })
  return started
}

async function restart(changes: Partial<Route>, backends?: string[]): Promise<void> {
  await plane.close()
  plane = await start(changes, backends)
}

const JSON_TYPE = { 'content-type': 'application/json' }

async function ask(path: string, init: RequestInit = {}) {
  const { body = '{"instances": [[1, 2]]}', headers = JSON_TYPE, ...rest } = init
  const hasBody = init.method !== 'GET'
  const answer = await fetch(`http://127.0.0.1:${plane.port}${path}`, {
    method: 'POST',
    headers: body instanceof FormData ? {} : headers,
    ...(hasBody ? { body } : {}),
    ...rest,
  })
  return { status: answer.status, headers: answer.headers, said: await answer.text(), cache: cacheOf(answer) }
}

/** `hit`, `fwd=miss` and the like; of what goes past the cache, why. */
function cacheOf({ headers }: Response): string | undefined {
  const status = headers.get('cache-status') ?? ''
  return /fwd=bypass;.*detail="?([^;"]+)/.exec(status)?.[1] ?? /hit|fwd=\w+/.exec(status)?.[0]
}

/** All that the server says to these bytes before it ends the connection. */
async function exchanged(port: number, path: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(`POST ${path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx`)
  return text(socket)
}

it('stands behind a server that says what TorchServe says', async () => {
  servers[0].script = (_asked, answer) => answer.model('{}')
  const standing =
    'x-request-id: 00000000-0000-4000-8000-000000000001\r\nPragma: no-cache\r\nCache-Control: no-cache; no-store, must-revalidate, private\r\nExpires: Thu, 01 Jan 1970 00:00:00 UTC\r\n'
  expect(await exchanged(servers[0].port, '/predictions/m')).toBe(
    `HTTP/1.1 200 \r\n${standing}content-length: 2\r\nconnection: keep-alive\r\n\r\n{}`,
  )
})

describe('a prediction', () => {
  it.each([
    ['/predictions/m', {}],
    ['/predictions/m/1.0', {}],
    ['/predictions/m?top=3', {}],
    [
      '/predictions/m',
      { body: new Uint8Array([0x89, 0x50, 0, 255]), headers: { 'content-type': 'image/png' } },
    ],
    ['/predictions/m', { body: 'a=1&b=2', headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
    ['/predictions/m', { body: '', headers: {} }],
  ])('%s %j is kept in spite of the standing no-store', async (path, init) => {
    const first = await ask(path, init)
    const again = await ask(path, init)
    expect([first.cache, again.cache]).toEqual(['fwd=miss', 'hit'])
    expect(again.said).toBe(first.said)
    expect(again.headers.get('content-type')).toBe(first.headers.get('content-type'))
    expect(servers[0].asked).toHaveLength(1)
  })

  it('is the same whatever the boundary of its form, and goes to the server with its own', async () => {
    const form = (data: string) => {
      const made = new FormData()
      made.append('data', new Blob([data], { type: 'image/png' }), 'a.png')
      return made
    }
    const [first, again, other] = [
      await ask('/predictions/m', { body: form('x') }),
      await ask('/predictions/m', { body: form('x') }),
      await ask('/predictions/m', { body: form('y') }),
    ]
    expect([first.cache, again.cache, other.cache]).toEqual(['fwd=miss', 'hit', 'fwd=miss'])
    const boundaries = servers[0].asked.map(
      ({ headers }) => /boundary=(.*)/.exec(String(headers['content-type']))?.[1],
    )
    expect(new Set(boundaries).size).toBe(2)
    for (const [i, { body }] of servers[0].asked.entries())
      expect(body.toString().startsWith(`--${boundaries[i]}`)).toBe(true)
  })

  it('with other fields of vary, another version or another query is another one', async () => {
    const all = [
      await ask('/predictions/m'),
      await ask('/predictions/m', { headers: { ...JSON_TYPE, 'x-tenant': 'a' } }),
      await ask('/predictions/m/2.0'),
      await ask('/predictions/m?a=1'),
    ]
    expect(all.map(({ cache }) => cache)).toEqual(Array(4).fill('fwd=miss'))
    expect((await ask('/predictions/m', { headers: { ...JSON_TYPE, 'x-other': 'a' } })).cache).toBe('hit')
  })

  it.each(['no-store', 'private', 'max-age=0', 'no-cache; no-store, must-revalidate, private, max-age=9'])(
    'whose model says %s itself is not kept',
    async (said) => {
      servers[0].script = (_asked, answer) => answer.model('{}', { 'cache-control': said })
      await ask('/predictions/m')
      expect((await ask('/predictions/m')).cache).not.toBe('hit')
    },
  )

  it('is not kept where nobody has written vary, and is where it is written as none', async () => {
    const { vary: _, ...unsaid } = CACHE
    await restart({ cache: unsaid })
    const [, again] = [await ask('/predictions/m'), await ask('/predictions/m')]
    expect(again.cache).toBe('vary not written')
    await restart({ cache: { ...unsaid, vary: [] } })
    const [, once] = [await ask('/predictions/m'), await ask('/predictions/m')]
    expect(once.cache).toBe('hit')
  })

  it.each(['ts_request_sequence_id', 'ts_request_sequence_start', 'ts_request_sequence_end'])(
    'with %s belongs to a sequence',
    async (name) => {
      const headers = { ...JSON_TYPE, [name]: '7' }
      expect((await ask('/predictions/m', { headers })).cache).toBe('sequence')
      expect((await ask('/predictions/m', { headers })).cache).toBe('sequence')
    },
  )

  it('that is an explanation is kept where the route says so', async () => {
    expect([await ask('/explanations/m'), await ask('/explanations/m')].map(({ cache }) => cache)).toEqual(
      Array(2).fill('explanation'),
    )
    await restart({ explain: true })
    expect([await ask('/explanations/m'), await ask('/explanations/m')].map(({ cache }) => cache)).toEqual([
      'fwd=miss',
      'hit',
    ])
    expect((await ask('/predictions/m')).cache).toBe('fwd=miss')
  })
})

describe('a stream', () => {
  /** What came of one, with `next` called at its first piece. */
  function stream(next: () => void): Promise<{ text: string; isCut: boolean }> {
    return new Promise((resolve, reject) => {
      const sent = request({ port: plane.port, host: '127.0.0.1', path: '/predictions/m', method: 'POST' })
      sent.on('error', reject).on('response', (response) => {
        let said = ''
        response.setEncoding('utf8').on('data', (piece: string) => {
          if (said === '') next()
          said += piece
        })
        // What is cut off is an error as well as an end.
        response.on('error', () => {}).on('close', () => resolve({ text: said, isCut: !response.complete }))
      })
      sent.end('x')
    })
  }

  it('is passed on as it comes, and not kept', async () => {
    let rest = () => {}
    servers[0].script = (_asked, answer) => {
      answer.piece('one\n')
      rest = () => answer.end('two\n')
    }
    // The second piece is made only when the first has come.
    for (const _ of [1, 2]) expect(await stream(() => rest())).toEqual({ text: 'one\ntwo\n', isCut: false })
    expect(servers[0].asked).toHaveLength(2)
  })

  it('that fails is cut off here as it was there', async () => {
    let cut = () => {}
    servers[0].script = (_asked, answer) => {
      answer.piece('one\n')
      cut = () => answer.cut()
    }
    expect(await stream(() => cut())).toEqual({ text: 'one\n', isCut: true })
  })
})

describe('what TorchServe refuses', () => {
  it.each([
    [404, 'Not Found', 'ModelNotFoundException', 'Model not found: m'],
    [503, 'Service Unavailable', 'InternalServerException', 'Prediction failed'],
    [507, 'Insufficient Storage', 'InternalServerException', 'out of memory'],
  ])('with %i is told as it is, and not kept', async (status, reason, type, message) => {
    servers[0].script = (_asked, answer) => answer.error(status, reason, type, message)
    for (const _ of [1, 2]) {
      const { status: told, said } = await ask('/predictions/m')
      expect(told).toBe(status)
      expect(said).toBe(`${JSON.stringify({ code: status, type, message }, null, 2)}\n`)
    }
    servers[0].script = echo
    expect((await ask('/predictions/m')).status).toBe(200)
  })

  it('with a full job queue another backend is asked, once', async () => {
    const third = await startTorchServe(echo)
    const message =
      'Model "m" has no worker to serve inference request. Please use scale workers API to add workers. If this is a sequence inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize'
    const full: TorchScript = (_asked, answer) =>
      answer.error(503, 'Service Unavailable', 'ServiceUnavailableException', message)
    const all = [...servers, third]
    for (const server of all) server.script = full
    await restart(
      {},
      all.map(({ url }) => url),
    )
    expect((await ask('/predictions/m')).status).toBe(503)
    expect(all.flatMap(({ asked }) => asked)).toHaveLength(2)
    await third.close()
  })
})

describe('what is no prediction', () => {
  it.each([
    ['GET', '/ping'],
    ['GET', '/models'],
    ['GET', '/predictions/m?x=1'],
    ['POST', '/models/m/invoke'],
    ['POST', '/predictions/m/1.0/rest'],
    ['POST', '/wfpredict/w'],
  ])('%s %s is passed on each time', async (method, path) => {
    const [first, again] = [await ask(path, { method }), await ask(path, { method })]
    expect([first.cache, again.cache]).toEqual(Array(2).fill('not a prediction'))
    expect(first.said).not.toBe(again.said)
    expect(servers[0].asked.map((one) => `${one.method} ${one.path}`)).toEqual(
      Array(2).fill(`${method} ${path}`),
    )
  })

  it.each([
    ['POST', '/models?url=m.mar', 200, true],
    ['PUT', '/models/m/2.0/set-default', 200, true],
    ['DELETE', '/models/m/2.0', 200, true],
    ['PUT', '/models/m', 404, false],
    ['POST', '/models/m/invoke', 200, false],
    ['GET', '/models/m', 200, false],
  ])('%s %s with %i deploys: %s', async (method, path, status, deploys) => {
    servers[0].script = (asked, answer) => {
      if (!asked.path.startsWith('/models')) return echo(asked, answer)
      return status === 200
        ? answer.management({ status: 'done' })
        : answer.error(status, 'Not Found', 'ModelNotFoundException', 'Model not found: m')
    }
    await ask('/predictions/m')
    expect((await ask('/predictions/m')).cache).toBe('hit')
    expect((await ask(path, { method })).status).toBe(status)
    expect((await ask('/predictions/m')).cache).toBe(deploys ? 'fwd=miss' : 'hit')
  })
})

describe('a route of auto', () => {
  beforeEach(() => restart({ protocols: protocolsOf('auto') }))

  it('knows TorchServe by its predictions, and leaves V1 and V2 to their own dialects', async () => {
    expect([await ask('/predictions/m'), await ask('/predictions/m')].map(({ cache }) => cache)).toEqual([
      'fwd=miss',
      'hit',
    ])
    await expect(plane.explain('/predictions/m', '{}')).resolves.toMatchObject({ protocol: 'torchserve' })
    await expect(plane.explain('/v1/models/m:predict', '{}')).resolves.toMatchObject({
      protocol: 'tfserving',
    })
    await expect(plane.explain('/v2/models/m/infer', '{}')).resolves.toMatchObject({ protocol: 'oip' })
    await expect(plane.explain('/ping', '')).resolves.toMatchObject({ protocol: 'opaque' })
  })

  it('hears of deployments as well', async () => {
    servers[0].script = (asked, answer) =>
      asked.path.startsWith('/models') ? answer.management({ status: 'done' }) : echo(asked, answer)
    await ask('/predictions/m')
    // SageMaker's prediction, and none.
    await ask('/models/m/invoke')
    expect((await ask('/predictions/m')).cache).toBe('hit')
    await ask('/models/m/2.0/set-default', { method: 'PUT' })
    expect((await ask('/predictions/m')).cache).toBe('fwd=miss')
  })
})

it('a fault of the gateway is told as TorchServe tells its own', async () => {
  await servers[0].close()
  const { status, said } = await ask('/predictions/m')
  expect(status).toBe(502)
  expect(JSON.parse(said)).toEqual({
    code: 502,
    type: 'InternalServerException',
    message: expect.any(String) as string,
  })
})
