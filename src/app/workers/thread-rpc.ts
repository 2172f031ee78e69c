/**
 * Remote procedure calls between threads over a message port: each side registers handlers by name and calls those of
 * the other. Notifications are handled in the order in which they are sent; a call is answered within its timeout, or
 * rejects. Only plain data passes; an error arrives as one of the same kind, with its code.
 */
import type { Transferable } from 'node:worker_threads'
import { FAULTS, type FaultCode, GatewayError } from '../../core/errors.ts'
import type { Clock } from '../../lib/clock.ts'

type RpcHandlers<T> = {
  readonly [K in keyof T]: T[K] extends (argument: infer A) => infer R
    ? (argument: A) => R | Promise<R>
    : never
}
type Argument<F> = F extends (argument: infer A) => unknown ? A : never
type RpcResult<F> = F extends (argument: never) => infer R ? R : never

type Message =
  | { readonly kind: 'call'; readonly name: string; readonly argument: unknown; readonly id?: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly error: SerializedError }

interface SerializedError {
  readonly message: string
  readonly fault?: FaultCode
  /** The fields of a listener's error: code, address, port. */
  readonly facts: Readonly<Record<string, unknown>>
}

interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** A MessagePort, or the Worker at its other end. */
interface MessageEndpoint {
  postMessage(message: unknown, transfer: Transferable[]): void
  on(event: 'message', listener: (message: Message) => void): unknown
}

/** `Ours`: the procedures of this side; `Theirs`: those of the other side. */
export class ThreadRpc<Theirs, Ours> {
  readonly #port: MessageEndpoint
  readonly #clock: Clock
  readonly #pending = new Map<number, PendingCall>()
  #handlers: Readonly<Record<string, (argument: unknown) => unknown>> = {}
  #lastId = 0
  #ended: Error | undefined

  constructor(port: MessageEndpoint, clock: Clock) {
    this.#port = port
    this.#clock = clock
  }

  /** Registers the handlers and begins to receive; until then messages queue in their order. */
  handle(handlers: RpcHandlers<Ours>): void {
    this.#handlers = handlers
    this.#port.on('message', (message: Message) => void this.#receive(message))
  }

  get isEnded(): boolean {
    return this.#ended !== undefined
  }

  /** `transfer`: buffers and ports of the argument that are handed over instead of copied. */
  notify<K extends keyof Theirs & string>(
    name: K,
    argument: Argument<Theirs[K]>,
    transfer: Transferable[] = [],
  ): void {
    this.#post({ kind: 'call', name, argument }, transfer)
  }

  /** Rejects where there is no answer within `ms`, or the other side ends first. */
  call<K extends keyof Theirs & string>(
    name: K,
    argument: Argument<Theirs[K]>,
    ms: number,
  ): Promise<RpcResult<Theirs[K]>> {
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended)
      const id = ++this.#lastId
      const settle = (act: () => void) => {
        cancel()
        this.#pending.delete(id)
        act()
      }
      const cancel = this.#clock.after(ms, () =>
        settle(() => reject(new Error(`no answer to ${name} within ${ms} ms`))),
      )
      this.#pending.set(id, {
        resolve: (value) => settle(() => resolve(value as RpcResult<Theirs[K]>)),
        reject: (error) => settle(() => reject(error)),
      })
      this.#post({ kind: 'call', name, argument, id })
    })
  }

  /** Called when the other side has ended: rejects all pending calls with the reason. */
  end(error: Error): void {
    this.#ended ??= error
    for (const call of [...this.#pending.values()]) call.reject(error)
  }

  async #receive(message: Message): Promise<void> {
    if (message.kind === 'answer') return this.#pending.get(message.id)?.resolve(message.value)
    if (message.kind === 'failure')
      return this.#pending.get(message.id)?.reject(deserializeError(message.error))
    const { name, argument, id } = message
    const handler = this.#handlers[name]
    if (id === undefined) return void handler?.(argument)
    try {
      if (!handler) throw new Error(`nobody here offers ${name}`)
      const value = await handler(argument)
      this.#post({ kind: 'answer', id, value })
    } catch (error) {
      this.#post({ kind: 'failure', id, error: serializeError(error) })
    }
  }

  #post(message: Message, transfer: Transferable[] = []): void {
    if (!this.#ended) this.#port.postMessage(message, transfer)
  }
}

function serializeError(error: unknown): SerializedError {
  if (error instanceof GatewayError) return { message: error.message, fault: error.code, facts: {} }
  const { message, code, port, address } = error as NodeJS.ErrnoException & {
    port?: number
    address?: string
  }
  return { message: message ?? String(error), facts: { code, port, address } }
}

function deserializeError({ message, fault, facts }: SerializedError): Error {
  if (fault !== undefined && fault in FAULTS) return new GatewayError(fault, message)
  const known = Object.entries(facts).filter(([, value]) => value !== undefined)
  return Object.assign(new Error(message), Object.fromEntries(known))
}
