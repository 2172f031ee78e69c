/**
 * A dialect of a third party on real sockets: the model is named in the body and settles the route, answers end with a status
 * of their own behind the body, and their servers say `no-store` of everything.
 */
import { Agent, request } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Answered } from '../../src/core/observer.ts'
import { createRedisTier } from '../../src/data/cache/tiers/redis.ts'
import type { Route } from '../../src/data/route/routes.ts'
import type { Protocol } from '../../src/protocol/protocol.ts'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { silentObserver } from '../support/observer.ts'
import { CACHE } from '../support/pipeline.ts'
import { type PlaneOptions, type RunningPlane, startPlane } from '../support/plane.ts'
import { startRedis } from '../support/servers.ts'
import { doubling, SLIP_TYPE, sendSlip, slip } from '../support/slip.ts'

interface SlipAnswer {
  readonly text: string
  /** Of the head and behind the body. */
  readonly fields: Readonly<Record<string, unknown>>
  readonly trailers: Readonly<Record<string, unknown>>
}

let scans = 0
/** The same, and counts how often a body is looked into for its model. */
const counted: Protocol = {
  ...slip,
  model(body) {
    scans++
    return slip.model?.(body)
  },
}

const answered: Answered[] = []
const attempts: string[] = []
const retries: string[] = []
const observer = {
  ...silentObserver,
  answered: (one: Answered) => void answered.push({ ...one, outcome: { ...one.outcome } }),
  attempted: (_pool: string, _backend: string, ending: string) => void attempts.push(ending),
  retried: (_pool: string, reason: string) => void retries.push(reason),
}

const route = (name: string, changes: Partial<Route> = {}): Route => ({
  name,
  match: {},
  protocols: [counted],
  pool: name,
  timeout: 10_000,
  pure: true,
  cache: { ...CACHE, rows: 'never', maxEntryBytes: 16 << 20 },
  ...changes,
})

let backends: Record<'a' | 'b', ScriptedBackend>
let plane: RunningPlane | undefined
let agent: Agent
const closing: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  backends = { a: await startBackend(doubling), b: await startBackend(doubling) }
  agent = new Agent({ keepAlive: true, maxSockets: 1 })
  scans = answered.length = attempts.length = retries.length = 0
})
afterEach(async () => {
  agent.destroy()
  await plane?.close()
  plane = undefined
  await Promise.all([backends.a.close(), backends.b.close(), ...closing.splice(0).map((close) => close())])
})

/** Models `a…` go to pool a, all others to pool b. */
const BY_MODEL = [route('a', { match: { model: 'a*' } }), route('b')]

async function start(options: Partial<PlaneOptions> = {}): Promise<RunningPlane> {
  const pools = { a: [backends.a.url], b: [backends.b.url] }
  const started = await startPlane({ routes: BY_MODEL, pools, observer, ...options })
  plane = started
  deploy('1')
  return started
}

function deploy(evidence: string): void {
  for (const [pool, model] of [
    ['a', 'ant'],
    ['b', 'bee'],
    ['b', 'ant'],
  ] as const)
    plane?.deployments.learn({ pool, model, evidence, versions: [evidence] })
}

const ROUTES = '/slip'

/** One after the other over one connection, so that a head that comes again is known. */
function ask(body: string, headers: Record<string, string> = {}, target = ROUTES): Promise<SlipAnswer> {
  return new Promise((resolve, reject) => {
    const isChunked = headers['transfer-encoding'] !== undefined
    const length = isChunked ? {} : { 'content-length': String(Buffer.byteLength(body)) }
    const fields = { 'content-type': SLIP_TYPE, ...length, ...headers }
    const sent = request(
      { port: plane?.port, host: '127.0.0.1', path: target, method: 'POST', agent, headers: fields },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (piece: string) => (text += piece)).on('error', reject)
        response.on('end', () => {
          const { trailers } = response
          resolve({ text, trailers, fields: { ...response.headers, ...trailers } })
        })
      },
    )
    sent.on('error', reject).end(body)
  })
}

