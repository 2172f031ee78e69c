/** A generation that one gateway has kept answers the callers of another one on the same Redis, in both forms. */
import { expect, test } from 'vitest'
import { piecesFor, startChatServer } from '../support/chat-server.ts'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { redisSays, startRedis } from '../support/servers.ts'

test('a stream is kept in a shared tier, and found there as JSON and as events', async () => {
  const server = await startChatServer()
  const redis = await startRedis()
  const yaml = {
    server: { workers: 1 },
    cache: { tiers: [{ name: 'redis', type: 'redis' as const, url: redis.url, readTimeout: '2s' }] },
    pools: { main: { backends: [{ url: server.url }], health: { path: 'off' as const } } },
    routes: [{ match: { path: '/v1/*' }, protocol: 'openai' as const, pool: 'main', cache: {} }],
  }
  const [one, other] = [await startGateway({ yaml }), await startGateway({ yaml })]
  try {
    const asking = (stream: boolean) => ({
      model: 'm',
      temperature: 0,
      stream,
      messages: [{ role: 'user', content: 'a' }],
    })
    const path = '/v1/chat/completions'
    const first = await one.post(path, asking(true))
    await eventually(async () => expect(await redisSays(redis.port, 'DBSIZE')).not.toBe('0'))
    await eventually(async () => {
      const kept = await other.post(path, asking(true))
      expect(kept.headers['cache-status']).toContain('detail=redis')
      expect(kept.text.replaceAll(/chatcmpl-\w+/g, '')).toBe(first.text.replaceAll(/chatcmpl-\w+/g, ''))
    })
    const json = await other.post(path, asking(false))
    expect(JSON.parse(json.text)).toMatchObject({
      choices: [{ message: { content: piecesFor('a').join('') } }],
    })
    expect(json.headers['cache-status']).toContain('hit')
  } finally {
    await Promise.all([one.stop(), other.stop()])
    await redis.stop()
    server.close()
  }
})
