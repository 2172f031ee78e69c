/**
 * What a unary call over HTTP/2 costs the one who calls: by node:http2 alone, and by the gateway's client. An echo
 * of BODY_BYTES with trailers, 64 calls at a time, interleaved rounds. Counted is the time of the CPU, whatever else runs.
 *
 *   node bench/micro/http2-client.ts [ROUNDS] [CALLS] [BODY_BYTES]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import http2, { type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { BackendRequest, BackendResponse } from '../../src/data/backend/exchange.ts'
import { Http2Client } from '../../src/data/backend/http2-client.ts'
import { collected } from '../../src/data/backend/incoming.ts'
import { Cancel } from '../../src/lib/cancel.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Wheel } from '../../src/lib/wheel.ts'
import { median } from '../lib/stats.ts'

const CONCURRENCY = 64
const TARGET = '/inference.GRPCInferenceService/ModelInfer'
const FIELDS = ['content-type', 'application/grpc', 'user-agent', 'bench']

/** One call; resolves when its answer has been read. */
type CallOnce = (body: Buffer) => Promise<void>

function serve(): void {
  const server = http2.createServer()
  server.on('stream', (incoming) => {
    const stream = incoming as ServerHttp2Stream
    const pieces: Buffer[] = []
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
      stream.end(Buffer.concat(pieces))
    })
  })
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.on('disconnect', () => process.exit())
}

async function bare(url: string): Promise<CallOnce> {
  const session = http2.connect(url)
  await once(session, 'connect')
  session.unref()
  const head = {
    ':method': 'POST',
    ':path': TARGET,
    te: 'trailers',
    ...Object.fromEntries([FIELDS.slice(0, 2), FIELDS.slice(2)]),
  }
  return (body) =>
    new Promise((resolve, reject) => {
      const stream = session.request(head)
      const pieces: Buffer[] = []
      let status: string | undefined
      stream.on('data', (piece: Buffer) => pieces.push(piece))
      stream.on('trailers', (trailers) => (status = trailers['grpc-status'] as string))
      stream.on('error', reject)
      stream.on('end', () => {
        if (Buffer.concat(pieces).length !== body.length || status !== '0') reject(new Error('not the echo'))
        else resolve()
      })
      stream.end(body)
    })
}

function ours(url: string): CallOnce {
  const options = { connections: 1, connectTimeoutMs: 1000, bodyTimeoutMs: 60_000, refuse: () => undefined }
  const client = new Http2Client(options, new Wheel(systemClock))
  return async (body) => {
    const request: BackendRequest = {
      url,
      transport: 'grpc',
      method: 'POST',
      target: TARGET,
      headers: FIELDS,
      body,
      contentLength: undefined,
      signal: new Cancel(),
      headTimeoutMs: 10_000,
    }
    const { reply }: BackendResponse = await client.send(request, request.headers)
    const { bytes } = await collected(reply.body, 1e9)
    if (bytes.length !== body.length || reply.trailers?.()[1] !== '0') throw new Error('not the echo')
  }
}

/** Microseconds of the CPU a call. */
async function round(call: CallOnce, calls: number, body: Buffer): Promise<number> {
  let left = calls
  const before = process.cpuUsage()
  const chain = async () => {
    while (left-- > 0) await call(body)
  }
  await Promise.all(Array.from({ length: CONCURRENCY }, chain))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / calls
}

async function measure(rounds: number, calls: number, bytes: number): Promise<void> {
  const server = fork(import.meta.filename, ['--serve'])
  const [port] = (await once(server, 'message')) as [number]
  const url = `http://127.0.0.1:${port}`
  const body = Buffer.alloc(bytes, 1)
  const subjects = { 'node:http2 alone': await bare(url), 'our client': ours(url) }
  const micros = new Map<string, number[]>()
  for (let i = 0; i <= rounds; i++) {
    for (const [name, call] of Object.entries(subjects)) {
      const us = await round(call, calls, body)
      // The first round warms up.
      if (i > 0) micros.set(name, [...(micros.get(name) ?? []), us])
    }
  }
  for (const [name, all] of micros) {
    const us = median(all)
    console.log(
      `${name.padEnd(18)} ${us.toFixed(1)} us of a core a call, ${Math.round(1e6 / us)} calls a second`,
    )
  }
  server.disconnect()
}

if (process.argv[2] === '--serve') serve()
else {
  const [rounds = 5, calls = 20_000, bytes = 1024] = process.argv.slice(2).map(Number)
  await measure(rounds, calls, bytes)
  process.exit()
}
