/** Opaque routes that cache, as an HTTP cache before a scripted origin, on real sockets and a real Redis. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { startRedis, type TestServer } from '../support/servers.ts'

type Script = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>

let script: Script
let asked: IncomingMessage[] = []
const origin = createServer((incoming, response) => {
  if (incoming.url === '/well') return void response.end('well')
  asked.push(incoming)
  void script(incoming, response)
})

let redis: TestServer
let gateways: readonly RunningGateway[]
let port: number
/** A path that no other test asks for. */
let path: string
let serial = 0

beforeAll(async () => {
  redis = await startRedis()
  origin.listen(0, '127.0.0.1')
  await once(origin, 'listening')
  const url = `http://127.0.0.1:${(origin.address() as AddressInfo).port}`
  const yaml = {
    cache: {
      tiers: [
        { name: 'memory', type: 'memory' as const },
        {
          name: 'redis',
          type: 'redis' as const,
          url: `redis://127.0.0.1:${redis.port}`,
          readTimeout: '250ms',
        },
      ],
    },
    pools: { origin: { backends: [{ url }], health: { path: '/well' } } },
    routes: [
      {
        name: 'own',
        pool: 'origin',
        protocol: 'opaque' as const,
        match: { path: '/own/*' },
        cache: { ttl: '1h', jitter: 0 },
      },
      {
        name: 'all',
        pool: 'origin',
        protocol: 'opaque' as const,
        cache: { ttl: '1h', scope: 'shared' as const, jitter: 0 },
      },
    ],
  }
  // The first has two workers, whatever the machine.
  const other = { ...yaml, server: { workers: 1 } }
  gateways = [
    await startGateway({ yaml: { ...yaml, server: { workers: 2 } } }),
    await startGateway({ yaml: other }),
  ]
  await Promise.all(gateways.map((gateway) => gateway.up()))
  port = (gateways[0] as RunningGateway).port
})

afterAll(async () => {
  await Promise.all(gateways?.map((gateway) => gateway.stop()) ?? [])
  origin.closeAllConnections()
  origin.close()
  await redis?.stop()
})

beforeEach(() => {
  path = `/files/${++serial}`
  asked = []
  script = (incoming, response) => void response.end(`${incoming.method} ${asked.length}`)
})

const get = (
  headers: Record<string, string> = {},
  more: { method?: string; body?: string; at?: number } = {},
) => call(more.at ?? port, path, { headers, ...more })
const told = async (...from: Parameters<typeof get>) => {
  const { text, headers } = await get(...from)
  return [text, /hit|miss|bypass|stale/.exec(String(headers['cache-status']))?.[0]]
}

