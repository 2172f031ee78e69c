/**
 * Reads streams of the scripted backend, directly or through a server, and says how long their events were on their way: the first one
 * with the way of its request, the others by themselves. What the backend waits by its script is no part of it.
 *
 * The readers are apart by a part of a stream, so that their requests do not wait for one another. `at-once`, for a warm-up: without the waits
 * of the script, so that code is compiled that would be after some hours of a few streams a second.
 *
 *   node bench/openai/streams.ts PORT SECONDS TEMPERATURE [at-once]
 */
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../lib/stats.ts'
import { AT_ONCE, microsNow } from './backend.ts'

/** Microseconds. */
export interface StreamTimes {
  readonly streams: number
  readonly firstP50: number
  readonly firstP99: number
  readonly betweenP50: number
}

const AT_A_TIME = 4
/** Between the begins of two readers. */
const APART_MS = 131
const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })
const firsts: number[] = []
const others: number[] = []
let streams = 0

interface Asked {
  readonly port: number
  /** 0 for a stream that is kept as it passes. */
  readonly temperature: number
  readonly isAtOnce?: boolean
}

function read({ port, temperature, isAtOnce = false }: Asked): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const content = `prompt ${process.pid} ${++streams} ${microsNow()}`
  const body = JSON.stringify({
    model: 'm',
    temperature,
    stream: true,
    messages: [{ role: 'user', content }],
  })
  const headers = {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...(isAtOnce && { [AT_ONCE]: '1' }),
  }
  const path = '/v1/chat/completions'
  const asked = request({ agent, host: '127.0.0.1', port, path, method: 'POST', headers }, (response) => {
    let isFirst = true
    let text = ''
    response.on('data', (piece: Buffer) => {
      const now = microsNow()
      text += piece.toString('latin1')
      const end = text.lastIndexOf('\n\n')
      if (end < 0) return
      for (const [, cameAt, sentAt] of text.slice(0, end).matchAll(/"content":"(\d+) (\d+) /g)) {
        const way = now - Number(sentAt)
        if (isFirst) firsts.push(way + Number(cameAt) - sentAtMicros)
        else others.push(way)
        isFirst = false
      }
      text = text.slice(end)
    })
    response.on('error', reject)
    response.on('end', () =>
      isFirst ? reject(new Error(`status ${response.statusCode}: ${text}`)) : resolve(),
    )
  })
  asked.on('error', reject)
  const sentAtMicros = microsNow()
  asked.end(body)
  return promise
}

async function reader(asked: Asked, at: number, until: number): Promise<void> {
  await sleep(at * APART_MS)
  while (performance.now() < until) await read(asked)
}

if (import.meta.main) {
  const [port = 0, seconds = 0, temperature = 0] = process.argv.slice(2, 5).map(Number)
  const asked = { port, temperature, isAtOnce: process.argv[5] === 'at-once' }
  const until = performance.now() + seconds * 1000
  await Promise.all(Array.from({ length: AT_A_TIME }, (_, at) => reader(asked, at, until)))
  agent.destroy()
  const times: StreamTimes = {
    streams,
    firstP50: quantile(firsts, 0.5),
    firstP99: quantile(firsts, 0.99),
    betweenP50: quantile(others, 0.5),
  }
  console.log(JSON.stringify(times))
}
