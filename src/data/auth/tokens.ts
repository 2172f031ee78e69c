/**
 * Tokens of all issuers. One that was seen costs a look-up; a new one is verified once, however many calls bring it, and
 * only so many are verified at a time.
 */
import type { Digest } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import { withTimeout } from '../../lib/with-timeout.ts'
import type { Issuer } from './issuer.ts'
import { loadJose } from './jose.ts'
import { type Checked, INVALID, type Refusal, UNCHECKED, UNKNOWN } from './proof.ts'

/** New tokens that are verified or wait for it. */
const MAX_PENDING = 256
const VERIFY_MS = 2_000
/** Longer texts are no tokens. */
const MAX_LENGTH = 8192
/** The compact form of a signed token (RFC 7515, section 7.1). */
const SIGNED = /^[\w-]+\.[\w-]+\.[\w-]+$/

export class Tokens {
  readonly #issuers: readonly Issuer[]
  readonly #clock: Clock
  readonly #pending = new Map<Digest, Promise<Checked>>()

  constructor(issuers: readonly Issuer[], clock: Clock) {
    this.#issuers = issuers
    this.#clock = clock
  }

  check(text: string, digest: Digest): Checked | Promise<Checked> {
    for (const issuer of this.#issuers) {
      const known = issuer.known(digest)
      if (known) return known
    }
    if (this.#issuers.length === 0 || text.length > MAX_LENGTH || !SIGNED.test(text)) return STRANGE
    const pending = this.#pending.get(digest)
    if (pending) return pending
    if (this.#pending.size >= MAX_PENDING) return { refusal: UNCHECKED, until: 0 }
    const checking = this.#verified(text, digest).finally(() => this.#pending.delete(digest))
    this.#pending.set(digest, checking)
    return checking
  }

  #verified(text: string, digest: Digest): Promise<Checked> {
    const fallback: Checked = { refusal: UNCHECKED, until: 0 }
    const verifying = this.#verify(text, digest).catch(() => fallback)
    return withTimeout(this.#clock, verifying, { ms: VERIFY_MS, fallback })
  }

  async #verify(text: string, digest: Digest): Promise<Checked> {
    const jose = await loadJose()
    const token = jose.decode(text)
    if (!token) return STRANGE
    let last: Checked = { refusal: INVALID, until: 0 }
    for (const issuer of this.#issuers) {
      if (issuer.settings.issuer !== token.claims['iss']) continue
      last = await issuer.verify(jose, { ...token, text, digest })
      if (!('refusal' in last)) return last
    }
    return last
  }
}

const STRANGE: Refusal = { refusal: UNKNOWN, until: Number.POSITIVE_INFINITY }