const cacheStatus = ({ fields }: SlipAnswer) => /fwd=\w+|hit/.exec(String(fields['cache-status']))?.[0]

describe('the model is in the body', () => {
  it('and settles route, pool and deployment', async () => {
    await start()
    const [ant, bee] = [await ask('model ant\n1\n'), await ask('model bee@7\n1\n')]
    expect([ant.text, bee.text]).toEqual(['ant:2\n', 'bee@7:2\n'])
    expect([backends.a.asked.length, backends.b.asked.length]).toEqual([1, 1])
    expect(answered.map(({ route: name, model, protocol }) => [name, model, protocol])).toEqual([
      ['a', 'ant', 'slip'],
      ['b', 'bee', 'slip'],
    ])
  })

  it('a byte-identical repeat is answered without a look into it, each from its own route', async () => {
    await start()
    // Without trailers: those need the long way's framing.
    for (const backend of Object.values(backends))
      backend.script = ({ body }, response) => {
        const [first] = body.toString().split('\n')
        response.writeHead(200, { 'content-type': SLIP_TYPE, 'slip-status': '0' }).end(`of ${first}\n`)
      }
    const bodies = ['model ant\n1\n', 'model bee\n1\n']
    for (let i = 0; i < 3; i++) for (const body of bodies) await ask(body)
    const before = scans
    // The first repeat makes it ready.
    expect(before).toBe(4)
    answered.length = 0
    for (let i = 0; i < 3; i++)
      for (const body of bodies) {
        const answer = await ask(body)
        expect([answer.text, cacheStatus(answer)]).toEqual([`of ${body.split('\n')[0]}\n`, 'hit'])
        expect(answer.fields['slip-status']).toBe('0')
      }
    expect(scans).toBe(before)
    expect(answered.slice(0, 2).map(({ route: name, model }) => [name, model])).toEqual([
      ['a', 'ant'],
      ['b', 'bee'],
    ])
    expect([backends.a.asked.length, backends.b.asked.length]).toEqual([1, 1])
  })

  it.each(['deployment', 'purge', 'settings'])(
    'what was found for it before a change of %s is found no more',
    async (change) => {
      const running = await start()
      for (const backend of Object.values(backends))
        backend.script = ({ body }, response) =>
          sendHead(response, `${backend === backends.a ? 'a' : 'b'}${backend.asked.length} ${body.length}\n`)
      const body = 'model ant\n1\n'
      for (let i = 0; i < 4; i++) expect((await ask(body)).text).toBe('a1 12\n')
      if (change === 'deployment') deploy('2')
      else if (change === 'purge') await running.epochs.purge(['model:ant'])
      else running.reload([route('b')])
      for (let i = 0; i < 4; i++)
        expect((await ask(body)).text).toBe(change === 'settings' ? 'b1 12\n' : 'a2 12\n')
    },
  )

  it('callers with other credentials, hosts, origins or targets have answers of their own', async () => {
    await start()
    for (let i = 0; i < 3; i++) {
      for (const headers of [
        {},
        { authorization: 'Bearer a' },
        { authorization: 'Bearer b' },
        { origin: 'https://x.example' },
      ])
        await ask('model ant\n1\n', headers)
      await ask('model ant\n1\n', {}, '/slip?v=2')
    }
    expect(backends.a.asked).toHaveLength(5)
  })

  it('no-cache goes past what is kept, and what the route does not keep is asked each time', async () => {
    await start({ routes: [route('a', { match: { model: 'a*' }, cache: undefined }), route('b')] })
    for (let i = 0; i < 3; i++) await ask('model bee\n1\n')
    expect(cacheStatus(await ask('model bee\n1\n', { 'cache-control': 'no-cache' }))).toBe('fwd=request')
    for (let i = 0; i < 3; i++) expect(cacheStatus(await ask('model ant\n1\n'))).toBe('fwd=bypass')
    expect([backends.a.asked.length, backends.b.asked.length]).toEqual([3, 2])
  })

  it('of a body over 4 MiB as well, and the time is that of the settled route', async () => {
    await start({ routes: [route('a', { match: { model: 'a*' }, timeout: 150 }), route('b')] })
    const long = `model bee\n1${' '.repeat(5 << 20)}\n`
    for (const expected of ['fwd=miss', 'hit', 'hit']) expect(cacheStatus(await ask(long))).toBe(expected)
    expect(scans).toBe(0)
    backends.a.script = () => {}
    const { fields } = await ask('model ant\n1\n')
    expect([fields['slip-status'], String(fields['proxy-status'])]).toEqual([
      '13',
      expect.stringContaining('http_response_timeout'),
    ])
  })

  it('one that no route takes is told so in the words of the dialect', async () => {
    await start({ routes: [route('a', { match: { model: 'a*' } })] })
    for (const body of ['model bee\n1\n', 'garbage', '']) {
      const { fields } = await ask(body)
      expect([fields['slip-status'], String(fields['proxy-status'])]).toEqual([
        '3',
        expect.stringContaining('destination_not_found'),
      ])
    }
    expect((await ask('model ant\n1\n')).text).toBe('ant:2\n')
  })

  it('and explain tells where it would go', async () => {
    const running = await start()
    expect(await running.explain('/slip', 'model ant@3\n1\n')).toMatchObject({
      route: 'a',
      pool: 'a',
      model: 'ant',
      version: '3',
      cacheable: true,
    })
  })
})

