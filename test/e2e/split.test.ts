/** A route that is split over three stub pools, in one gateway of two workers, whose weights change while it runs. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Script, type ScriptedBackend, startBackend } from '../support/backend.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { instances, MEMORY, PREDICT, settings, TWO } from '../support/settings.ts'

/** Answers each row with the pool's name, so that answers tell who gave them. */
const saying =
  (name: string): Script =>
  (asked, response) => {
    const { instances: rows } = JSON.parse(asked.body.toString()) as { instances: unknown[] }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ predictions: rows.map(() => name) }))
  }

const NAMES = ['v1', 'v2', 'v3'] as const
let backends: readonly ScriptedBackend[] = []
let gateway: RunningGateway

beforeAll(async () => {
  backends = await Promise.all(NAMES.map((name) => startBackend(saying(name))))
  const base = settings({ backends: [backends[0] as ScriptedBackend], tiers: [MEMORY], server: TWO })
  const pools = Object.fromEntries(
    NAMES.map((name, i) => [name, { ...base.pools?.['main'], backends: [{ url: backends[i]?.url ?? '' }] }]),
  )
  const split = [
    { pool: 'v1', weight: 60 },
    { pool: 'v2', weight: 40 },
    { pool: 'v3', weight: 0 },
  ]
  gateway = await startGateway({
    yaml: { ...base, pools, routes: [{ name: 'ranker', split, cache: { rows: 'never' } }] },
  })
  await Promise.all(NAMES.map((name) => gateway.ready(name)))
})
afterAll(async () => {
  await gateway?.stop()
  await Promise.all(backends.map((backend) => backend.close()))
})

async function poolOf(body: unknown): Promise<{ readonly pool: string; readonly status: string }> {
  const { json, headers } = await gateway.post(PREDICT, body)
  const { predictions } = json as { predictions: string[] }
  const [pool = ''] = predictions
  expect(new Set(predictions)).toEqual(new Set([pool]))
  return { pool, status: headers['cache-status'] as string }
}

it('equal inputs go one way, and are kept under the pool that answered', async () => {
  const first = await Promise.all(Array.from({ length: 40 }, (_, i) => poolOf(instances(i, 1, 2))))
  expect(new Set(first.map(({ pool }) => pool))).toEqual(new Set(['v1', 'v2']))
  const again = await Promise.all(
    Array.from({ length: 40 }, (_, i) => poolOf(JSON.stringify({ instances: [i, 1, 2] }, null, 2))),
  )
  expect(again.map(({ pool }) => pool)).toEqual(first.map(({ pool }) => pool))
  for (const { status } of again) expect(status).toMatch(/; hit; /)
  const { json } = await gateway.ask('/api/v1/cache/explain', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: {
      method: 'POST',
      path: PREDICT,
      body: JSON.stringify(instances(0, 1, 2)),
      headers: { 'content-type': 'application/json' },
    },
  })
  expect((json as { pool: string }).pool).toBe(first[0]?.pool)
})
