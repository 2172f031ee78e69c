/** A queue towards a collector: bounded, in batches, and nothing waits for it. */
import { expect, it } from 'vitest'
import { ExportQueue } from '../../../src/obs/export-queue.ts'

function queueOf(send: (batch: readonly number[]) => Promise<boolean>) {
  const counts = { exported: 0, lost: 0 }
  const counted = (outcome: 'exported' | 'lost', items: number) => void (counts[outcome] += items)
  return { counts, queue: new ExportQueue<number>({ send, counted, delayMs: 3_600_000 }) }
}

it('sends what was added in order, and counts what was taken and what was not', async () => {
  const sent: number[] = []
  const { counts, queue } = queueOf(async (batch) => sent.push(...batch) !== 2)
  for (const one of [1, 2]) queue.add(one)
  await queue.flush()
  queue.add(3)
  await queue.flush()
  expect([sent, counts]).toEqual([[1, 2, 3], { exported: 1, lost: 2 }])
})

it('loses what does not fit while a collector is slow, and sends one batch at a time', async () => {
  const held = Promise.withResolvers<boolean>()
  let running = 0
  const { counts, queue } = queueOf(async () => {
    expect(++running).toBe(1)
    const isTaken = await held.promise
    running--
    return isTaken
  })
  for (let i = 0; i < 5000; i++) queue.add(i)
  expect(counts).toEqual({ exported: 0, lost: 5000 - 256 - 4096 })
  held.resolve(true)
  await queue.flush()
  expect(counts.exported).toBe(256 + 4096)
})
