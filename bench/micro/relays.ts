/**
 * What it adds to an event of a generation that another worker passes it on: from the backend's bytes to a reader of the same
 * worker, and to one of another worker, of the same events.
 *
 *   node bench/micro/relays.ts [EVENTS] [MS_BETWEEN]
 */
import { setTimeout as pause } from 'node:timers/promises'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import type { Call } from '../../src/core/call.ts'
import { digestOf } from '../../src/core/key.ts'
import type { Reply } from '../../src/core/reply.ts'
import { Incoming } from '../../src/data/backend/incoming.ts'
import { type RelayRequest, relay } from '../../src/data/generation/relay.ts'
import { follow } from '../../src/data/generation/relayed-generation.ts'
import { RunningGeneration } from '../../src/data/generation/running-generation.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { generation, generationOf } from '../../src/protocol/openai/generation/generation.ts'
import type { Plan } from '../../src/protocol/protocol.ts'
import { median, quantile } from '../lib/stats.ts'

const EVENTS = Number(process.argv[2] ?? 2_000)
const MS_BETWEEN = Number(process.argv[3] ?? 2)

const PLAN = generationOf('chat').read({} as Call, Buffer.from('{"temperature":0,"stream":true}'), {
  seed: digestOf(''),
  split: false,
}) as Plan

function run(reply: Reply): RunningGeneration {
  return new RunningGeneration({
    generation,
    plan: PLAN,
    reply,
    keptHeaders: [],
    clock: systemClock,
    askedAt: 0,
    measured() {},
    maxBytes: 64 << 20,
    keep: () => undefined,
  })
}

/** Milliseconds that each event was under way, by the time that is in it. */
async function read(running: RunningGeneration): Promise<number[]> {
  const took: number[] = []
  const reply = running.replyTo({ plan: PLAN, call: { signal: new Cancel() } }, false) as Reply
  for await (const events of reply.body as AsyncIterable<Uint8Array>) {
    const at = performance.now()
    for (const [, sent] of Buffer.from(events)
      .toString()
      .matchAll(/"content":"([\d.]+)/g))
      took.push(at - Number(sent))
  }
  return took
}

async function lead(): Promise<void> {
  const incoming = new Incoming({ pause() {}, resume() {}, abort() {} }, () => {})
  const running = run({ status: 200, headers: [], body: incoming })
  const reading = read(running)
  const parts = { generations: { find: () => running }, flights: { join: () => undefined } }
  const followed = new Promise<void>((resolve) =>
    parentPort?.on('message', (request: RelayRequest) => {
      relay(parts, request)
      resolve()
    }),
  )
  parentPort?.postMessage('ready')
  await followed
  for (let i = 0; i < EVENTS; i++) {
    await pause(MS_BETWEEN)
    const delta = { content: `${performance.now()}` }
    const event = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1_700_000_000, model: 'm' }
    incoming.push(
      Buffer.from(
        `data: ${JSON.stringify({ ...event, choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`,
      ),
    )
  }
  incoming.push(Buffer.from('data: [DONE]\n\n'))
  incoming.end([])
  parentPort?.postMessage(await reading)
  parentPort?.close()
}

async function measure(): Promise<void> {
  const leader = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
  const next = () => new Promise<unknown>((resolve) => leader.once('message', resolve))
  await next()
  const relayed = await follow((_, request) => leader.postMessage(request, [request.port]), {
    digest: digestOf(''),
    waiter: { deadline: Number.POSITIVE_INFINITY, group: 0 },
    worker: 0,
    signal: new Cancel(),
  })
  if (!relayed) throw new Error('there is nothing to follow')
  const own = next() as Promise<number[]>
  const others = await read(run(relayed.reply))
  const all = { 'in the same worker': await own, 'in another worker': others }
  for (const [name, took] of Object.entries(all)) {
    const micros = took.slice(took.length / 10).map((ms) => ms * 1_000)
    const [half, most] = [median(micros), quantile(micros, 0.99)].map((us) => us.toFixed(0))
    console.log(`${name}: ${took.length} events, median ${half} µs, p99 ${most} µs`)
  }
}

await (isMainThread ? measure() : lead())
