/** Calls and answers for tests of the dialects, which know neither sockets nor clocks. */
import type { Call, RawPairs, Target } from '../core/call.ts'
import { type Digest, digestOf } from '../core/key.ts'
import type { Reply } from '../core/reply.ts'
import type { Plan, Protocol, Reading } from '../protocol/protocol.ts'

export const SEED: Digest = digestOf('tests')

export interface CallParts {
  readonly method?: string
  readonly path?: string
  readonly query?: string
  readonly headers?: RawPairs
  readonly target?: Target
}

export function callOf(body: Uint8Array, parts: CallParts = {}): Call {
  return {
    id: 'call-1',
    method: parts.method ?? 'POST',
    path: parts.path ?? '/',
    query: parts.query ?? '',
    headers: parts.headers ?? [],
    host: 'gateway.test',
    peer: '127.0.0.1',
    principal: '',
    target: parts.target ?? { verb: 'predict', model: 'm', prediction: true },
    body,
    deadline: Number.POSITIVE_INFINITY,
    signal: new AbortController().signal,
  }
}

export function bytes(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? Buffer.from(text) : text
}

/** What a dialect makes of a body, rows included. */
export function readingOf(protocol: Protocol, body: string | Uint8Array, parts: CallParts = {}): Reading {
  return protocol.read(callOf(bytes(body), parts), bytes(body), { seed: SEED, split: true })
}

/** The plan of a body that must be cacheable. */
export function planOf(protocol: Protocol, body: string | Uint8Array, parts: CallParts = {}): Plan {
  const reading = readingOf(protocol, body, parts)
  if ('bypass' in reading) throw new Error(`bypassed: ${reading.bypass}`)
  return reading
}

export function keyOf(protocol: Protocol, body: string | Uint8Array, parts: CallParts = {}): string {
  const reading = readingOf(protocol, body, parts)
  return 'bypass' in reading ? `bypass ${reading.bypass}` : reading.whole
}

export function replyOf(body: string | Uint8Array, headers: RawPairs = []): Reply & { body: Uint8Array } {
  return { status: 200, headers: ['content-type', 'application/json', ...headers], body: bytes(body) }
}

export function textOf(reply: Reply | undefined): string {
  if (!(reply?.body instanceof Uint8Array)) throw new Error('no reply with bytes')
  return Buffer.from(reply.body).toString('latin1')
}

/** A request of Triton's binary tensor extension: JSON, then blobs. */
export function binaryRequest(
  json: unknown,
  blobs: readonly Uint8Array[],
): { body: Buffer; headers: RawPairs } {
  const head = Buffer.from(JSON.stringify(json))
  return {
    body: Buffer.concat([head, ...blobs]),
    headers: ['Inference-Header-Content-Length', String(head.length)],
  }
}
