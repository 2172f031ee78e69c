/** Backends that are asked how busy they are; real sockets. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeAll, expect, it } from 'vitest'
import type { Backend } from '../../src/core/backend.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import type { Permit, PermitRequest } from '../../src/data/backend/permit.ts'
import { BackendPool } from '../../src/data/backend/pool.ts'
import { HttpProber } from '../../src/data/backend/prober.ts'
import { createOutlierState } from '../../src/data/balance/outliers/outlier-state.ts'
import { createLoadTable } from '../../src/data/balance/table.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { eventually } from '../support/eventually.ts'

const cleanup: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanup.splice(0).toReversed()) await clean()
})

interface Asked {
  readonly backend: Backend
  readonly paths: readonly string[]
}

async function backend(slot: number, answer: (response: ServerResponse) => void): Promise<Asked> {
  const paths: string[] = []
  const server = createServer((request, response) => {
    paths.push(request.url ?? '')
    answer(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const known = { id: `b${slot}`, slot, generation: 1, url, models: [], weight: 1, readySince: 0 }
  return { backend: { ...known, state: 'ready', reason: '' }, paths }
}

function newClients(): Clients {
  const options = { connections: 4, connectTimeoutMs: 1_000, bodyTimeoutMs: 1_000, refuse: () => undefined }
  const clients = new Clients(options)
  cleanup.push(() => clients.close())
  return clients
}

function prober(asked: Asked) {
  const told: [number, number, number][] = []
  const at = (slot: number) => (slot === 0 ? asked.backend : undefined)
  const probes = new HttpProber({ clients: newClients(), clock: systemClock, path: '/probe', at })
  const sink = { answered: (...reading: [number, number, number]) => void told.push(reading) }
  return { told, probe: () => probes.probe(0, sink) }
}

const says =
  (text: string, status = 200) =>
  (response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(text)

/** The first request loads a client, for which the hundred milliseconds of a question may be too short here. */
beforeAll(async () => {
  const { backend: warm } = await backend(0, says('{}'))
  const { reply } = await newClients().send({
    url: warm.url ?? '',
    method: 'GET',
    target: '/',
    headers: [],
    body: undefined,
    contentLength: undefined,
    signal: new AbortController().signal,
    headTimeoutMs: 10_000,
  })
  expect(reply.status).toBe(200)
})

it('a backend is asked, one question at a time, and its answer is told', async () => {
  const asked = await backend(0, says('{"running": 3, "latencyMs": 8.4}'))
  const { probe, told } = prober(asked)
  for (let n = 0; n < 10; n++) probe()
  await eventually(() => expect(told).toEqual([[0, 3, 8.4]]))
  expect(asked.paths).toEqual(['/probe'])
  probe()
  await eventually(() => expect(told).toHaveLength(2))
})

it.each([
  ['does not know the path', says('{}', 404)],
  ['answers something else', says('{"running": "many"}')],
  ['answers no JSON', says('ready')],
  ['answers at length', says(' '.repeat(100_000))],
  ['does not answer', () => {}],
] as const)('a backend that %s is not asked again for a while, and nothing is told', async (_, answer) => {
  const asked = await backend(0, answer)
  const { probe, told } = prober(asked)
  probe()
  await eventually(() => expect(asked.paths).toHaveLength(1))
  const quick = await backend(0, says('{"running": 1}'))
  for (let n = 0; n < 5; n++) {
    probe()
    // On a busy machine a hundred milliseconds may not be enough, and a prober then asks no more: a new one does.
    await eventually(async () => {
      const other = prober(quick)
      other.probe()
      await eventually(() => expect(other.told).toHaveLength(1), { timeoutMs: 500 })
    })
  }
  expect(asked.paths).toHaveLength(1)
  expect(told).toEqual([])
})

it('prequal goes by what backends say of themselves', async () => {
  const busy = await backend(0, says('{"running": 40, "latencyMs": 5}'))
  const idle = await backend(1, says('{"running": 0, "latencyMs": 5}'))
  const pool = new BackendPool(
    {
      name: 'p',
      table: createLoadTable(2),
      state: createOutlierState(2),
      clients: newClients(),
      clock: systemClock,
      random: Math.random,
    },
    {
      policy: 'prequal',
      probePath: '/probe',
      retry: { max: 0, budget: {} },
      hedge: undefined,
      outlier: {},
      limit: { mode: 'declared' },
      queue: {},
      isFromZero: false,
    },
  )
  pool.apply({ pool: 'p', revision: 1, backends: [busy.backend, idle.backend] })
  const { signal } = new AbortController()
  const need: PermitRequest = {
    model: undefined,
    version: undefined,
    key: undefined,
    deadline: Infinity,
    signal,
  }
  const pick = (): string => {
    const seat = pool.enter(need, []) as Permit
    pool.leave(seat, 5, 'ok')
    return seat.backend.id
  }
  await eventually(() => expect(new Set(Array.from({ length: 20 }, pick))).toEqual(new Set(['b1'])), {
    // Who was too slow once is asked again after ten seconds.
    timeoutMs: 15_000,
  })
  expect(busy.paths.length).toBeGreaterThan(0)
})
