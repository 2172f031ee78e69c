/**
 * Tokens as limits of tenants, on a process as its users run it: reserved before a call is sent, settled by what its answer says, in
 * one piece and as a stream, kept and passed on; refused in the dialect; kept in Redis over a restart.
 */
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type ChatCall, type ChatServer, piecesFor, startChatServer } from '../support/chat-server.ts'
import { type EmbeddingsBackend, startEmbeddings, tokensOf } from '../support/embeddings.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, runInfergate, startGateway } from '../support/gateway.ts'
import { call } from '../support/http.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { redisTier } from '../support/settings.ts'

const TENANTS = ['metered', 'reader', 'tight', 'daily', 'bulk', 'bulk2', 'free'] as const
type Tenant = (typeof TENANTS)[number]
const keys = Object.fromEntries(
  TENANTS.map((tenant) => [tenant, newKey({ name: tenant, tenant })]),
) as Record<Tenant, { key: string; line: string }>
const CHAT = '/v1/chat/completions'
let redis: TestServer
let server: ChatServer
let embedder: EmbeddingsBackend
let gateway: RunningGateway
let prompts = 0

const yaml = () => `
server: { workers: 1 }
auth:
  keys:
${TENANTS.map((tenant) => `    ${keys[tenant].line}`).join('\n')}
tenants:
  metered: { rate: { tokens: 1M/s }, quota: { tokens: 1G/mo } }
  reader: { quota: { tokens: 1G/mo } }
  tight: { rate: { tokens: 100/h, burst: 1h } }
  daily: { quota: { tokens: 60/d } }
  bulk: { rate: { tokens: 1M/s } }
  free: { models: ["*"] }
  bulk2: { rate: { tokens: 1M/s } }
cache: { tiers: [{ name: memory, type: memory }, ${JSON.stringify(redisTier(redis))}] }
pools:
  chat: { backends: [{ url: "${server.url}" }], health: { path: off } }
  embedder: { backends: [{ url: "${embedder.url}" }], health: { path: off } }
routes:
  - name: embedder
    match: { path: "/v1/*", model: "embed-*" }
    protocol: openai
    pool: embedder
    cache: { rows: always, scope: shared }
    batch: { maxRows: 16, maxDelay: 30ms }
  - { name: chat, match: { path: "/v1/*" }, protocol: openai, pool: chat, cache: { scope: shared } }
`

beforeAll(async () => {
  ;[redis, server, embedder] = await Promise.all([startRedis(), startChatServer(), startEmbeddings()])
  gateway = await startGateway({ yaml: yaml() })
  await Promise.all([gateway.ready('chat'), gateway.ready('embedder')])
})
afterEach(() => server.reset())
afterAll(async () => {
  await gateway?.stop()
  server?.close()
  await Promise.all([embedder?.close(), redis?.stop()])
})

const prompt = () => `prompt ${++prompts}`
const bodyOf = (content: string, members: object = {}) => ({
  model: 'm',
  temperature: 0,
  max_tokens: 50,
  messages: [{ role: 'user', content }],
  ...members,
})
const post = (tenant: Tenant, body: object, path = CHAT) =>
  gateway.post(path, body, { authorization: `Bearer ${keys[tenant].key}` })

interface Used {
  readonly tokens: { readonly input?: number; readonly output?: number }
  readonly savedTokens: { readonly input?: number; readonly output?: number }
  readonly refused: Readonly<Record<string, number>>
}

async function used(tenant: Tenant): Promise<Used> {
  return (await call(gateway.adminPort, `/api/v1/tenants/${tenant}`)).json as Used
}

/** What a tenant is charged for what `run` does. */
async function costs(tenant: Tenant, run: () => Promise<unknown>, wanted: Used['tokens']): Promise<void> {
  const { tokens: before } = await used(tenant)
  await run()
  await eventually(async () => {
    const { tokens } = await used(tenant)
    const cost = {
      input: (tokens.input ?? 0) - (before.input ?? 0),
      output: (tokens.output ?? 0) - (before.output ?? 0),
    }
    expect(cost).toEqual({ input: 0, output: 0, ...wanted })
  })
}

interface Open {
  readonly sent: ClientRequest
  readonly response: IncomingMessage
  text: string
}

