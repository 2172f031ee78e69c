/** A generation that another worker of the process reads from the backend, as its events arrive here. See `relay.ts`. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { GatewayError } from '../../core/errors.ts'
import type { Digest } from '../../core/key.ts'
import type { Reply } from '../../core/reply.ts'
import type { Signal } from '../../lib/cancel.ts'
import { Incoming } from '../backend/incoming.ts'
import type { Entry } from '../cache/entry.ts'
import type { Waiter } from '../flight/flights.ts'
import { type RelayedEntry, type RelayMessage, type RelayRequest, WINDOW_BYTES } from './relay.ts'

export interface RelayedGeneration {
  readonly reply: Reply
  /** What the leader has kept of all events; undefined: nothing, or they have not all come. */
  keep(events: Uint8Array): Entry | undefined
}

/** Passes a request on to the worker with this number; closes its port where there is no such worker. */
export type RequestRelay = (worker: number, request: RelayRequest) => void

interface Following {
  readonly digest: Digest
  readonly waiter: Waiter
  /** The number of the leader. */
  readonly worker: number
  /** Aborted when nobody waits any more. */
  readonly signal: Signal
}

/** Resolves with the head's arrival; undefined: that worker has nothing to follow. Rejects with the signal's reason. */
export function follow(
  requestRelay: RequestRelay,
  { digest, waiter, worker, signal }: Following,
): Promise<RelayedGeneration | undefined> {
  const { port1, port2 } = new MessageChannel()
  requestRelay(worker, { digest, waiter, port: port2 })
  return new Promise((resolve, reject) => {
    const leave = () => {
      port1.close()
      reject(signal.reason)
    }
    if (signal.aborted) return leave()
    signal.addEventListener('abort', leave, { once: true })
    const begun = (generation: RelayedGeneration | undefined) => {
      signal.removeEventListener('abort', leave)
      resolve(generation)
    }
    receive(port1, begun)
  })
}

/** Calls `begun` with the head, or with undefined where the channel ends before it. */
function receive(port: MessagePort, begun: (generation: RelayedGeneration | undefined) => void): void {
  let kept: RelayedEntry | undefined
  const keep = (events: Uint8Array) => kept && { ...kept, body: events }
  const events = new RelayReceiver(port)
  port.on('message', (message: RelayMessage) => {
    if (message instanceof Uint8Array) return events.push(message)
    if (message.kind === 'head') {
      const { status, headers } = message
      return begun({ reply: { status, headers, body: events.body }, keep })
    }
    if (message.kind === 'failure') return events.body.fail(new GatewayError(message.code, message.message))
    kept = message.entry
    events.body.end([])
  })
  port.on('close', () => {
    begun(undefined)
    events.body.fail(new GatewayError('internal', 'the worker that received the answer has ended'))
  })
  port.unref()
}

/** The events that have come and were not read yet: no more than the leader's window, and what the body queues. */
class RelayReceiver {
  readonly body: Incoming
  readonly #port: MessagePort
  /** Bytes that have come and of which the leader was not told. */
  #untold = 0
  #isPaused = false

  constructor(port: MessagePort) {
    this.#port = port
    this.body = new Incoming(
      {
        pause: () => {
          this.#isPaused = true
        },
        resume: () => {
          this.#isPaused = false
          this.#tell()
        },
        abort: () => port.close(),
      },
      () => {},
    )
  }

  push(events: Uint8Array): void {
    this.#untold += events.length
    this.body.push(events)
    if (!this.#isPaused && this.#untold > WINDOW_BYTES / 16) this.#tell()
  }

  #tell(): void {
    this.#port.postMessage(this.#untold)
    this.#untold = 0
  }
}