describe('the status behind the body', () => {
  it('is kept with the answer and given with every hit, and nothing else of what stands there', async () => {
    await start()
    const first = await ask('model ant\n1\n')
    expect([first.text, first.trailers]).toEqual([
      'ant:2\n',
      { 'slip-status': '0', 'x-trace': 'of this call alone' },
    ])
    for (let i = 0; i < 4; i++) {
      const hit = await ask('model ant\n1\n')
      expect([cacheStatus(hit), hit.text, hit.trailers]).toEqual(['hit', 'ant:2\n', { 'slip-status': '0' }])
    }
    // By the other door.
    const chunked = await ask('model ant\n1\n', { 'transfer-encoding': 'chunked' })
    expect([cacheStatus(chunked), chunked.text, chunked.trailers]).toEqual([
      'hit',
      'ant:2\n',
      { 'slip-status': '0' },
    ])
  })

  it('comes out of a shared tier as it went in', async () => {
    const redis = await startRedis()
    closing.push(() => redis.stop())
    const tier = createRedisTier({ name: 'redis', url: redis.url })
    const running = await start({ tier, memory: false })
    await eventually(() => expect(running.cache.stats().tiers[0]?.state).toBe('closed'))
    deploy('1')
    await Promise.all([running.epochs.poll(), running.deployments.poll()])
    expect((await ask('model ant\n1\n')).trailers).toMatchObject({ 'slip-status': '0' })
    const hit = async () => {
      const found = await ask('model ant\n1\n')
      expect([cacheStatus(found), found.fields['cache-status'], found.text, found.trailers]).toEqual([
        'hit',
        expect.stringContaining('detail=redis'),
        'ant:2\n',
        { 'slip-status': '0' },
      ])
    }
    await eventually(hit)
    // The tier is asked by what the bytes led to, and they are not looked into again.
    const before = scans
    for (let i = 0; i < 3; i++) await hit()
    expect(scans).toBe(before)
    deploy('2')
    expect(cacheStatus(await ask('model ant\n1\n'))).toBe('fwd=miss')
  })

  it('rows that are known and rows that are new end with it', async () => {
    await start({ routes: [route('b', { cache: { ...CACHE, rows: 'always' } })] })
    await ask('model bee\n1\n2\n')
    const partial = await ask('model bee\n2\n3\n')
    expect([cacheStatus(partial), partial.text]).toEqual(['fwd=partial', 'bee:4\nbee:6\n'])
    expect(partial.trailers).toMatchObject({ 'slip-status': '0' })
    expect(backends.b.asked.map(({ body }) => body.toString())).toEqual([
      'model bee\n1\n2\n',
      'model bee\n3\n',
    ])
    const known = await ask('model bee\n3\n1\n')
    expect([cacheStatus(known), known.text, known.trailers]).toEqual([
      'hit',
      'bee:6\nbee:2\n',
      { 'slip-status': '0' },
    ])
  })
})

