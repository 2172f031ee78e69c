/** Lines of one thread on their way to the log: in batches, bounded, and those to be shown among them. */
import { expect, it } from 'vitest'
import {
  type CallBatch,
  CallOutbox,
  MAX_QUEUED_CHARS,
  settleBatch,
} from '../../../../src/data/calls/call-outbox.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

function outboxOf() {
  const clock = new FakeClock()
  const queued = new Int32Array(new SharedArrayBuffer(4))
  const sent: CallBatch[] = []
  let lost = 0
  const outbox = new CallOutbox({
    clock,
    queued,
    send: (batch) => void sent.push(batch),
    lost: () => void lost++,
  })
  return { clock, queued, sent, outbox, lost: () => lost }
}

it('sends what came within a tenth of a second together, in order', () => {
  const { clock, sent, outbox, queued } = outboxOf()
  outbox.add('a', false)
  outbox.add('bc', true)
  expect(sent).toEqual([])
  clock.advance(100)
  expect(sent).toEqual([{ lines: ['a', 'bc'], notable: [0, 1], traced: [] }])
  expect(queued[0]).toBe(3)
  settleBatch(queued, sent[0] as CallBatch)
  expect(queued[0]).toBe(0)
  clock.advance(1000)
  expect(sent).toHaveLength(1)
})

it('sends many at once, and the rest when it is flushed', () => {
  const { sent, outbox } = outboxOf()
  for (let i = 0; i < 66; i++) outbox.add('x'.repeat(1024), false)
  expect(sent).toHaveLength(1)
  outbox.flush()
  expect(sent.map(({ lines }) => lines.length)).toEqual([64, 2])
})

it('shows some of an interval, and keeps places for what is odd', () => {
  const { clock, sent, outbox } = outboxOf()
  for (let i = 0; i < 100; i++) outbox.add('a', false)
  for (let i = 0; i < 100; i++) outbox.add('b', true)
  clock.advance(100)
  const [{ lines, notable } = { lines: [], notable: [] }] = sent
  expect(notable.map((at) => lines[at]).join('')).toBe('a'.repeat(10) + 'b'.repeat(10))
})

it('drops and counts what nobody takes', () => {
  const { sent, outbox, queued, lost } = outboxOf()
  const line = 'x'.repeat(1 << 20)
  for (let i = 0; i < 20; i++) outbox.add(line, false)
  expect([sent.length, lost(), queued[0]]).toEqual([16, 4, MAX_QUEUED_CHARS])
  settleBatch(queued, sent[0] as CallBatch)
  outbox.add(line, false)
  expect([sent.length, lost()]).toEqual([17, 4])
})
