/** Sends the questions of a load test through the gateway's own clients and counts how each ended. */
import { header, type RawPairs } from '../core/call.ts'
import { GatewayError } from '../core/errors.ts'
import { Clients } from '../data/backend/clients.ts'
import type { BackendResponse } from '../data/backend/exchange.ts'
import type { Incoming } from '../data/backend/incoming.ts'
import type { Signal } from '../lib/cancel.ts'
import { type Listener, subscribe } from '../lib/deferred.ts'
import type { ClientTls } from '../lib/tls/material.ts'
import type { Wheel } from '../lib/wheel.ts'
import { isGrpc } from '../protocol/grpc/fields.ts'
import { statusOf } from '../protocol/grpc/status.ts'
import { cacheUse } from './cache-use.ts'
import type { Question } from './question.ts'
import type { CallEnd, CallFault } from './tally.ts'
import { MAX_ANSWER_BYTES, tokensOf, WrittenAnswer } from './written-answer.ts'

export interface AskerOptions {
  /** Of the server, with a path before all targets or without. */
  readonly url: string
  /** Until the head of the answer, and the longest silence behind it. */
  readonly timeoutMs: number
  readonly tls: ClientTls | undefined
  /** Calls at a time on one connection of HTTP/2. */
  readonly streams: number
  /** The answers are written by models, and their tokens are counted. */
  readonly countsTokens: boolean
}

/** Hears how a call ended. */
export type OnCallEnd = (end: CallEnd) => void

export class Asker {
  readonly #options: AskerOptions
  /** Each has one connection of HTTP/2. Over HTTP/1.1 the first is for all calls, with a connection for each. */
  readonly #lanes: readonly Clients[]
  #turn = 0

  /** `callers`: calls that are made at a time. */
  constructor(options: AskerOptions, callers: number, wheel: Wheel) {
    this.#options = options
    const { timeoutMs, tls, streams } = options
    const lanes = Math.max(1, Math.ceil(callers / streams))
    const client = {
      // Calls at a time are bounded by who asks, and a connection that rests behind an error must not hold up the next call.
      connections: Number.POSITIVE_INFINITY,
      connectTimeoutMs: Math.min(timeoutMs, MAX_CONNECT_MS),
      bodyTimeoutMs: timeoutMs,
      tls,
      refuse: () => undefined,
    }
    this.#lanes = Array.from({ length: lanes }, () => new Clients(client, wheel))
  }

  /** `beganMs`: monotonic milliseconds from which the latency counts. `signal` gives the call up, which is then not counted as an error. */
  ask(question: Question, beganMs: number, signal: Signal, ended: OnCallEnd): void {
    const { url, timeoutMs, countsTokens } = this.#options
    const lane = question.transport === 'grpc' ? this.#turn++ % this.#lanes.length : 0
    const { method, target, headers, body, transport } = question
    const request = { url, method, target, headers, body, transport, signal }
    const sent = { ...request, contentLength: undefined, headTimeoutMs: timeoutMs }
    const listener = new AskedCall(question, { beganMs, countsTokens }, ended)
    subscribe((this.#lanes[lane] as Clients).send(sent), listener)
  }

  async close(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.close()))
  }
}

const MAX_CONNECT_MS = 5000

interface Counting {
  readonly beganMs: number
  readonly countsTokens: boolean
}

class AskedCall implements Listener<BackendResponse> {
  readonly #question: Question
  readonly #counting: Counting
  readonly #ended: OnCallEnd

  constructor(question: Question, counting: Counting, ended: OnCallEnd) {
    this.#question = question
    this.#counting = counting
    this.#ended = ended
  }

  onValue({ reply, at = performance.now() }: BackendResponse): void {
    const { body } = reply
    if (body instanceof Uint8Array) this.#whole(reply, body, at)
    else void this.#read(reply, body)
  }

  onError(error: unknown): void {
    this.#failed(faultOf(error), performance.now())
  }