describe('what was asked for before', () => {
  it('is given with all of its fields but those of the way it came', async () => {
    script = (_, response) => {
      response.setHeader('X-Served-By', 'one').setHeader('ETag', '"a"').setHeader('X-Hop', '1')
      response.setHeader('Connection', 'X-Hop').setHeader('Set-Cookie2', 'x').end('body')
    }
    const first = await get()
    const second = await get()
    expect(second.headers['cache-status']).toContain('hit')
    expect(second.headers).toMatchObject({
      'x-served-by': 'one',
      etag: '"a"',
      date: first.headers.date,
      age: '0',
    })
    expect(second.headers).not.toHaveProperty('x-hop')
    expect(asked).toHaveLength(1)
  })

  it('answers HEAD with the length that GET would have', async () => {
    script = (_, response) => void response.setHeader('Content-Length', 6).end('abcdef')
    expect((await get({}, { method: 'HEAD' })).headers['content-length']).toBe('6')
    await get()
    const { headers, text } = await get({}, { method: 'HEAD' })
    expect([headers['content-length'], text, headers['cache-status']]).toEqual([
      '6',
      '',
      expect.stringContaining('hit'),
    ])
    expect(asked.map(({ method }) => method)).toEqual(['HEAD', 'GET'])
  })

  it('answers conditions and ranges of the caller', async () => {
    script = (_, response) => void response.setHeader('ETag', '"a"').end('0123456789')
    await get()
    expect((await get({ 'if-none-match': '"a"' })).status).toBe(304)
    const part = await get({ range: 'bytes=2-4' })
    expect([part.status, part.text, part.headers['content-range']]).toEqual([206, '234', 'bytes 2-4/10'])
    expect(asked).toHaveLength(1)
  })

  it('answers parts and conditions that come first, and none of that is told to others of the same head', async () => {
    const at = path
    // Each of another resource; the heads of the backend's answers are the same, byte for byte.
    const first = (headers: Record<string, string> = {}) => {
      path = `${at}/${asked.length}`
      return get(headers)
    }
    script = (_, response) => void response.setHeader('ETag', '"a"').setHeader('X-Head', at).end('0123456789')
    for (let i = 0; i < 3; i++) {
      const part = await first({ range: 'bytes=2-4' })
      expect([part.status, part.text, part.headers['content-range']]).toEqual([206, '234', 'bytes 2-4/10'])
      const had = await first({ 'if-none-match': '"a"' })
      expect([had.status, had.headers['content-range']]).toEqual([304, undefined])
      const whole = await first()
      expect([whole.status, whole.text, whole.headers['content-range']]).toEqual([
        200,
        '0123456789',
        undefined,
      ])
    }
  })

  it('is asked about when it is too old, and is brought up to date by a 304', async () => {
    script = (incoming, response) => {
      response.setHeader('ETag', '"a"').setHeader('Cache-Control', 'max-age=60, no-cache')
      response.setHeader('X-Turn', asked.length)
      response.statusCode = incoming.headers['if-none-match'] === '"a"' ? 304 : 200
      response.end(response.statusCode === 200 ? 'body' : undefined)
    }
    await get()
    const { headers, text, status } = await get()
    expect([status, text, headers['x-turn']]).toEqual([200, 'body', '2'])
    expect(headers['cache-status']).toContain('fwd=stale; fwd-status=304; stored')
    // Who has it is told so, after the backend was asked.
    expect((await get({ 'if-none-match': '"a"' })).status).toBe(304)
    expect(asked).toHaveLength(3)
  })

  it('is given to one caller alone where callers do not share, and to nobody by mistake where they do', async () => {
    const [ann, bob] = [{ authorization: 'ann' }, { authorization: 'bob' }]
    expect(await told(ann)).toEqual(['GET 1', 'miss'])
    expect(await told(ann)).toEqual(['GET 2', 'miss'])
    path = `/own/${serial}`
    expect([await told(ann), await told(ann), await told(bob)]).toEqual([
      ['GET 3', 'miss'],
      ['GET 3', 'hit'],
      ['GET 4', 'miss'],
    ])
  })
})

describe('Vary', () => {
  beforeEach(() => {
    script = (incoming, response) => {
      response
        .setHeader('Vary', 'Accept-Language')
        .end(`${incoming.headers['accept-language']} ${asked.length}`)
    }
  })
  const [de, en] = [{ 'accept-language': 'de' }, { 'accept-language': 'en' }]

  it('chooses the answer, also one that another gateway has fetched', async () => {
    const there = { at: gateways[1]?.port as number }
    expect([await told(de), await told(en), await told(de)]).toEqual([
      ['de 1', 'miss'],
      ['en 2', 'miss'],
      ['de 1', 'hit'],
    ])
    await eventually(async () => expect(await told(en, there)).toEqual(['en 2', 'hit']))
    await eventually(async () => expect(await told(de, there)).toEqual(['de 1', 'hit']))
    expect(await told({}, there)).toEqual([expect.stringContaining('undefined'), 'miss'])
  })

  it('parts those who ask at the same time', async () => {
    const plain = script
    script = async (incoming, response) => {
      await eventually(() => expect(asked.length).toBeGreaterThan(0))
      setTimeout(() => void plain(incoming, response), 50)
    }
    const texts = await Promise.all(Array.from({ length: 20 }, (_, i) => get(i % 2 ? de : en)))
    for (const [i, { text }] of texts.entries()) expect(text).toMatch(i % 2 ? /^de/ : /^en/)
    expect((await told(de))[1]).toBe('hit')
  })
})

