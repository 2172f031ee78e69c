/**
 * The fast door of an assembly, without a socket: a request is tried as a hit in memory first and served otherwise, as
 * `DoorConnection` does it, and what goes back is taken from the line. Tells which way has answered.
 */
import { header, type RawPairs } from '../../src/core/call.ts'
import type { Answered, Observer } from '../../src/core/observer.ts'
import { callersRequestId } from '../../src/core/request-id.ts'
import type { Client } from '../../src/data/auth/authenticator.ts'
import type { HeadNotes, HttpExchange } from '../../src/data/exchange/exchange.ts'
import { type KnownRequests, knownUnder } from '../../src/data/ingress/door/known-requests.ts'
import { FastRequest } from '../../src/data/ingress/door/request.ts'
import { TextAnswers } from '../../src/data/ingress/door/text-answers.ts'
import { serveStream } from '../../src/data/ingress/h2/serve-stream.ts'
import { Http2Stream } from '../../src/data/ingress/h2/stream.ts'
import type { Ingress } from '../../src/data/ingress/ingress.ts'
import { MAX_WINDOW } from '../../src/lib/http2/frames.ts'
import { Http2Line, http2Fields } from './http2-line.ts'
import { silentObserver } from './observer.ts'

export interface DoorRequest {
  readonly method: string
  readonly target: string
  readonly headers: RawPairs
  readonly body: Buffer
  /** Milliseconds that the caller allows; left out: it does not say. */
  readonly timeoutMs?: number | undefined
  /** Aborted when the client closes the connection. */
  readonly signal?: AbortSignal | undefined
}

export type AnsweredBy = 'memory hit' | 'refusal' | 'shared hit' | 'pipeline'

export interface DoorAnswer {
  readonly headers: RawPairs
  readonly text: string
  readonly answered: Answered
  readonly by: AnsweredBy
}

export class TestDoor {
  /** What the assembly has to tell, so that an answer is told together with its outcome. */
  readonly observer: Observer = {
    ...silentObserver,
    // Kept by nobody: a hit writes the next call into the same object.
    answered: (one) => this.#ending?.({ ...one, outcome: { ...one.outcome } }),
  }
  /** Of each head that came, as the door keeps them for a connection. */
  readonly #notes = new Map<string, HeadNotes>()
  #known: ((client: Client) => KnownRequests) | undefined
  /** Hears of the request that is ending in this very turn. */
  #ending: ((answered: Answered) => void) | undefined

  ask(ingress: Ingress, request: DoorRequest): Promise<DoorAnswer> {
    const { body, headers, signal } = request
    const line = new Line()
    const head = {
      method: request.method as 'POST',
      target: request.target,
      headers,
      host: '',
      notes: this.#notesOf(request),
      length: body.length,
      bytes: 0,
      text: '',
      requestId: callersRequestId(headers),
    }
    return new Promise((resolve) => {
      let by: AnsweredBy = 'memory hit'
      let isText = false
      // Errors of the pipeline's are written as text too.
      const byText = (answered: Answered) => (answered.fault === undefined ? 'shared hit' : 'pipeline')
      const answers = Object.assign(new TextAnswers(line), { requestId: head.requestId || line.mintId() })
      const ended = (answered: Answered) =>
        resolve({ ...line.read(request.method), answered, by: isText ? byText(answered) : by })
      this.#ending = ended
      const source = ingress.memoryHit.answer(head, [body], answers)
      if (source) return
      by = 'refusal'
      if (ingress.fastRefusal.answer(head, answers)) return
      this.#ending = undefined
      by = 'pipeline'
      const exchange = new FastRequest(line, head)
      exchange.take(body)
      const answerText = exchange.answerText.bind(exchange)
      exchange.answerText = (...args) => {
        isText = true
        answerText(...args)
      }
      this.#hearEnd(exchange, ended)
      ingress.serve(exchange)
      const leave = () => exchange.onAbort?.()
      if (signal?.aborted) leave()
      else signal?.addEventListener('abort', leave, { once: true })
    })
  }

