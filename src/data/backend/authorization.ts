/** Puts the gateway's own credential into the header fields of requests to a pool, in place of the caller's field. */
import { type BackendCredential, mayReceive } from '../../core/backend-credential.ts'
import type { RawPairs } from '../../core/call.ts'
import { FieldTable } from '../../core/fields.ts'
import type { BackendRequest } from './exchange.ts'

export class Authorization {
  readonly #credential: BackendCredential
  readonly #replaced: FieldTable<true>
  /** Whether the backend at a URL may have the credential. A pool has few URLs, and those of backends that left cost little. */
  readonly #granted = new Map<string, boolean>()
  /** The lists made last: those of a client repeat, and so does then the text that is made of them. */
  readonly #made = new WeakMap<RawPairs, RawPairs>()

  constructor(credential: BackendCredential) {
    this.#credential = credential
    this.#replaced = new FieldTable([[credential.header, true]])
  }

  /** The fields of the request as they are to be sent; undefined: its backend may not have the credential. */
  headers({
    url,
    method,
    headers,
  }: Pick<BackendRequest, 'url' | 'method' | 'headers'>): RawPairs | undefined {
    if (!this.#isGranted(url)) return undefined
    // The answer to a TRACE repeats what was sent (RFC 9110, section 9.3.8).
    if (method === 'TRACE') return this.#without(headers)
    let made = this.#made.get(headers)
    if (!made) {
      const { header, value } = this.#credential
      made = [...this.#without(headers), header, value]
      this.#made.set(headers, made)
    }
    return made
  }

  #isGranted(url: string): boolean {
    let granted = this.#granted.get(url)
    if (granted === undefined) {
      if (this.#granted.size >= MAX_URLS) this.#granted.clear()
      granted = mayReceive(url, this.#credential)
      this.#granted.set(url, granted)
    }
    return granted
  }

  #without(headers: RawPairs): string[] {
    const out: string[] = []
    for (let i = 0; i < headers.length; i += 2)
      if (!this.#replaced.get(headers[i] as string)) out.push(headers[i] as string, headers[i + 1] as string)
    return out
  }
}

const MAX_URLS = 4_096
