/**
 * The connection to the gateway: follows its events, connects again when that ends, and asks its API. The token is kept
 * in this module's memory alone: not in the URL, a cookie or any storage, so a reload asks for it again.
 */
import { readEvents } from './event-stream.ts'
import { plain } from './format.ts'

export type Link =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** Nothing has come since `at`, in milliseconds of `performance.now()`. */
  | { readonly state: 'lost'; readonly at: number; readonly why: string }
  | { readonly state: 'token needed' }
  | { readonly state: 'token refused'; readonly why: string }

export interface StreamListener {
  event(kind: string, data: unknown): void
  changed(link: Link): void
}

/** Something comes every second from a gateway that is well. */
const SILENT_MS = 2_500
const GIVE_UP_MS = 6_000
const RETRY_MS = [250, 500, 1_000, 2_000]
const CHECK_MS = 250
const ASK_MS = 15_000

/** An answer of the API that is no success, in its own words. */
export class ApiError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export class GatewayConnection {
  readonly #listener: StreamListener
  #token: string | undefined
  #link: Link = { state: 'connecting' }
  #heardAt = performance.now()
  #attempt = 0
  #abort = new AbortController()
  #isAsking = false

  constructor(listener: StreamListener) {
    this.#listener = listener
    setInterval(() => this.#check(), CHECK_MS)
  }

  get link(): Link {
    return this.#link
  }

  /** Milliseconds since anything came. */
  get silentMs(): number {
    return performance.now() - this.#heardAt
  }

  /** Connects, with a token where one is given; ends a connection that there is. */
  connect(token?: string): void {
    if (token !== undefined) this.#token = token
    this.#abort.abort()
    this.#abort = new AbortController()
    this.#set({ state: 'connecting' })
    void this.#follow(this.#abort)
  }

  /** Asks the API. Rejects with `ApiError`, or as `fetch` does. */
  async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(path, {
      method,
      headers: {
        ...this.#authorization(),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      cache: 'no-store',
      credentials: 'omit',
      signal: AbortSignal.timeout(ASK_MS),
    })
    const answer = await response.json().catch(() => undefined)
    if (!response.ok) throw new ApiError(response.status, detailOf(answer, response.status))
    return answer
  }

  async #follow(abort: AbortController): Promise<void> {
    const { signal } = abort
    let why = 'the gateway has closed the connection'
    this.#isAsking = true
    try {
      const response = await fetch('/api/v1/events', {
        headers: this.#authorization(),
        cache: 'no-store',
        credentials: 'omit',
        signal,
      })
      if (response.status === 401 || response.status === 403) return await this.#unauthorized(response)
      if (!response.ok || !response.body)
        throw new ApiError(
          response.status,
          detailOf(await response.json().catch(() => undefined), response.status),
        )
      this.#attempt = 0
      this.#isAsking = false
      this.#heard()
      await readEvents(response.body, {
        event: (kind, data) => this.#listener.event(kind, data),
        alive: () => this.#heard(),
      })
    } catch (error) {
      if (error instanceof ApiError) why = error.message
      else if (!signal.aborted) why = 'the gateway cannot be reached'
    } finally {
      this.#isAsking = false
    }
    // Another connection has taken the place of this one.
    if (this.#abort !== abort) return
    this.#lost(why)
    const wait = RETRY_MS[Math.min(this.#attempt++, RETRY_MS.length - 1)]
    setTimeout(() => {
      if (this.#abort === abort) void this.#follow((this.#abort = new AbortController()))
    }, wait)
  }

  async #unauthorized(response: Response): Promise<void> {
    const why = detailOf(await response.json().catch(() => undefined), response.status)
    const isRefused = this.#token !== undefined || response.status === 403
    this.#token = undefined
    this.#set(isRefused ? { state: 'token refused', why } : { state: 'token needed' })
  }

  #authorization(): Record<string, string> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }
  }

  #heard(): void {
    this.#heardAt = performance.now()
    if (this.#link.state !== 'live') this.#set({ state: 'live' })
  }

  #check(): void {
    if (this.#link.state === 'token needed' || this.#link.state === 'token refused') return
    const silent = this.silentMs
    if (silent > SILENT_MS && this.#link.state === 'live') this.#lost('nothing comes from the gateway')
    // A connection that hangs is given up; so is an attempt to make one.
    if (silent > GIVE_UP_MS && (this.#link.state === 'lost' || this.#isAsking)) {
      this.#heardAt = Math.max(this.#heardAt, performance.now() - SILENT_MS)
      this.#abort.abort()
    }
  }

  #lost(why: string): void {
    const at = this.#link.state === 'lost' ? this.#link.at : this.#heardAt
    this.#set({ state: 'lost', at, why })
  }

  #set(link: Link): void {
    this.#link = link
    this.#listener.changed(link)
  }
}

function detailOf(answer: unknown, status: number): string {
  const { detail, title } = (answer ?? {}) as { detail?: unknown; title?: unknown }
  return plain(detail ?? title ?? `the gateway answered ${status}`)
}