it('of many who ask the same at once one reaches the backend', async () => {
  script = (_, response) => void setTimeout(() => response.end('late'), 100)
  const all = await Promise.all(Array.from({ length: 20 }, () => get()))
  expect(all.map(({ text }) => text)).toEqual(new Array(20).fill('late'))
  expect(asked).toHaveLength(1)
})

describe('a write', () => {
  it.each(['PUT', 'DELETE', 'POST', 'PATCH', 'M-SEARCH'])(
    'by %s makes what was kept wrong for everybody',
    async (method) => {
      path = `/own/${serial}-${method}`
      const [ann, bob] = [{ authorization: 'ann' }, { authorization: 'bob' }]
      await get(ann)
      await get(bob)
      await get(ann, { method, body: 'x' })
      expect([await told(ann), await told(bob)]).toEqual([
        ['GET 4', 'miss'],
        ['GET 5', 'miss'],
      ])
    },
  )

  it('that fails changes nothing, and one that names another place changes that', async () => {
    const here = path
    script = (incoming, response) => {
      if (incoming.method === 'GET') return void response.end(`GET ${asked.length}`)
      response.statusCode = incoming.url === here ? 500 : 201
      response.setHeader('Location', here).end()
    }
    await get()
    await get({}, { method: 'PUT', body: 'x' })
    expect(await told()).toEqual(['GET 1', 'hit'])
    await call(port, '/elsewhere', { method: 'PUT', body: 'x' })
    expect((await told())[1]).toBe('miss')
  })

  it('is not outrun by a read that began before it', async () => {
    let release = () => {}
    script = (incoming, response) => {
      if (incoming.method === 'GET' && asked.length === 1) release = () => void response.end('old')
      else response.end('new')
    }
    const slow = get()
    await eventually(() => expect(asked).toHaveLength(1))
    await get({}, { method: 'PUT', body: 'x' })
    release()
    await slow
    expect((await get()).text).toBe('new')
  })
})

describe('POST', () => {
  it('is answered by what the same bytes brought, with all fields', async () => {
    script = (incoming, response) =>
      void response.setHeader('X-Id', String(asked.length)).end(incoming.method)
    const send = (body: string) => get({}, { method: 'POST', body })
    const ids = [await send('a'), await send('b'), await send('a')].map(({ headers }) => headers['x-id'])
    expect(ids).toEqual(['1', '2', '1'])
  })
})

describe('an answer whose length nobody knows', () => {
  const pieces = async (type: string, method = 'POST') => {
    let release = () => {}
    script = (_, response) => {
      response.setHeader('Content-Type', type)
      response.write('one')
      release = () => void response.end('two')
    }
    const texts: string[] = []
    await new Promise<void>((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', path, method, agent: false }, (response) => {
        response.setEncoding('utf8')
        response.on('data', (text: string) => {
          texts.push(text)
          if (texts.length === 1) release()
        })
        response.on('end', resolve).on('error', reject)
      })
      sent.on('error', reject).end('{}')
    })
    return texts
  }

  it.each([
    'application/x-ndjson',
    'application/json-seq',
    'multipart/x-mixed-replace; boundary=f',
    'text/event-stream',
    'application/grpc-web+proto',
  ])('%s goes on as it comes, and is not kept', async (type) => {
    // Were it held back to its end, it would never end.
    expect(await pieces(type)).toEqual(['one', 'two'])
    expect(await pieces(type)).toEqual(['one', 'two'])
    expect(asked).toHaveLength(2)
  })

  it.each(['POST', 'GET'])('application/json by %s goes on as it comes, and is kept', async (method) => {
    path = `${path}-${method}`
    expect(await pieces('application/json', method)).toEqual(['one', 'two'])
    await eventually(async () => {
      expect(await told({}, { method, body: '{}' })).toEqual(['onetwo', 'hit'])
    })
    expect(asked).toHaveLength(1)
  })

  it('is not kept where the connection was cut before its end', async () => {
    script = (_, response) => {
      response.write('half')
      setImmediate(() => response.destroy())
    }
    await expect(get()).rejects.toThrow()
    script = (_, response) => void response.end('whole')
    expect(await told()).toEqual(['whole', 'miss'])
  })
})
