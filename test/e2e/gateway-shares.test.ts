/**
 * A pool that two gateways on one Redis share, on processes as their users run them: each tenant's calls come to one gateway
 * alone, and each wants more than the pool has.
 */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest'
import { newKey } from '../../src/cli/keys.ts'
import { type ScriptedBackend, startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { startRedis, type TestServer } from '../support/servers.ts'
import { instances, PREDICT, redisTier } from '../support/settings.ts'

const PLACES = 4
const CALL_MS = 40
/** In which a place of which each has a part has gone to and fro. */
const WINDOW_MS = 4_000
const CALLERS = 12
const WEIGHTS = { first: 1, second: 1, heavy: 3 } as const
type Tenant = keyof typeof WEIGHTS
const TENANTS = Object.keys(WEIGHTS) as Tenant[]
const keys = Object.fromEntries(TENANTS.map((name) => [name, newKey({ name, tenant: name })])) as Record<
  Tenant,
  ReturnType<typeof newKey>
>

let redis: TestServer
let backend: ScriptedBackend
const gateways: RunningGateway[] = []
/** Calls that the backend has at the moment. */
let running = 0
let asked = 0

const yaml = () => `
server: { workers: 1 }
auth:
  keys:
${TENANTS.map((name) => `    ${keys[name].line}`).join('\n')}
tenants: ${JSON.stringify(Object.fromEntries(TENANTS.map((name) => [name, { weight: WEIGHTS[name] }])))}
cache: { tiers: [{ name: memory, type: memory }, ${JSON.stringify(redisTier(redis))}] }
pools:
  main:
    backends: [{ url: "${backend.url}", concurrency: ${PLACES} }]
    limits: { mode: declared }
    queue: { maxWait: 20s }
routes: [{ name: main, pool: main, cache: { rows: never } }]
`

beforeAll(async () => {
  redis = await startRedis()
  backend = await startBackend((asked, response, request) => {
    running++
    setTimeout(() => {
      running--
      void summing(asked, response, request)
    }, CALL_MS)
  })
  for (let i = 0; i < 2; i++) gateways.push(await startGateway({ yaml: yaml() }))
  await Promise.all(gateways.map((gateway) => gateway.ready('main')))
})
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.stop()))
  await Promise.all([backend.close(), redis.stop()])
})

interface Load {
  /** The answers of the last so many milliseconds. */
  lately(ms: number): number
  stop(): Promise<void>
}

/** Callers that each ask for something new when they have their answer, until the test's end at the latest. */
function load(tenant: Tenant, gateway: number): Load {
  const state = { isOver: false }
  const answered: number[] = []
  const failures: unknown[] = []
  const headers = { authorization: `Bearer ${keys[tenant].key}` }
  const caller = async () => {
    while (!state.isOver) {
      const { status } = await (gateways[gateway] as RunningGateway).post(
        PREDICT,
        instances(++asked),
        headers,
      )
      if (status === 200) answered.push(performance.now())
      // Calls that have waited for too long in a full queue.
      else if (status !== 503) failures.push(status)
    }
  }
  const callers = Array.from({ length: CALLERS }, () =>
    caller().catch((error: unknown) => failures.push(error)),
  )
  const end = async () => {
    state.isOver = true
    await Promise.all(callers)
  }
  onTestFinished(end)
  return {
    lately: (ms) => answered.filter((time) => time > performance.now() - ms).length,
    async stop() {
      await end()
      expect(failures).toEqual([])
    },
  }
}

const passed = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

// Gateways that share wrongly do so all the time; a machine that is busy for a moment does not spoil each look.
const settled = { timeoutMs: 20_000 }

it.each([
  ['first', 0.5],
  ['heavy', 0.75],
] as const)(
  'is shared by weight: %s has %d of it',
  async (tenant, part) => {
    // It has all places when the other begins.
    const mine = load(tenant, 0)
    await eventually(() => expect(mine.lately(1_000)).toBeGreaterThan(PLACES))
    const other = load('second', 1)
    await passed(WINDOW_MS + 1_000)
    await eventually(() => {
      const [got, left] = [mine.lately(WINDOW_MS), other.lately(WINDOW_MS)]
      expect(got + left).toBeGreaterThan(100)
      expect(got / (got + left)).toBeGreaterThan(0.9 * part)
      expect(got / (got + left)).toBeLessThan(1.1 * part)
    }, settled)
    // Whoever is left has all of it.
    await mine.stop()
    await eventually(() => expect(running).toBe(PLACES), settled)
    await other.stop()
  },
  60_000,
)
