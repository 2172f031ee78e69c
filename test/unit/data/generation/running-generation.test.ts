import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import type { Call } from '../../../../src/core/call.ts'
import { digestOf } from '../../../../src/core/key.ts'
import { Incoming } from '../../../../src/data/backend/incoming.ts'
import { RunningGeneration } from '../../../../src/data/generation/running-generation.ts'
import { Cancel } from '../../../../src/lib/cancel.ts'
import { generation, generationOf } from '../../../../src/protocol/openai/generation/generation.ts'
import type { Plan } from '../../../../src/protocol/protocol.ts'
import { eventually } from '../../../support/eventually.ts'

const PLAN = generationOf('chat').read({} as Call, Buffer.from('{"temperature":0,"stream":true}'), {
  seed: digestOf(''),
  split: false,
}) as Plan

function started(maxBytes: number) {
  let kept = 0
  const incoming = new Incoming({ pause() {}, resume() {}, abort() {} }, () => {})
  const running = new RunningGeneration({
    generation,
    plan: PLAN,
    reply: { status: 200, headers: ['x-request-id', 'a'], body: incoming },
    keptHeaders: [],
    maxBytes,
    keep: () => void kept++,
  })
  const join = () =>
    running.replyTo({ plan: PLAN, call: { signal: new Cancel() } }, false)?.body as AsyncIterable<Uint8Array>
  return { incoming, running, join, kept: () => kept }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

/** Waits until so few bytes are held: buffers are freed some time after the collection that finds them. */
async function expectHeld(atMost: number): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  await eventually(() => {
    collect()
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(atMost)
  })
}

it('holds no more of a hundred mebibytes than what is on its way, beside a reader that never reads', async () => {
  const { incoming, running, join, kept } = started(1 << 20)
  const idle = join()[Symbol.asyncIterator]()
  const first = idle.next()
  let read = 0
  const reading = (async () => {
    for await (const piece of join()) read += piece.length
  })()
  const piece = `data: {"choices":[{"index":0,"delta":{"content":"${'x'.repeat(64 << 10)}"}}],"usage":null}\n\n`
  const before = process.memoryUsage().arrayBuffers
  for (let i = 1; i <= 1600; i++) {
    incoming.push(Buffer.from(piece))
    await settled()
    if (i % 800 === 0) await expectHeld(before + (8 << 20))
  }
  incoming.end([])
  await reading
  expect(read).toBeGreaterThan(1600 * (64 << 10))
  await running.over
  expect(kept()).toBe(0)
  await first
  expect(Buffer.from((await idle.next()).value as Uint8Array).toString()).toContain('bytes behind')
})
