/** Two gateways and one Redis: a purge on one is a purge on both, at once by a hint, and within a second without it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ScriptedBackend, startBackend } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, MEMORY, PREDICT, redisTier, settings, TWO } from '../support/settings.ts'

let backend: ScriptedBackend
let redis: TestServer
let gateways: [RunningGateway, RunningGateway]
/** Answers name the upstream request they come from. */
let serial = 0

beforeAll(async () => {
  ;[backend, redis] = await Promise.all([startBackend(), startRedis()])
  backend.script = ({ body }, response) => {
    const { instances: rows } = JSON.parse(body.toString()) as { instances: unknown[] }
    serial++
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ predictions: rows.map(() => serial) }))
  }
  const yaml = settings({
    server: TWO,
    backends: [backend],
    tiers: [MEMORY, redisTier(redis, '200ms')],
    route: { cache: { rows: 'always' } },
  })
  gateways = await Promise.all([startGateway({ yaml }), startGateway({ yaml })])
  await Promise.all(gateways.map((gateway) => gateway.ready('main')))
})
afterAll(async () => {
  await Promise.all((gateways ?? []).map((gateway) => gateway.stop()))
  await Promise.all([backend?.close(), redis?.stop()])
})

const serialOf = async (at: 0 | 1, body: unknown): Promise<number> => {
  const { json, status, text } = await gateways[at].post(PREDICT, body)
  if (status !== 200) throw new Error(text)
  return (json as { predictions: [number] }).predictions[0]
}

const purge = async (at: 0 | 1, selection: object) => {
  const { json } = await gateways[at].ask('/api/v1/cache/purge', { method: 'POST', body: selection })
  return json as { shared: boolean; known?: boolean }
}

const rowsOf = async (at: 0 | 1, body: unknown) => {
  const { json } = await gateways[at].ask('/api/v1/cache/explain', {
    method: 'POST',
    body: {
      method: 'POST',
      path: PREDICT,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    },
  })
  return (json as { rows: { key: string; tier?: string }[] }).rows
}

const keysOf = async (at: 0 | 1, body: unknown) => (await rowsOf(at, body)).map(({ key }) => key)

/** Both gateways have the answer in their memory. */
async function warmed(body: unknown, timeoutMs = 20_000): Promise<number> {
  await serialOf(0, body)
  // What is stored behind the answer is there for the other a moment later: asked before, it would load for itself.
  await eventually(
    async () => expect((await rowsOf(1, body)).every(({ tier }) => tier !== undefined)).toBe(true),
    { timeoutMs },
  )
  return eventually(
    async () => {
      const [one, other] = [await serialOf(0, body), await serialOf(1, body)]
      const { headers } = await gateways[1].post(PREDICT, body)
      expect(headers['cache-status']).toMatch(/detail=memory$/)
      expect(other).toBe(one)
      return one
    },
    { timeoutMs },
  )
}

describe('I8: a purge on one gateway', () => {
  it.each([
    ['of the model', { model: 'sum' }],
    ['of everything', { all: true }],
  ])('%s is heard by the other', async (name, selection) => {
    const body = instances(name.length)
    const old = await warmed(body)
    expect(await purge(0, selection)).toMatchObject({ shared: true })
    expect(await serialOf(0, body)).toBeGreaterThan(old)
    await eventually(async () => expect(await serialOf(1, body)).toBeGreaterThan(old), { timeoutMs: 3000 })
  })

  it('by key is heard by the other, whose memory has it, and spares its neighbours', async () => {
    const [old, spared] = [await warmed(instances(101)), await warmed(instances(102))]
    const [key] = await keysOf(0, instances(101))
    expect(await purge(0, { key })).toMatchObject({ known: true, shared: true })
    expect(await serialOf(0, instances(101))).toBeGreaterThan(old)
    await eventually(async () => expect(await serialOf(1, instances(101))).toBeGreaterThan(old), {
      timeoutMs: 3000,
    })
    for (const at of [0, 1] as const) expect(await serialOf(at, instances(102))).toBe(spared)
  })

  it('by key fences a load that the other has under way', async () => {
    const [key] = await keysOf(1, instances(103))
    const usual = backend.script
    let answer = () => {}
    backend.script = (asked, response, request) => {
      serial++
      const mine = serial
      answer = () =>
        void response.setHeader('content-type', 'application/json').end(`{"predictions":[${mine}]}`)
      void asked
      void request
    }
    const slow = serialOf(1, instances(103))
    const began = serial
    await eventually(() => expect(serial).toBe(began + 1))
    backend.script = usual
    await purge(0, { key })
    // A second, or a hint: the other has heard when it does not join the old load any more.
    const fresh = await eventually(async () => {
      const { status, json } = await gateways[1].post(PREDICT, instances(103), {
        'x-request-deadline-ms': '200',
      })
      expect(status).toBe(200)
      return (json as { predictions: [number] }).predictions[0]
    })
    answer()
    expect(await slow).toBeLessThan(fresh)
    for (const at of [0, 1] as const) expect(await serialOf(at, instances(103))).toBeGreaterThan(began + 1)
  })

  it('is heard by way of Redis long before the second is over', async () => {
    const times: number[] = []
    for (let i = 0; i < 5; i++) {
      const old = await warmed(instances(200 + i))
      await purge(0, { model: 'sum' })
      const began = performance.now()
      await eventually(async () => expect(await serialOf(1, instances(200 + i))).toBeGreaterThan(old))
      times.push(performance.now() - began)
    }
    // The poll alone takes half a second on average.
    times.sort((a, b) => a - b)
    expect(times[2]).toBeLessThan(350)
  })

  it('is heard again after the connections were lost', async () => {
    await redis.restart()
    let attempt = 0
    await eventually(
      async () => {
        // Another body each time: while one of them was not back yet, each may have got an answer of its own.
        const body = instances(300 + attempt++)
        const old = await warmed(body, 1000)
        expect((await purge(0, { model: 'sum' })).shared).toBe(true)
        await eventually(async () => expect(await serialOf(1, body)).toBeGreaterThan(old), {
          timeoutMs: 2500,
        })
      },
      { timeoutMs: 15_000 },
    )
  })

  it('is counted by model', async () => {
    const { json } = await gateways[0].ask('/api/v1/cache/stats')
    const { models, tiers } = json as {
      models: Record<string, { calls: Record<string, number>; rows: Record<string, number> }>
      tiers: { name: string }[]
    }
    expect(tiers.map(({ name }) => name)).toEqual(['redis'])
    expect(models['sum']?.calls).toMatchObject({ hit: expect.any(Number), miss: expect.any(Number) })
    expect(models['sum']?.rows).toMatchObject({ hit: expect.any(Number), miss: expect.any(Number) })
  })
})
