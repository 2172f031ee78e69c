/**
 * Reads streams of the scripted backend, directly or through a server, and says how long their events were on their way: the first one
 * with the way of its request, the others by themselves. What the backend waits by its script is no part of it.
 *
 *   node bench/openai/streams.ts PORT SECONDS TEMPERATURE
 */
import { Agent, request } from 'node:http'
import { quantile } from '../lib/stats.ts'
import { microsNow } from './backend.ts'

/** Microseconds. */
export interface StreamTimes {
  readonly streams: number
  readonly firstP50: number
  readonly firstP99: number
  readonly betweenP50: number
}

const AT_A_TIME = 4
const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })
const firsts: number[] = []
const others: number[] = []
let streams = 0

/** `temperature`: 0 for a stream that is kept as it passes. */
function read(port: number, temperature: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const content = `prompt ${process.pid} ${++streams} ${microsNow()}`
  const body = JSON.stringify({
    model: 'm',
    temperature,
    stream: true,
    messages: [{ role: 'user', content }],
  })
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
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

async function reader(port: number, temperature: number, until: number): Promise<void> {
  while (performance.now() < until) await read(port, temperature)
}

if (import.meta.main) {
  const [port = 0, seconds = 0, temperature = 0] = process.argv.slice(2).map(Number)
  const until = performance.now() + seconds * 1000
  await Promise.all(Array.from({ length: AT_A_TIME }, () => reader(port, temperature, until)))
  agent.destroy()
  const times: StreamTimes = {
    streams,
    firstP50: quantile(firsts, 0.5),
    firstP99: quantile(firsts, 0.99),
    betweenP50: quantile(others, 0.5),
  }
  console.log(JSON.stringify(times))
}
