/** A data worker whose event loop stands still: it is ended, another takes its place, and the others never stop. */
import { afterAll, expect, it } from 'vitest'
import { startBackend, summing } from '../support/backend.ts'
import { eventually } from '../support/eventually.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { INSPECTED, runInWorker } from '../support/inspector.ts'
import { instances, PREDICT, settings, TWO } from '../support/settings.ts'

const cleanup: (() => unknown)[] = []
afterAll(async () => {
  for (const clean of cleanup.toReversed()) await clean()
})

const happened = (gateway: RunningGateway, event: string) =>
  gateway.logs.filter((line) => line.event === event).length

it('a worker that loops for ever is replaced within seconds, and nobody else waits for it', async () => {
  const backend = await startBackend(summing)
  cleanup.push(() => backend.close())
  const gateway = await startGateway({ yaml: settings({ backends: [backend], server: TWO }), env: INSPECTED })
  cleanup.push(() => gateway.stop())
  await gateway.ready('main')
  await runInWorker(gateway.stderr, 'worker 1', 'setImmediate(() => { for (;;); })')
  const ends = { answered: 0, cut: 0 }
  let n = 0
  const calls = new Set<Promise<void>>()
  await eventually(
    () => {
      const call = gateway.post(PREDICT, instances(n++)).then(
        () => void ends.answered++,
        () => void ends.cut++,
      )
      calls.add(call)
      expect(happened(gateway, 'worker.hung')).toBe(1)
    },
    { timeoutMs: 30_000 },
  )
  await Promise.all(calls)
  // The system gave both the same share of the connections: half were answered while the other half hung.
  expect(ends.answered).toBeGreaterThan(0)
  expect(ends.cut).toBeGreaterThan(0)
  await eventually(() => expect(happened(gateway, 'worker.ready')).toBe(2), { timeoutMs: 15_000 })
  expect(await gateway.metric('infergate_worker_exits_total', { cause: 'hang' })).toBe(1)
  const after = await Promise.all(Array.from({ length: 100 }, (_, i) => gateway.post(PREDICT, instances(-i))))
  expect(after.filter(({ status }) => status !== 200)).toEqual([])
})
