/**
 * What a call costs the load tester: its own driver beside autocannon, both with a new body for each call, against a server that answers at
 * once from a process of its own. Counted is the processor time of the generators, whatever else runs; what two cores could make follows from it.
 *
 *   node bench/micro/load-generator.ts [ROUNDS] [SECONDS]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import type { DialectOptions } from '../../src/load-test/dialects/dialect.ts'
import { LoadTest, type LoadTestOptions } from '../../src/load-test/load-test.ts'
import { flat } from '../../src/load-test/profile.ts'
import { summarise } from '../../src/load-test/summary.ts'
import { median } from '../lib/stats.ts'

const BODY = '{"predictions":[[0.5]]}'
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\nCache-Status: infergate; hit; ttl=123; detail=memory\r\n\r\n${BODY}`,
)
const CONNECTIONS = 64
/** Held by the open loop, calls a second. */
const RATE = 5000

/** Small requests come in one piece each, since a connection has one at a time. */
function serve(): void {
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.on('data', () => socket.write(ANSWER))
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('disconnect', () => process.exit())
}

const dialect: DialectOptions = {
  protocol: 'tfserving',
  model: 'digits',
  rows: 1,
  overlap: 1,
  inputs: [{ name: 'image', datatype: 'FP32', shape: [64] }],
  headers: [],
  isHttp2: false,
  path: undefined,
  template: undefined,
  generation: { endpoint: 'chat', maxTokens: 1, temperature: 0, words: 1 },
}

interface Round {
  readonly us: number
  readonly perSecond: number
  readonly lateShare: number
}

async function round(url: string, seconds: number, subject: Partial<LoadTestOptions>): Promise<Round> {
  const durationMs = seconds * 1000
  const test = new LoadTest({
    urls: [url],
    plan: { kind: 'closed', durationMs },
    connections: CONNECTIONS,
    threads: 2,
    warmUpMs: 0,
    rounds: 1,
    dialect,
    keys: 1000,
    exponent: 1.1,
    seed: 1,
    timeoutMs: 5000,
    tls: undefined,
    streams: 10,
    driver: 'own',
    ...subject,
  })
  const before = process.cpuUsage()
  const { sides } = await test.run({ began: () => {}, progressed: () => {} })
  const { user, system } = process.cpuUsage(before)
  const [seen] = sides
  if (!seen) throw new Error('nothing was seen')
  const { calls, callsPerSecond, errorShare, generator } = summarise(seen)
  if (errorShare > 0) throw new Error('calls failed')
  return {
    us: (user + system) / calls,
    perSecond: callsPerSecond,
    lateShare: generator.late / generator.sent,
  }
}

async function measure(rounds: number, seconds: number): Promise<void> {
  const server = fork(import.meta.filename, ['--serve'])
  const [port] = (await once(server, 'message')) as [number]
  const url = `http://127.0.0.1:${port}`
  const rate = { kind: 'open', stages: [flat(RATE, seconds * 1000)], spacing: 'even' } as const
  const subjects: Readonly<Record<string, Partial<LoadTestOptions>>> = {
    'our own, closed loop': {},
    'autocannon, closed loop': { driver: 'autocannon' },
    [`our own, ${RATE} a second`]: { plan: rate, connections: 256 },
  }
  const found = new Map<string, Round[]>()
  for (let i = 0; i < rounds; i++)
    for (const [name, subject] of Object.entries(subjects))
      found.set(name, [...(found.get(name) ?? []), await round(url, seconds, subject)])
  for (const [name, all] of found) {
    const us = median(all.map((one) => one.us))
    const [perSecond, late] = [
      median(all.map((one) => one.perSecond)),
      median(all.map((one) => one.lateShare)),
    ]
    console.log(
      `${name.padEnd(24)} ${us.toFixed(1)} us of a core a call, the start of its threads included: two cores make ${Math.round(2e6 / us)} a second; seen ${Math.round(perSecond)}, ${(100 * late).toFixed(1)} % late`,
    )
  }
  server.disconnect()
}

if (process.argv[2] === '--serve') serve()
else {
  const [rounds = 3, seconds = 4] = process.argv.slice(2).map(Number)
  await measure(rounds, seconds)
  process.exit()
}