  /** The same as a stream of HTTP/2, whose body comes in two pieces. */
  askHttp2(ingress: Ingress, request: DoorRequest): Promise<DoorAnswer> {
    const { body, signal } = request
    const line = new Http2Line()
    const raw = http2Fields(request)
    this.#known ??= knownUnder(ingress.live, 16_384)
    const { http2Heads } = this.#known(line)
    const head = http2Heads.find(raw)
    if ('malformed' in head) throw new Error(`malformed: ${head.malformed}`)
    return new Promise((resolve) => {
      let by: AnsweredBy = 'memory hit'
      const ended = (answered: Answered) => {
        const isRefusal = by === 'memory hit' && answered.fault !== undefined
        resolve({ ...line.read(request.method), answered, by: isRefusal ? 'refusal' : by })
      }
      this.#ending = ended
      const stream = new Http2Stream(1, head, {
        connection: line,
        fields: raw,
        mintId: () => 'id',
        isEnded: body.length === 0,
        sendWindow: MAX_WINDOW,
        receiveWindow: MAX_WINDOW,
      })
      const serve = (exchange: HttpExchange) => {
        by = 'pipeline'
        this.#ending = undefined
        this.#hearEnd(exchange, ended)
        ingress.serve(exchange)
      }
      serveStream(stream, () => http2Heads.forCall(raw, head), { ...ingress, serve })
      const leave = () => stream.aborted()
      if (signal?.aborted) leave()
      else signal?.addEventListener('abort', leave, { once: true })
      if (body.length === 0) return
      const middle = body.length >> 1
      for (const piece of [body.subarray(0, middle), body.subarray(middle)])
        stream.received(piece, piece.length)
      stream.remoteEnded()
    })
  }

  /** Whoever serves a request lets go of it (`onAbort`) in the turn in which it tells how the request ended. */
  #hearEnd(exchange: HttpExchange, ended: (answered: Answered) => void): void {
    let onAbort: (() => void) | undefined
    Object.defineProperty(exchange, 'onAbort', {
      get: () => onAbort,
      set: (run: (() => void) | undefined) => {
        onAbort = run
        this.#ending = run ? undefined : ended
      },
    })
  }

  #notesOf({ method, target, headers, timeoutMs }: DoorRequest): HeadNotes {
    const key = JSON.stringify([method, target, headers, timeoutMs])
    const notes = this.#notes.get(key) ?? (timeoutMs === undefined ? {} : { timeout: timeoutMs })
    this.#notes.set(key, notes)
    return notes
  }
}

/** The connection's end towards the client. */
class Line {
  readonly peer = '127.0.0.1'
  #head: string | undefined
  readonly #body: Buffer[] = []

  mintId(): string {
    return 'id'
  }

  connectionFields(): string {
    return 'Connection: keep-alive\r\n'
  }

  send(text: string, body?: Uint8Array): void {
    // What is sent later is the end of a chunked body.
    if (this.#head !== undefined) return
    const end = text.indexOf('\r\n\r\n') + 4
    this.#head = text.slice(0, end)
    this.#body.push(Buffer.from(text.slice(end), 'latin1'), Buffer.from(body ?? []))
  }

  readonly out = {
    pass: (chunk: Uint8Array) => this.#body.push(Buffer.from(chunk)) > 0,
    drained: async () => {},
    sendReady: (head: Uint8Array, id: string, body: Uint8Array | undefined) =>
      this.send(`${Buffer.from(head).toString('latin1')}${id}\r\n\r\n`, body),
  }

  answered(): void {}
  cut(): void {}
  pause(): void {}
  resume(): void {}

  read(method: string): Pick<DoorAnswer, 'headers' | 'text'> {
    const [, ...lines] = (this.#head ?? '').trimEnd().split('\r\n')
    const headers = lines.flatMap((line) => {
      const at = line.indexOf(': ')
      return [line.slice(0, at), line.slice(at + 2)]
    })
    const text = Buffer.concat(this.#body).toString()
    const length = header(headers, 'content-length')
    if (method !== 'HEAD' && length !== undefined && Number(length) !== Buffer.byteLength(text))
      throw new Error(`Content-Length is ${length}, and the body has ${Buffer.byteLength(text)} bytes`)
    return { headers, text }
  }
}
