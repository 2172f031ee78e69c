/**
 * What real servers said over gRPC, played back byte for byte: the gateway sends them what their client sent, its clients
 * read what they said, and what it promises to keep it keeps. `npm run interop -- --record` makes the files.
 */
import { globSync, readFileSync } from 'node:fs'
import http2, { type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeBytes, type WireCall, type WireCallsFile } from '../../interop/suite/wire.ts'
import { type CallPlayback, startCallPlayback } from '../support/call-playback.ts'
import { type RunningGateway, startGateway } from '../support/gateway.ts'

const FOLDER = join(import.meta.dirname, '..', 'golden', 'wire')

let playback: CallPlayback
let gateway: RunningGateway
let client: ClientHttp2Session

beforeAll(async () => {
  playback = await startCallPlayback()
  gateway = await startGateway({
    yaml: {
      server: { workers: 1 },
      pools: { upstream: { backends: [{ grpc: playback.url }] } },
      routes: [{ name: 'all', pool: 'upstream', cache: { rows: 'never' } }],
    },
  })
  await gateway.ready('upstream')
  client = http2.connect(gateway.url)
})
afterAll(() => {
  client.close()
  playback.close()
})

interface Answered {
  /** Those of the head where it has the status. */
  readonly trailers: Readonly<Record<string, unknown>>
  readonly body: Buffer
  readonly cache: string
}

function ask({ path, fields, sent }: WireCall): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ':method': 'POST', ':path': path, ...fields })
    const pieces: Buffer[] = []
    let head: IncomingHttpHeaders = {}
    let trailers: IncomingHttpHeaders = {}
    stream.on('response', (given) => (head = given))
    stream.on('trailers', (given: IncomingHttpHeaders) => (trailers = given))
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('error', reject)
    stream.on('close', () =>
      resolve({
        trailers: 'grpc-status' in head ? head : trailers,
        body: Buffer.concat(pieces),
        cache: String(head['cache-status']),
      }),
    )
    stream.end(decodeBytes(sent))
  })
}

/** What the server said, as its client reads it. */
function said({ received: { fields, body, trailers } }: WireCall): Omit<Answered, 'cache'> {
  const { 'grpc-status': status, 'grpc-message': message } = fields
  return {
    trailers: status === undefined ? trailers : { 'grpc-status': status, 'grpc-message': message },
    body: decodeBytes(body),
  }
}

for (const path of globSync('*/grpc/*.json', { cwd: FOLDER }).sort()) {
  const { software, calls } = JSON.parse(readFileSync(join(FOLDER, path), 'utf8')) as WireCallsFile
  describe(`${path.replace('.json', '')}: ${Object.entries(software).flat().join(' ')}`, () => {
    for (const call of calls) {
      test(`${call.name}, first and again`, async () => {
        // Another may be equal in meaning.
        await gateway.ask('/api/v1/cache/purge', { method: 'POST', body: { all: true } })
        playback.play(call)
        expect(await ask(call)).toMatchObject(said(call))
        expect(playback.played).toEqual([{ path: call.path, body: decodeBytes(call.sent) }])
        const again = await ask(call)
        expect(again).toMatchObject(said(call))
        expect(again.cache.startsWith('infergate; hit')).toBe(call.again === 'hit')
        expect(playback.played).toHaveLength(call.again === 'hit' ? 1 : 2)
      })
    }
  })
}
