/**
 * Relays generations to the other workers of the process: the worker that reads one from the backend (the leader) passes
 * its events to workers whose callers ask for the same. Each of them gets a channel of its own, so that it leaves by closing it,
 * and learns from its end that the leader has died. To the leader it is one more reader: a slow one is held up by itself alone,
 * and the backend's work is cancelled when the last reader of all workers has left.
 *
 *   follower → leader   RelayRequest, through the main thread; then the bytes that were read, as a number
 *   leader → follower   the head, pieces of events, how it ended; no head: there is nothing to follow
 */
import type { MessagePort } from 'node:worker_threads'
import type { RawPairs } from '../../core/call.ts'
import { type FaultCode, GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import { Cancel } from '../../lib/cancel.ts'
import { Condition } from '../../lib/condition.ts'
import { type Awaitable, subscribe } from '../../lib/deferred.ts'
import type { Entry } from '../cache/entry.ts'
import type { Waiter } from '../flight/flights.ts'
import type { GenerationTable } from './generation-table.ts'
import type { RelayedEvents, RunningGeneration } from './running-generation.ts'

/** Asks the worker that has the claim of a generation for its events. Plain data, and a port that is handed over. */
export interface RelayRequest {
  readonly digest: Digest
  readonly waiter: Waiter
  readonly port: MessagePort
}

export type RelayMessage =
  | Uint8Array
  | { readonly kind: 'head'; readonly status: number; readonly headers: RawPairs }
  /** All events were passed on. `entry`: what was kept of them, without its body; undefined: nothing. */
  | { readonly kind: 'end'; readonly entry: RelayedEntry | undefined }
  | { readonly kind: 'failure'; readonly code: FaultCode; readonly message: string }

export type RelayedEntry = Omit<Entry, 'body'> & { readonly body: undefined }

/** The most bytes that are on their way to a follower: many reports of what was read, so that only a slow one uses it up. */
export const WINDOW_BYTES = 1 << 20

/** What a load lands with, as far as relays are concerned. */
interface Landed {
  readonly kind: string
  readonly generation?: RunningGeneration
}

export interface RelayParts {
  readonly generations: Pick<GenerationTable, 'find'>
  readonly flights: {
    join(digest: Digest, waiter: Waiter): { wait(signal: Cancel): Awaitable<Landed> } | undefined
  }
}

/** Answers a request of another worker: with the generation that runs here, or the one that the backend is being asked for. */
export function relay({ generations, flights }: RelayParts, { digest, waiter, port }: RelayRequest): void {
  const left = new Cancel()
  port.on('close', () => left.abort(LEFT))
  port.unref()
  const running = generations.find(digest)
  if (running) return send(running, port, left)
  const flight = flights.join(digest, waiter)
  if (!flight) return port.close()
  subscribe(flight.wait(left), {
    onValue: ({ generation }) => (generation ? send(generation, port, left) : port.close()),
    // The follower has left.
    onError: () => port.close(),
  })
}

function send(generation: RunningGeneration, port: MessagePort, left: Cancel): void {
  const relayed = generation.relayed()
  if (!relayed) return port.close()
  const { status, headers } = relayed
  port.postMessage({ kind: 'head', status, headers } satisfies RelayMessage)
  void sendEvents(relayed, port, left)
    .then(async () => ended(await generation.over), failed)
    .then((end) => {
      port.postMessage(end)
      port.close()
    })
}

async function sendEvents({ events }: RelayedEvents, port: MessagePort, left: Cancel): Promise<void> {
  const changed = new Condition()
  const window = { bytes: WINDOW_BYTES }
  port.on('message', (read: number) => {
    window.bytes += read
    changed.notify()
  })
  left.addEventListener('abort', () => {
    events.leave()
    changed.notify()
  })
  for await (const piece of events) {
    // Cloning a view would clone all of the buffer that it lies in.
    const bytes = new Uint8Array(piece)
    window.bytes -= bytes.length
    port.postMessage(bytes, [bytes.buffer])
    while (window.bytes <= 0 && !left.aborted) await changed.wait()
  }
}

function ended(entry: Entry | undefined): RelayMessage {
  return { kind: 'end', entry: entry && { ...entry, body: undefined } }
}

function failed(error: unknown): RelayMessage {
  if (error instanceof GatewayError) return { kind: 'failure', code: error.code, message: error.message }
  return { kind: 'failure', code: 'internal', message: 'the gateway failed on this call' }
}

const LEFT = new Error('the other worker has left')
