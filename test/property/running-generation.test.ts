/**
 * Callers who join a generation that runs and leave as they like: whoever stays reads all of it, in whatever pieces it came; who
 * leaves harms nobody; the last one to leave cancels the backend's work; what is not whole is not kept.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Call } from '../../src/core/call.ts'
import { GatewayError } from '../../src/core/errors.ts'
import { digestOf } from '../../src/core/key.ts'
import { Incoming } from '../../src/data/backend/incoming.ts'
import type { Entry } from '../../src/data/cache/entry.ts'
import { RunningGeneration } from '../../src/data/generation/running-generation.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { generation, generationOf } from '../../src/protocol/openai/generation/generation.ts'
import type { Plan } from '../../src/protocol/protocol.ts'

const scripts = fc.record({
  steps: fc.array(
    fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ kind: fc.constant('send' as const), bytes: fc.integer({ min: 1, max: 60 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('join' as const), wantsUsage: fc.boolean() }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('leave' as const), who: fc.nat(9) }) },
    ),
    { maxLength: 40 },
  ),
  line: fc.constantFrom('\n', '\r\n', '\r'),
  words: fc.array(fc.constantFrom('a', 'é', '😀 ', 'word ', '"'), { maxLength: 12 }),
  end: fc.constantFrom('whole', 'cut', 'dead'),
})

function planFor(wantsUsage: boolean): Plan {
  const body = { temperature: 0, stream: true, stream_options: { include_usage: wantsUsage } }
  const plan = generationOf('chat').read({} as Call, Buffer.from(JSON.stringify(body)), {
    seed: digestOf(''),
    split: false,
  })
  if ('bypass' in plan) throw new Error(plan.bypass)
  return plan
}

/** The events of a stream, each as it is written. */
function written(words: readonly string[], line: string): readonly string[] {
  const chunk = (more: object) => ({
    id: 'c',
    choices: [{ index: 0, delta: {}, finish_reason: null, ...more }],
  })
  const said = [
    ...words.map((content) => chunk({ delta: { content } })),
    chunk({ finish_reason: 'stop' }),
    { id: 'c', choices: [], usage: { prompt_tokens: 1, completion_tokens: words.length } },
  ]
  return [...said.map((one) => JSON.stringify(one)), '[DONE]'].map((data) => `data: ${data}${line}${line}`)
}

class Reader {
  text = ''
  hasLeft = false
  isOver = false
  readonly wantsUsage: boolean
  readonly #signal = new Cancel()

  constructor(running: RunningGeneration, wantsUsage: boolean) {
    this.wantsUsage = wantsUsage
    const reply = running.replyTo({ plan: planFor(wantsUsage), call: { signal: this.#signal } }, false)
    if (reply) void this.#read(reply.body as AsyncIterable<Uint8Array>)
  }

  leave(): void {
    this.hasLeft = true
    this.#signal.abort(new GatewayError('callerLeft', 'left'))
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of body) this.text += Buffer.from(piece).toString()
      this.isOver = true
    } catch {
      expect(this.hasLeft).toBe(true)
    }
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

it('a generation is one for all who read it, whoever comes and goes', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(scripts, async ({ steps, line, words, end }) => {
      let cancelled = 0
      const incoming = new Incoming({ pause() {}, resume() {}, abort: () => cancelled++ }, () => {})
      const keptEvents: string[] = []
      const running = new RunningGeneration({
        generation,
        plan: planFor(false),
        reply: { status: 200, headers: [], body: incoming },
        keptHeaders: [],
        clock: systemClock,
        askedAt: 0,
        measured() {},
        maxBytes: 1 << 20,
        keep: (events) => {
          keptEvents.push(Buffer.from(events).toString())
          return {} as Entry
        },
      })
      const events = written(words, line)
      const sent = end === 'whole' ? events : events.slice(0, -1)
      const text = Buffer.from(sent.join('') + (end === 'dead' ? 'data: {"half' : ''))
      const readers = [new Reader(running, false)]
      let at = 0
      for (const step of steps) {
        if (step.kind === 'send') {
          const piece = text.subarray(at, at + step.bytes)
          at += piece.length
          if (piece.length > 0 && cancelled === 0) incoming.push(piece)
        } else if (step.kind === 'join') {
          if (cancelled === 0) readers.push(new Reader(running, step.wantsUsage))
        } else readers[step.who]?.leave()
        await settled()
      }
      const isAbandoned = readers.every(({ hasLeft }) => hasLeft)
      expect(cancelled).toBe(isAbandoned ? 1 : 0)
      if (!isAbandoned) {
        if (at < text.length) incoming.push(text.subarray(at))
        if (end === 'dead') incoming.fail(new GatewayError('backendReset', 'gone'))
        else incoming.end([])
      }
      const entry = await running.over
      await settled()
      expect(keptEvents).toEqual(!isAbandoned && end === 'whole' ? [sent.join('')] : [])
      expect(entry === undefined).toBe(keptEvents.length === 0)
      for (const reader of readers) {
        if (reader.hasLeft) continue
        expect(reader.isOver).toBe(true)
        const shown = sent.filter((one) => reader.wantsUsage || !one.includes('usage')).join('')
        if (end !== 'dead') expect(reader.text).toBe(shown)
        else {
          expect(reader.text.startsWith(shown)).toBe(true)
          expect(reader.text.slice(shown.length)).toMatch(/^data: \{"error":\{"message":"gone".*\}\}\n\n$/)
        }
      }
    }),
    { numRuns: 300 },
  )
})
