/**
 * What the two ends of a call cost, without what lies between: a request read and answered by either door, and a
 * request passed on by undici or by our own client. Interleaved rounds under wrk, a core each for server and load.
 *
 *   node bench/micro/hops.ts [ROUNDS] [SECONDS] [BODY_BYTES]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { header } from '../../src/core/call.ts'
import { silentLog } from '../../src/core/log.ts'
import type { Observer } from '../../src/core/observer.ts'
import { Clients } from '../../src/data/backend/clients.ts'
import { createIngress } from '../../src/data/ingress/ingress.ts'
import { listen } from '../../src/data/ingress/server.ts'
import { createRouter, type RouteCache } from '../../src/data/route/routes.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { after } from '../../src/lib/deferred.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import { instant } from '../lib/backends.ts'
import { freePort, listening, type Pinned, SERVER_CORE, start, stopAll } from '../lib/process.ts'
import { startServer } from '../lib/servers.ts'
import { median } from '../lib/stats.ts'
import { load, loadScript } from '../lib/wrk.ts'

const SUBJECTS = {
  'http door, answered here': { fastDoor: false, client: 'none' },
  'fast door, answered here': { fastDoor: true, client: 'none' },
  'fast door, passed on by undici': { fastDoor: true, client: 'undici' },
  'fast door, passed on by our client': { fastDoor: true, client: 'own' },
} as const

const nobody: Observer = {
  answered() {},
  attempted() {},
  failed() {},
  retried() {},
  fellBack() {},
  hedged() {},
  waited() {},
  tier() {},
  splitting() {},
  rows() {},
  generated() {},
  charged() {},
}

async function serve(subject: keyof typeof SUBJECTS, port: number, backendPort: number): Promise<void> {
  const { fastDoor, client } = SUBJECTS[subject]
  const wheel = new Wheel(systemClock)
  const options = { connections: 64, connectTimeoutMs: 1000, bodyTimeoutMs: 60_000, refuse: () => undefined }
  const clients = client === 'none' ? undefined : new Clients(options, client === 'own' ? wheel : undefined)
  const stock = { status: 200, headers: ['Content-Type', 'application/json'], body: Buffer.alloc(300, 97) }
  // Any policy will do: it only says that the body is wanted whole.
  const cache = { rows: 'never', maxEntryBytes: 1e6 } as RouteCache
  const route = { name: 'all', match: {}, protocols: [opaque], pool: 'p', timeout: 60_000, pure: true, cache }
  const live = { route: createRouter([route]), maxBodyBytes: 1e8 }
  const ingress = createIngress({
    live: () => live,
    answer(call) {
      if (!clients) return { reply: stock, outcome: { kind: 'none' } }
      const exchange = clients.send({
        url: `http://127.0.0.1:${backendPort}`,
        method: call.method,
        target: call.path + call.query,
        headers: ['content-type', header(call.headers, 'content-type') ?? 'application/json'],
        body: call.body,
        contentLength: undefined,
        signal: call.signal,
        headTimeoutMs: 60_000,
      })
      return after(exchange, ({ reply }) => {
        const { body } = reply
        if (body instanceof Uint8Array) return { reply: { ...reply, body }, outcome: { kind: 'none' } }
        return body
          .collect(1e6)
          .then(({ bytes }) => ({ reply: { ...reply, body: bytes }, outcome: { kind: 'none' } }))
      })
    },
    observer: nobody,
    log: silentLog,
    clock: systemClock,
    wheel,
    mintId: () => 'id',
  })
  const limits = {
    headerTimeoutMs: 10_000,
    bodyTimeoutMs: 30_000,
    keepAliveTimeoutMs: 65_000,
    maxHeaderBytes: 16_384,
  }
  await listen({ host: '127.0.0.1', port, maxConnections: 10_000, fastDoor, wheel, ...limits }, ingress)
}

const urlOf = (port: number): string => `http://127.0.0.1:${port}/v1/models/bench:predict`

interface Running {
  readonly name: string
  readonly url: string
  readonly server: Pinned
  readonly perSecond: number[]
  readonly micros: number[]
}

async function measure(rounds: number, seconds: number, bytes: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'infergate-hops-'))
  try {
    const backend = await instant(folder)
    const running: Running[] = []
    for (const name of Object.keys(SUBJECTS)) {
      const port = await freePort()
      const args = [import.meta.filename, '--serve', name, String(port), String(backend.port)]
      const server = start({ core: SERVER_CORE, command: process.execPath, args })
      running.push({ name, url: urlOf(port), server, perSecond: [], micros: [] })
      await listening(port, server)
    }
    const peer = await startServer('nginx proxy_pass', {
      folder,
      backendPort: backend.port,
      cores: String(SERVER_CORE),
      bodyBytes: bytes,
      cacheMiB: 64,
      rows: 'auto',
      nodeArgs: [],
    })
    const proxy = { name: 'nginx proxy_pass', url: peer.url, server: peer.processes[0] as Pinned }
    running.push({ ...proxy, perSecond: [], micros: [] })
    const script = loadScript(folder, 'hops', { kind: 'cycle', bytes, distinct: 100 })
    for (let round = -1; round < rounds; round++)
      for (const { url, server, perSecond, micros } of running) {
        const before = server.cpuMicros()
        const { requests, seconds: took, errors } = await load({ script, url, connections: 64, seconds })
        if (errors > 0) throw new Error(`${errors} errors`)
        // The first round is for the compilers.
        if (round < 0) continue
        perSecond.push(requests / took)
        micros.push((server.cpuMicros() - before) / requests)
      }
    console.table(
      running.map(({ name, perSecond, micros }) => ({
        name,
        'requests/s': Math.round(median(perSecond)),
        'CPU µs': Number(median(micros).toFixed(1)),
      })),
    )
  } finally {
    await stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
}

const [first, ...rest] = process.argv.slice(2)
if (first === '--serve') await serve(rest[0] as keyof typeof SUBJECTS, Number(rest[1]), Number(rest[2]))
else await measure(Number(first ?? 5), Number(rest[0] ?? 2), Number(rest[1] ?? 200))
