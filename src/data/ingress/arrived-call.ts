/** Makes a `Call` of one request at a door. What depends on the head alone is computed once a head. */
import type { Body, Call, RawPairs, Target } from '../../core/call.ts'
import type { CallRecord } from '../../core/call-record.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import type { TenantShare } from '../../core/tenant-share.ts'
import { Cancel, type Signal } from '../../lib/cancel.ts'
import type { HttpExchange } from '../exchange/exchange.ts'
import { callerTimeout } from '../http/deadlines.ts'
import { endToEnd } from '../http/headers.ts'
import { principalOf } from '../key/meaning.ts'
import type { Rewrite } from '../route/rewrite.ts'
import { isOpen, type Matched } from '../route/routes.ts'

/** Its signal is made on first use: a hit needs none. */
export class ArrivedCall implements Call {
  readonly method: string
  path: string
  askedPath: string | undefined = undefined
  readonly query: string
  readonly headers: RawPairs
  readonly host: string
  readonly principal: string
  readonly identity: Identity | undefined
  readonly share: TenantShare | undefined
  readonly record: CallRecord | undefined
  target: Target
  deadline: number
  body: Body = NOTHING
  isUpgrade = false
  readonly #exchange: HttpExchange
  #cancel: Cancel | undefined
  #reason: GatewayError | undefined

  constructor(
    exchange: HttpExchange,
    { route, target }: Matched,
    { deadline, record }: { readonly deadline: number; readonly record: CallRecord | undefined },
  ) {
    const { notes } = exchange
    this.method = exchange.method
    this.path = notes.path ?? ''
    this.query = notes.query ?? ''
    this.headers = fieldsOf(exchange)
    this.host = notes.host ?? exchange.host
    notes.principal ??= principalOf(this.headers)
    this.principal = notes.principal
    this.identity = notes.identity
    this.share = notes.share
    this.target = target
    this.deadline = deadline
    this.record = record
    this.#exchange = exchange
    if (route.rewrite) this.#rewrite(route.rewrite)
  }

  get id(): string {
    return this.#exchange.requestId
  }

  get peer(): string {
    return this.#exchange.peer
  }

  get signal(): Signal {
    if (!this.#cancel) {
      this.#cancel = new Cancel()
      if (this.#reason) this.#cancel.abort(this.#reason)
    }
    return this.#cancel
  }

  /** Sets what depends on the route once the body has named the model, which settles it. */
  settle({ route, target }: Matched, deadline: number): void {
    this.target = target
    this.deadline = deadline
    this.path = this.#exchange.notes.path ?? ''
    this.askedPath = undefined
    if (route.rewrite) this.#rewrite(route.rewrite)
  }

  #rewrite(rewrite: Rewrite): void {
    const asked = this.path
    const path = rewrite.path(asked) ?? asked
    if (path === asked) return
    this.path = path
    this.askedPath = asked
  }

  abort(reason: GatewayError): void {
    this.#reason ??= reason
    this.#cancel?.abort(reason)
  }
}

const NOTHING = new Uint8Array(0)

/** The end-to-end fields; computed once a head. */
export function fieldsOf({ headers, notes }: HttpExchange): RawPairs {
  notes.headers ??= endToEnd(headers)
  return notes.headers
}

/** The milliseconds that the caller allows; computed once a head. */
export function timeoutOf(exchange: HttpExchange): number {
  const { notes } = exchange
  notes.timeout ??= callerTimeout(fieldsOf(exchange)) ?? Number.POSITIVE_INFINITY
  return notes.timeout
}

/** While the body has not named the model, the call has the longest timeout of its candidate routes. */
export function longestTimeout(matched: Matched): number {
  return isOpen(matched)
    ? Math.max(...matched.candidates.map(({ route }) => route.timeout))
    : matched.route.timeout
}
