/** Two worker threads share a pool: the tenants of one have their part of it beside those of the other. Real sockets. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable, tableForWorker } from '../../src/data/balance/table.ts'
import { eventually } from '../support/eventually.ts'
import { startThread } from '../support/threads.ts'

const PLACES = 16
const CALLERS = 80

/** A worker with a pool, and callers of some tenants, each of which sends the next call when it has the answer. */
const worker = `
  import { Agent, request } from 'node:http'
  const { BackendPool } = await load('data/backend/pool.ts')
  const { Clients } = await load('data/backend/clients.ts')
  const { listenForBell } = await load('data/balance/policies/neighbours.ts')
  const { systemClock } = await load('lib/clock.ts')
  const { table, state, backend, tenants, callers } = workerData
  const clients = new Clients({ connections: 1, connectTimeoutMs: 100, bodyTimeoutMs: 100, refuse: () => undefined })
  const pool = new BackendPool(
    { name: 'main', table, state, clients, clock: systemClock, random: Math.random },
    { policy: 'peak-ewma', retry: { max: 0, budget: {} }, hedge: undefined, outlier: {}, limit: { mode: 'declared' },
      queue: { targetMs: 500, intervalMs: 1000 }, isFromZero: false, shares: tenants.map(({ share }) => share) })
  pool.apply({ pool: 'main', revision: 1, backends: [backend] })
  listenForBell(table, () => pool.onBell(), new AbortController().signal)
  setInterval(() => pool.tick(), 100)
  const agent = new Agent({ keepAlive: true })
  const ask = (tenant, rows) => new Promise((resolve, reject) => {
    request(backend.url, { agent, headers: { tenant, rows } }, (answer) => answer.resume().on('end', resolve))
      .on('error', reject).end()
  })
  const signal = new AbortController().signal
  const call = async ({ share, rows }) => {
    const deadline = systemClock.now() + 30_000
    const need = { deadline, signal, share, charges: [{ share, cost: rows }] }
    const permit = await pool.enter(need, [])
    await ask(share.tenant, rows)
    pool.leave(permit, systemClock.now() - permit.since, 'ok')
  }
  for (const tenant of tenants)
    for (let caller = 0; caller < callers; caller++) (async () => { for (;;) await call(tenant) })()
  parentPort.postMessage('started')
  parentPort.ref()
`

const servers: ReturnType<typeof createServer>[] = []
// When the threads have ended, which would miss it.
afterAll(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

/** Counts the rows of each tenant, and the calls that it has at a time. */
async function startCounting() {
  const rows: Record<string, number> = {}
  let [running, most] = [0, 0]
  const server = createServer((request, response) => {
    const { tenant, rows: count } = request.headers
    most = Math.max(most, ++running)
    rows[`${tenant}`] = (rows[`${tenant}`] ?? 0) + Number(count)
    setTimeout(() => {
      running--
      response.end()
    }, 10)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { rows, most: () => most, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

describe('two workers with callers of different tenants', () => {
  it('give each its part of the rows, batches or not, and never more calls than there are places', async () => {
    const counted = await startCounting()
    const table = createLoadTable(8, 2)
    const backend = {
      ...{ id: 'b', slot: 0, generation: 1, url: counted.url, models: [], weight: 1 },
      ...{ concurrency: PLACES, state: 'ready', reason: '', readySince: 0 },
    }
    const state = createOutlierState(8)
    const tenant = (name: string, weight: number, rows: number, priority = 1) => ({
      share: { tenant: name, weight, priority, floor: 0 },
      rows,
    })
    const heavy = [tenant('heavy', 3, 8)]
    const others = [tenant('light', 1, 1), tenant('sheddable', 1, 1, 2)]
    for (const [at, tenants] of [heavy, others].entries()) {
      const data = { table: tableForWorker(table, at), state, backend, tenants, callers: CALLERS }
      await startThread(worker, data)
    }
    await sleep(500)
    // Callers that get no processor do not ask for more than there is: whatever else the machine does may spoil one measurement.
    await eventually(
      async () => {
        const before = { ...counted.rows }
        await sleep(2_000)
        const got = (name: string) => (counted.rows[name] ?? 0) - (before[name] ?? 0)
        const all = got('heavy') + got('light') + got('sheddable')
        expect(Math.abs(got('heavy') / all - 0.75)).toBeLessThan(0.02)
        expect(Math.abs(got('light') / all - 0.25)).toBeLessThan(0.02)
        expect(got('sheddable')).toBeGreaterThan(0)
      },
      { timeoutMs: 12_000 },
    )
    expect(counted.most()).toBe(PLACES)
  })
})
