/**
 * Load over real sockets: an open loop, in which calls are sent when they are due and not when there is room, or a
 * closed one. In the open loop latency counts from the time a call was due, so that a stall of the system
 * under test (or of ours) is charged to every call it held up.
 */
import { Agent, request } from 'node:http'

export interface LoadOptions {
  /** Where the calls go, with the path. */
  readonly url: string
  readonly body: (n: number) => string
  readonly headers?: Readonly<Record<string, string>>
  readonly durationMs: number
  /** Open loop: calls a second, evenly spaced. */
  readonly rate?: number
  /** Closed loop: callers that each send the next call when the last is answered. */
  readonly callers?: number
  /** Milliseconds until a call is given up. Default 10 s. */
  readonly timeoutMs?: number
}

export interface Sample {
  /** When it was due, in milliseconds from the start. */
  readonly at: number
  readonly ms: number
  /** 0: no answer. */
  readonly status: number
}

/** Runs the load to its end; resolves with every call, answered or not. */
export async function load(options: LoadOptions): Promise<Sample[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity, scheduling: 'lifo' })
  try {
    return options.rate === undefined ? await closed(options, agent) : await open(options, agent)
  } finally {
    agent.destroy()
  }
}

async function open(options: LoadOptions, agent: Agent): Promise<Sample[]> {
  const { rate = 1, durationMs } = options
  const began = performance.now()
  const calls: Promise<Sample>[] = []
  const total = Math.floor((rate * durationMs) / 1000)
  while (calls.length < total) {
    const elapsed = performance.now() - began
    while (calls.length < total && (calls.length * 1000) / rate <= elapsed) {
      const due = (calls.length * 1000) / rate
      calls.push(
        send(options, agent, calls.length).then((status) => ({ at: due, ms: since(began, due), status })),
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return Promise.all(calls)
}

async function closed(options: LoadOptions, agent: Agent): Promise<Sample[]> {
  const { callers = 1, durationMs } = options
  const began = performance.now()
  const samples: Sample[] = []
  let n = 0
  const caller = async () => {
    for (let at = since(began, 0); at < durationMs; at = since(began, 0)) {
      const status = await send(options, agent, n++)
      samples.push({ at, ms: since(began, at), status })
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return samples
}

const since = (began: number, at: number): number => performance.now() - began - at

function send(
  { url, body, headers: own, timeoutMs = 10_000 }: LoadOptions,
  agent: Agent,
  n: number,
): Promise<number> {
  return new Promise((resolve) => {
    const payload = body(n)
    const length = { 'content-length': Buffer.byteLength(payload) }
    const headers = { 'content-type': 'application/json', ...length, ...own }
    const sent = request(url, { method: 'POST', agent, headers })
    const late = setTimeout(() => sent.destroy(new Error('late')), timeoutMs)
    const end = (status: number) => {
      clearTimeout(late)
      resolve(status)
    }
    sent.on('error', () => end(0))
    sent.on('response', (response) => {
      response.on('error', () => end(0))
      response.on('end', () => end(response.statusCode ?? 0))
      response.resume()
    })
    sent.end(payload)
  })
}

export interface Summary {
  readonly calls: number
  readonly failed: number
  readonly perSecond: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** Of the calls that were due from `fromMs` on. Latencies in milliseconds, failed calls included. */
export function summarise(samples: readonly Sample[], fromMs = 0): Summary {
  const counted = samples.filter(({ at }) => at >= fromMs)
  const sorted = counted.map(({ ms }) => ms).sort((a, b) => a - b)
  const quantile = (q: number) =>
    round(sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0)
  const ends = counted.map(({ at, ms }) => at + ms)
  const good = counted.filter(({ status }) => status === 200).length
  const spanMs = Math.max(...ends, fromMs + 1) - fromMs
  return {
    calls: counted.length,
    failed: counted.length - good,
    perSecond: round((good * 1000) / spanMs),
    p50: quantile(0.5),
    p95: quantile(0.95),
    p99: quantile(0.99),
    max: quantile(1),
  }
}

export const round = (value: number): number => Math.round(value * 10) / 10
