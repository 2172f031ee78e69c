/** Calls of language models go where the beginning of their prompt was sent. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startGateway } from '../support/gateway.ts'
import { TWO } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

/** Long beside what a busy machine adds: a backend that seems ten times slower than the others is left. */
const USUAL_MS = 50
let answerMs = USUAL_MS
let asked = 0

interface Pool {
  readonly backends: readonly { readonly latencyMs?: number }[]
}

async function server(name: string): Promise<{ url: string }> {
  const listener = createServer((request, response) => {
    asked++
    response.setHeader('content-type', 'application/json')
    request.resume().once('end', () => setTimeout(() => response.end(JSON.stringify({ name })), answerMs))
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  cleanup.push(() => {
    listener.closeAllConnections()
    listener.close()
  })
  return { url: `http://127.0.0.1:${(listener.address() as AddressInfo).port}` }
}

it('calls with the same system prompt go to the same backend, whichever worker has them', async () => {
  const backends = [await server('a'), await server('b'), await server('c')]
  const balance = { policy: 'prefix', slowStart: { window: '0s' } } as const
  const gateway = await startGateway({
    yaml: {
      server: TWO,
      pools: { llm: { backends, health: { path: 'off' }, balance } },
      routes: [{ name: 'llm', protocol: 'openai', pool: 'llm' }],
    },
  })
  cleanup.push(() => gateway.stop())
  const ask = async (system: string, question: string) => {
    const messages = [
      { role: 'system', content: system },
      { role: 'user', content: question },
    ]
    const { json } = await gateway.post('/v1/chat/completions', { model: 'm', messages })
    return (json as { name: string }).name
  }
  // Each backend has answered, and seems about as fast as the others: a new prompt goes where the fewest went only among such.
  const latencies = async () => {
    await Promise.all(Array.from({ length: 30 }, (_, n) => ask('short', `${n}`)))
    const { backends } = (await gateway.ask('/api/v1/pools/llm')).json as Pool
    return backends.map(({ latencyMs = Number.NaN }) => latencyMs)
  }
  await eventually(async () => {
    const known = await latencies()
    expect(Math.max(...known)).toBeLessThan(1.3 * Math.min(...known))
  })
  const homes = new Set<string>()
  let atHome = 0
  for (let prompt = 0; prompt < 9; prompt++) {
    const system = `${prompt} of the system prompts. `.repeat(200)
    const home = await ask(system, 'the first question')
    homes.add(home)
    for (let n = 0; n < 10; n++) if ((await ask(system, `question ${n}`)) === home) atHome++
  }
  expect(atHome).toBeGreaterThanOrEqual(81)
  expect(homes.size).toBe(3)

  // One that is late is not sent to a second backend, which would have to compute the whole prompt.
  const before = asked
  answerMs = 20 * USUAL_MS
  await ask('0 of the system prompts. '.repeat(200), 'a long question')
  expect(asked).toBe(before + 1)
})
