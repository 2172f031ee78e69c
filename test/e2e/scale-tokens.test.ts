/** A pool with promises of tokens: what passes through the gateway is measured, whether or not it may be kept, and the admin API tells of it. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ChatServer, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

let server: ChatServer
let gateway: RunningGateway
beforeAll(async () => {
  server = await startChatServer()
  gateway = await startGateway({
    yaml: {
      server: { workers: 2 },
      pools: {
        chat: {
          backends: [{ url: server.url }],
          health: { path: 'off' },
          balance: { slowStart: { window: '0s' } },
          slo: { ttft: '300ms', itl: '50ms' },
          scale: { min: 1, max: 4 },
        },
      },
      routes: [{ name: 'chat', match: { path: '/v1/*' }, protocol: 'openai', pool: 'chat', cache: {} }],
    },
  })
})
afterAll(async () => {
  await gateway?.stop()
  server?.close()
})

interface Scale {
  readonly sentence: string
  readonly demand: { readonly tokens?: { readonly perGeneration: number; readonly boundBy: string } }
}

it('counts the pieces of streams that are kept and of those that are not, and none of hits', async () => {
  const pieces = 600
  server.onCall = (call) => {
    call.say(...Array.from({ length: pieces }, (_, i) => ` ${i}`))
    call.finish()
  }
  const chat = (content: string, temperature: number) =>
    gateway.post('/v1/chat/completions', {
      model: 'm',
      stream: true,
      temperature,
      messages: [{ role: 'user', content }],
    })
  expect((await chat('kept', 0)).headers['cache-status']).toContain('fwd=miss')
  expect((await chat('kept', 0)).headers['cache-status']).toContain('; hit;')
  expect((await chat('sampled', 1)).headers['cache-status']).toContain('fwd=')
  expect(server.calls).toHaveLength(2)
  await eventually(async () => {
    const { json } = await gateway.ask('/api/v1/scale/chat')
    const { demand, sentence } = json as Scale
    // The pieces, the one with the reason of the end, the usage, and the mark.
    expect(demand.tokens?.perGeneration).toBeGreaterThanOrEqual(pieces)
    expect(demand.tokens?.perGeneration).toBeLessThanOrEqual(pieces + 4)
    expect(sentence).toMatch(/generations\/s of 60\d tokens|replica/)
  })
  expect(await gateway.metric('infergate_scale_replica_tokens_per_second', { pool: 'chat' })).toBeGreaterThan(
    0,
  )
})
