import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import {
  claimSlot,
  createLoadTable,
  forgetWorker,
  inflightOf,
  tableForWorker,
} from '../../../../src/data/balance/table.ts'

/** A data worker that begins `calls` calls at each slot and ends all but one of them. */
const source = `
  import { parentPort, workerData } from 'node:worker_threads'
  const { beginCall, endCall } = await import(workerData.module)
  const { table, calls } = workerData
  for (let slot = 0; slot < table.slots; slot++) {
    for (let call = 0; call < calls; call++) {
      const incarnation = beginCall(table, slot)
      if (call > 0) endCall(table, slot, incarnation)
    }
  }
  parentPort.postMessage(performance.timeOrigin)
  parentPort.ref()
  setInterval(() => {}, 1e6)
`

/** A data worker that takes a place and leaves it, `calls` times; `seen`: [running now, the most at a time, taken]. */
const racing = `
  import { parentPort, workerData } from 'node:worker_threads'
  const { takePlace, endCall } = await import(workerData.module)
  const { table, seen, calls } = workerData
  Atomics.add(seen, 3, 1)
  while (Atomics.load(seen, 3) < table.workers - 1);
  for (let call = 0; call < calls; call++) {
    const incarnation = takePlace(table, 0)
    if (incarnation === 0) continue
    const running = Atomics.add(seen, 0, 1) + 1
    if (running > Atomics.load(seen, 1)) Atomics.store(seen, 1, running)
    Atomics.add(seen, 2, 1)
    Atomics.sub(seen, 0, 1)
    endCall(table, 0, incarnation)
  }
  parentPort.postMessage('done')
`

describe('a load table shared by worker threads', () => {
  const workers: Worker[] = []
  const start = async (worker: number, table = createLoadTable(8, 3)) => {
    const module = new URL('../../../../src/data/balance/table.ts', import.meta.url).href
    const workerData = { module, table: tableForWorker(table, worker), calls: 20_000 }
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`)
    const thread = new Worker(url, { workerData })
    workers.push(thread)
    const [origin] = await once(thread, 'message')
    return { thread, origin }
  }

  afterEach(async () => {
    await Promise.all(workers.splice(0).map((thread) => thread.terminate()))
  })

  it('counts exactly while threads count at the same time, and forgets a dead one', async () => {
    const table = createLoadTable(8, 3)
    const threads = await Promise.all([start(1, table), start(2, table)])
    for (let slot = 0; slot < 8; slot++) expect(inflightOf(table, slot)).toBe(2)
    await threads[0]?.thread.terminate()
    forgetWorker(table, 1)
    for (let slot = 0; slot < 8; slot++) expect(inflightOf(table, slot)).toBe(1)
  })

  it('gives the last place of a backend to one thread only, however they race for it', async () => {
    const table = createLoadTable(8, 3)
    claimSlot(table, 0, 7)
    table.limit[0] = 1
    const seen = new Int32Array(new SharedArrayBuffer(16))
    const module = new URL('../../../../src/data/balance/table.ts', import.meta.url).href
    const url = new URL(`data:text/javascript,${encodeURIComponent(racing)}`)
    const ends = [1, 2].map((worker) => {
      const workerData = { module, table: tableForWorker(table, worker), seen, calls: 100_000 }
      const thread = new Worker(url, { workerData })
      workers.push(thread)
      return once(thread, 'message')
    })
    await Promise.all(ends)
    const [running, most, taken] = seen
    expect({ running, most, left: inflightOf(table, 0) }).toEqual({ running: 0, most: 1, left: 0 })
    expect(taken).toBeGreaterThan(1_000)
  })

  it('has times that mean the same in every thread', async () => {
    expect((await start(1)).origin).toBe(performance.timeOrigin)
  })
})