/** Opens a stream. */
async function open(tenant: Tenant, body: object): Promise<Open> {
  const sent = request(`${gateway.url}${CHAT}`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${keys[tenant].key}` },
  })
  sent.on('error', () => {})
  sent.end(JSON.stringify(body))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const opened: Open = { sent, response, text: '' }
  response.on('error', () => {})
  response.setEncoding('utf8').on('data', (text: string) => (opened.text += text))
  return opened
}

function nextCall(): Promise<ChatCall> {
  const { promise, resolve } = Promise.withResolvers<ChatCall>()
  server.onCall = resolve
  return promise
}

const pieces = (content: string) => piecesFor(content).length

describe('charged is what the answer says', () => {
  it('of a chat in one piece, and nothing for its hits, in either form', async () => {
    const content = prompt()
    const { savedTokens: before } = await used('metered')
    await costs('metered', () => post('metered', bodyOf(content)), { input: 7, output: pieces(content) })
    const again = async () => {
      const answers = [
        await post('metered', bodyOf(content)),
        await post('metered', bodyOf(content, { stream: true })),
      ]
      for (const { headers } of answers) expect(headers['cache-status']).toContain('hit')
    }
    await costs('metered', again, {})
    const { savedTokens: after } = await used('metered')
    expect((after.input ?? 0) - (before.input ?? 0)).toBe(14)
  })

  it('of a stream that is kept, and of one that is passed on and says it', async () => {
    const content = prompt()
    const kept = () => post('metered', bodyOf(content, { stream: true }))
    await costs('metered', kept, { input: 7, output: pieces(content) })
    const members = { temperature: 1, stream: true, stream_options: { include_usage: true } }
    const passed = () => post('metered', bodyOf(content, members))
    await costs('metered', passed, { input: 7, output: pieces(content) })
  })

  it('of a stream that is passed on to a caller who does not ask for it, and does not see it', async () => {
    const content = prompt()
    const passed = async () => {
      const { text } = await post('metered', bodyOf(content, { temperature: 1, stream: true }))
      expect(text).toContain('[DONE]')
      expect(text).not.toContain('usage')
      expect(server.calls.at(-1)?.body.stream_options).toEqual({ include_usage: true })
    }
    await costs('metered', passed, { input: 7, output: pieces(content) })
    // Who is not counted sends what it has written.
    await post('free', bodyOf(content, { temperature: 1, stream: true }))
    expect(server.calls.at(-1)?.body.stream_options).toBeUndefined()
  })

  it('of an answer that nothing is kept of', async () => {
    const content = prompt()
    const sampled = () => post('metered', bodyOf(content, { temperature: 1 }))
    await costs('metered', sampled, { input: 7, output: pieces(content) })
  })

  it('once for all who join a stream, and to whom has opened it, who may leave', async () => {
    const body = bodyOf(prompt(), { stream: true })
    const next = nextCall()
    const before = await used('reader')
    const run = async () => {
      const opening = open('metered', body)
      const asked = await next
      asked.say('one', ' two')
      const first = await opening
      const others = await Promise.all([open('reader', body), open('reader', body)])
      for (const { response } of others) expect(response.headers['cache-status']).toContain('collapsed')
      first.sent.destroy()
      asked.say(' three')
      asked.finish()
      for (const other of others) {
        if (!other.response.readableEnded) await once(other.response, 'end')
        expect(other.text).toContain('three')
      }
      expect(server.calls).toHaveLength(1)
    }
    await costs('metered', run, { input: 7, output: 3 })
    const { tokens, savedTokens } = await used('reader')
    expect(tokens).toEqual(before.tokens)
    expect((savedTokens.output ?? 0) - (before.savedTokens.output ?? 0)).toBe(6)
  })

  it('of each caller of a batch its own share', async () => {
    const ask = (tenant: Tenant, ...input: string[]) =>
      post(tenant, { model: 'embed-m', input }, '/v1/embeddings')
    const [mine, other] = [`${prompt()} of mine`, prompt()]
    const answers = await Promise.all([ask('bulk', mine), ask('bulk2', other)])
    for (const { status } of answers) expect(status).toBe(200)
    await eventually(async () => {
      const [one = 0, two = 0] = [(await used('bulk')).tokens.input, (await used('bulk2')).tokens.input]
      expect(one).toBeGreaterThan(two)
      expect(one + two).toBe(tokensOf(mine) + tokensOf(other))
    })
    await costs('bulk', () => ask('bulk', mine), {})
  })
})

describe('charged is what was seen', () => {
  it('of a stream that does not say it', async () => {
    const content = prompt()
    const body = bodyOf(content, { temperature: 1, stream: true })
    const input = Math.ceil(JSON.stringify(body).length / 4)
    server.onCall = (asked) => {
      asked.say(...piecesFor(content))
      asked.send('data: [DONE]\n\n')
      asked.response.end()
    }
    // The mark is an event as well.
    await costs('metered', () => post('metered', body), { input, output: pieces(content) + 1 })
  })

  it.each([0, 1])('of a stream whose caller has left (temperature %d)', async (temperature) => {
    const body = bodyOf(prompt(), { temperature, stream: true })
    const next = nextCall()
    const input = Math.ceil(
      JSON.stringify(temperature === 0 ? { ...body, stream_options: { include_usage: true } } : body).length /
        4,
    )
    const run = async () => {
      const opening = open('metered', body)
      const asked = await next
      asked.say('one', ' two', ' three')
      const opened = await opening
      await eventually(() => expect(opened.text).toContain('three'))
      opened.response.socket.resetAndDestroy()
      await eventually(() => expect(asked.isCut).toBe(true))
    }
    await costs('metered', run, { input, output: 3 })
  })

  it('nothing of a call that has failed', async () => {
    server.onCall = ({ response }) => void response.writeHead(500).end('{"error":{"message":"no"}}')
    await costs('metered', () => post('metered', bodyOf(prompt())), {})
    server.onCall = ({ response }) => void response.destroy()
    await costs('metered', () => post('metered', bodyOf(prompt(), { stream: true })), {})
  })
})

describe('refused is', () => {
  it('a call beyond what was reserved, until that is settled, with what it has to wait for', async () => {
    const next = nextCall()
    const first = post('tight', bodyOf(prompt(), { max_tokens: 1000 }))
    const asked = await next
    const refused = await post('tight', bodyOf(prompt()))
    expect(refused.status).toBe(429)
    expect(refused.json).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
    expect(refused.headers).toMatchObject({
      'ratelimit-policy': '"tokens";q=100;w=3600',
      'x-ratelimit-limit-tokens': '100',
      'x-ratelimit-remaining-tokens': '0',
    })
    const wait = Number(refused.headers['retry-after'])
    expect(wait).toBeGreaterThan(3600)
    expect(refused.headers['x-ratelimit-reset-tokens']).toBe(`${wait}s`)
    expect(refused.headers['ratelimit']).toBe(`"tokens";r=0;t=${wait}`)

    const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
    const choices = [{ index: 0, message: { role: 'assistant', content: 'a' }, finish_reason: 'stop' }]
    asked.response.setHeader('content-type', 'application/json').end(JSON.stringify({ choices, usage }))
    expect((await first).status).toBe(200)
    server.reset()
    // Of 100 tokens 85 are left, whatever had been reserved.
    await eventually(async () => expect((await post('tight', bodyOf(prompt()))).status).toBe(200))
    await eventually(async () => expect((await used('tight')).refused).toHaveProperty('tokens'))
  })

  it('a day whose tokens are used up, also after a restart; hits are still given', async () => {
    const known = prompt()
    expect((await post('metered', bodyOf(known))).status).toBe(200)
    let calls = 0
    await eventually(async () => {
      const { status, json } = await post('daily', bodyOf(prompt()))
      if (status === 200) calls++
      expect(status).toBe(429)
      expect(json).toMatchObject({ error: { code: 'insufficient_quota' } })
      const { input = 0, output = 0 } = (await used('daily')).tokens
      expect(input + output).toBeGreaterThanOrEqual(60)
    })
    // A call may exceed what is left: each costs 15 or so of 60.
    expect(calls).toBeLessThanOrEqual(6)
    expect((await post('daily', bodyOf(known))).status).toBe(200)
    expect((await post('daily', { ...bodyOf(prompt()), file: 1 }, '/v1/images/generations')).status).toBe(429)
    await gateway.restart()
    await eventually(async () => expect((await post('daily', bodyOf(prompt()))).status).toBe(429))
  })
})

it('is in the metrics, and in what infergate tenants shows', async () => {
  await post('metered', bodyOf(prompt()))
  await eventually(async () => {
    const { text } = await call(gateway.adminPort, '/metrics')
    expect(text).toMatch(/infergate_tenant_tokens_total\{tenant="metered",type="input"\} 7\n/)
  })
  const { stdout } = await runInfergate(['tenants', '--admin', `http://127.0.0.1:${gateway.adminPort}`])
  expect(stdout).toMatch(
    /^TENANT +CALLS +HITS +ROWS +SENT +SAVED +TOKENS +REFUSED\nmetered .* \d+, saved 0 +-\n/,
  )
})