describe('what it says', () => {
  const TWO = () => ({ a: [backends.a.url, backends.b.url] })

  it.each([14, 8])('overloaded (%d): another backend is asked', async (status) => {
    await start({ routes: [route('a')], pools: TWO() })
    backends.a.script = (_, response) => sendSlip(response, 'x\n', status)
    for (let i = 0; i < 4; i++) expect((await ask(`model ant\n${i}\n`)).text).toBe(`ant:${2 * i}\n`)
    expect(retries).toContain(`slip ${status}`)
    expect(new Set(attempts)).toEqual(new Set(['ok', 'overloaded']))
  })

  it('failed (13): one other try tells, and the backend is counted as failing', async () => {
    await start({ routes: [route('a')], pools: TWO() })
    for (const backend of Object.values(backends))
      backend.script = (_, response) => sendSlip(response, '', 13)
    const { fields } = await ask('model ant\n1\n')
    expect([fields['slip-status'], retries, attempts]).toEqual(['13', ['slip 13'], ['error', 'error']])
  })

  it("the caller's mistake (3) is nobody else's: not asked again, remembered where the route remembers refusals", async () => {
    const cache = { ...CACHE, rows: 'never', negativeTtl: 60_000 } as const
    await start({ routes: [route('a', { cache })], pools: TWO() })
    for (let i = 0; i < 3; i++) {
      const { fields } = await ask('model ant\nno\n')
      expect(fields['slip-status']).toBe('3')
    }
    expect([attempts, retries]).toEqual([['ok'], []])
    expect(backends.a.asked.length + backends.b.asked.length).toBe(1)
  })

  it('an answer without a status was cut off: it is asked for elsewhere, and not kept', async () => {
    await start({ routes: [route('a')], pools: TWO() })
    backends.a.script = (_, response) =>
      void response.writeHead(200, { 'content-type': SLIP_TYPE }).end('ant:2\n')
    for (let i = 0; i < 4; i++)
      expect((await ask(`model ant\n${i}\n`)).trailers).toMatchObject({ 'slip-status': '0' })
    expect(new Set(retries)).toEqual(new Set(['slip none']))
  })

  it('an old answer is better than a failure, and no better than a refusal', async () => {
    const cache = { ...CACHE, rows: 'never', ttl: 1, staleIfError: 60_000 } as const
    await start({ routes: [route('a', { cache })] })
    expect((await ask('model ant\n1\n')).text).toBe('ant:2\n')
    backends.a.script = (_, response) => sendSlip(response, '', 13)
    await eventually(async () => {
      const old = await ask('model ant\n1\n')
      expect([cacheStatus(old), old.text, old.trailers]).toEqual([
        'fwd=stale',
        'ant:2\n',
        { 'slip-status': '0' },
      ])
    })
    backends.a.script = (_, response) => sendSlip(response, '', 3)
    expect((await ask('model ant\n1\n')).fields['slip-status']).toBe('3')
  })

  it('of keeping its answer counts, but for what its servers say of everything', async () => {
    await start()
    backends.a.script = ({ body }, response) => {
      response.setHeader('cache-control', body.includes('private') ? 'private' : 'no-store')
      response.writeHead(200, { 'content-type': SLIP_TYPE, 'slip-status': '0' }).end('x\n')
    }
    for (const expected of ['fwd=miss', 'hit'])
      expect(cacheStatus(await ask('model ant\n1\n'))).toBe(expected)
    for (let i = 0; i < 2; i++) expect(cacheStatus(await ask('model ant\nprivate\n'))).toBe('fwd=miss')
  })
})

/** With its status in the head, as of an answer that is short enough to be known at once. */
function sendHead(response: Parameters<typeof sendSlip>[0], text: string): void {
  response.writeHead(200, { 'content-type': SLIP_TYPE, 'slip-status': '0' }).end(text)
}
