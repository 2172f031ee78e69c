/** A load on gateways that come and go: what was asked, and what was answered. */

import { type Answer, type Ask, ask } from '../../suite/ask.ts'
import { eventually } from '../../suite/eventually.ts'
import type { Gateway, GatewayOptions } from '../../suite/gateway.ts'
import type { Session } from '../../suite/session.ts'

/** A model multiplies by this. */
export const FACTOR = 2
/** Different inputs of every other call, which is a repeat. */
const INPUTS = 50
const PATIENCE = { timeoutMs: 60_000 }

/** One gateway after the other, with the same settings. */
export class Gateways {
  readonly #session: Session
  readonly #options: GatewayOptions
  #current: Gateway | undefined

  constructor(session: Session, options: GatewayOptions) {
    this.#session = session
    this.#options = options
  }

  async start(): Promise<void> {
    this.#current = await this.#session.gateway(this.#options)
  }

  async stop(): Promise<void> {
    const current = this.#current
    this.#current = undefined
    await current?.stop()
  }

  /** Rejects where none takes calls. */
  async ask(what: Ask): Promise<Answer> {
    if (!this.#current) throw new Error('there is no gateway')
    return ask(this.#current.url, what)
  }

  published = (files: number) => this.#counted('published', files)
  retried = (files: number) => this.#counted('retried', files)

  /** Resolves when the gateway that runs now has counted so many. */
  #counted(event: string, files: number): Promise<void> {
    const sample = new RegExp(
      `^infergate_prediction_log_files_total\\{[^}]*event="${event}"[^}]*\\} (\\d+)`,
      'm',
    )
    return eventually(async () => {
      const { body } = await ask(this.#current?.admin ?? '', { path: '/metrics' })
      const found = Number(sample.exec(body.toString())?.[1] ?? 0)
      if (found < files) throw new Error(`${found} of ${files} files ${event}`)
    }, PATIENCE)
  }
}

export interface Sent {
  readonly asked: string
  /** What was answered; undefined: nothing, because no gateway took the call or the connection broke. */
  readonly answered?: string
}

const CALLERS = 4
const PAUSE_MS = 20

/** Calls without an end, each with a number of its own. */
export class Load {
  readonly sent = new Map<string, Sent>()
  readonly #gateways: Gateways
  readonly #callers: Promise<void>[]
  #answered = 0
  #isStopped = false
  #wrong: string | undefined

  constructor(gateways: Gateways) {
    this.#gateways = gateways
    this.#callers = Array.from({ length: CALLERS }, () => this.#call())
  }

  /** Resolves when so many more were answered, all of them right. */
  async answers(more: number): Promise<void> {
    const wanted = this.#answered + more
    await eventually(() => {
      if (this.#wrong === undefined && this.#answered < wanted)
        throw new Error(`${this.#answered} of ${wanted}`)
    }, PATIENCE)
    if (this.#wrong !== undefined) throw new Error(this.#wrong)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#callers)
  }

  async #call(): Promise<void> {
    while (!this.#isStopped) {
      const number = this.sent.size
      const input = number % 2 === 0 ? number : number % INPUTS
      const id = `call-${number}`
      const asked = JSON.stringify({ instances: [input] })
      this.sent.set(id, { asked })
      const answer = await this.#gateways
        .ask({
          path: '/v1/models/times:predict',
          fields: { 'content-type': 'application/json', 'x-request-id': id },
          body: asked,
        })
        .catch(() => undefined)
      if (answer) this.#took(id, asked, answer, input)
      // No need to ask as fast as the machine can: Hadoop and Spark start beside it.
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  #took(id: string, asked: string, { status, body }: Answer, input: number): void {
    const answered = body.toString()
    const wanted = [input * FACTOR]
    const { predictions } = status === 200 ? (JSON.parse(answered) as { predictions?: unknown }) : {}
    if (JSON.stringify(predictions) !== JSON.stringify(wanted)) {
      this.#wrong ??= `${asked} was answered ${status}: ${answered}`
      return
    }
    this.sent.set(id, { asked, answered })
    this.#answered += 1
  }
}