  #whole(reply: BackendResponse['reply'], body: Uint8Array, at: number): void {
    if (!this.#counting.countsTokens) return this.#answered(reply, body.length, at)
    if (!isEvents(reply.headers)) {
      const written = { firstUs: undefined, betweenUs: [], tokens: tokensOf(body) }
      return this.#answered(reply, body.length, at, written)
    }
    const written = new WrittenAnswer(this.#counting.beganMs)
    written.push(body, at)
    this.#wrote(reply, written, body.length, at)
  }

  async #read(reply: BackendResponse['reply'], body: Incoming): Promise<void> {
    const { countsTokens, beganMs } = this.#counting
    const isStream = countsTokens && isEvents(reply.headers)
    const written = isStream ? new WrittenAnswer(beganMs) : undefined
    const pieces: Uint8Array[] = []
    let bytes = 0
    try {
      for await (const piece of body) {
        bytes += piece.length
        written?.push(piece, performance.now())
        if (!countsTokens || isStream) continue
        if (bytes > MAX_ANSWER_BYTES) throw new RangeError('the answer is too long')
        pieces.push(piece)
      }
    } catch (error) {
      return this.#failed(faultOf(error), performance.now(), bytes)
    }
    const at = performance.now()
    if (written) return this.#wrote(reply, written, bytes, at)
    if (!countsTokens) return this.#answered(reply, bytes, at)
    const tokens = tokensOf(Buffer.concat(pieces))
    this.#answered(reply, bytes, at, { firstUs: undefined, betweenUs: [], tokens })
  }

  #wrote(reply: BackendResponse['reply'], written: WrittenAnswer, bytes: number, at: number): void {
    if (written.hasError) this.#failed('stream-error', at, bytes)
    else this.#answered(reply, bytes, at, written.times())
  }

  #answered(
    { status, headers, trailers, body }: BackendResponse['reply'],
    bytes: number,
    at: number,
    written?: CallEnd['written'],
  ): void {
    const { rows } = this.#question
    const grpc = isGrpc(headers) ? grpcStatus({ status, headers, body, trailers }) : undefined
    const isError = status >= 300 || (grpc !== undefined && grpc !== 'OK')
    this.#ended({
      us: (at - this.#counting.beganMs) * 1000,
      status: grpc === undefined ? String(status) : `grpc ${grpc}`,
      fault: undefined,
      isError,
      rows,
      bytes,
      cache: isError ? undefined : cacheUse(headers, rows),
      written: isError ? undefined : written,
    })
  }

  #failed(fault: CallFault, at: number, bytes = 0): void {
    const us = (at - this.#counting.beganMs) * 1000
    const { rows } = this.#question
    this.#ended({
      us,
      status: undefined,
      fault,
      isError: true,
      rows,
      bytes,
      cache: undefined,
      written: undefined,
    })
  }
}

function isEvents(headers: RawPairs): boolean {
  return header(headers, 'content-type')?.startsWith('text/event-stream') === true
}

interface GrpcReply {
  readonly status: number
  readonly headers: RawPairs
  readonly body: Incoming | Uint8Array
  readonly trailers: (() => RawPairs) | undefined
}

/** The body has been read, so a status that is not there does not come any more. */
function grpcStatus({ status, headers, trailers }: GrpcReply): string {
  return statusOf({ status, headers, body: NOTHING, ...(trailers && { trailers }) }) ?? 'UNKNOWN'
}

const NOTHING = new Uint8Array(0)

/** A fault of the gateway's client in a load tester's words. */
function faultOf(error: unknown): CallFault {
  return (error instanceof GatewayError ? KINDS[error.code] : undefined) ?? 'other'
}

const KINDS: Readonly<Record<string, CallFault>> = {
  backendTimeout: 'timeout',
  deadline: 'timeout',
  backendRefused: 'refused',
  backendReset: 'reset',
  backendGarbled: 'garbled',
  backendUntrusted: 'tls',
  backendTls: 'tls',
  overloaded: 'client-limit',
}
