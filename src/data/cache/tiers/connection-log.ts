/** Logs when a tier is connected, lost or refused, and when one of its several servers goes or returns; each change once. */
import type { Log } from '../../../core/log.ts'
import type { Tier } from './tier.ts'

export class ConnectionLog {
  readonly #tier: Tier
  readonly #log: Log
  #wasConnected: boolean
  #wasRefused: string | undefined
  #wasMissing: string | undefined

  constructor(tier: Tier, log: Log) {
    this.#tier = tier
    this.#log = log
    this.#wasConnected = tier.connected !== false
  }

  /** Logs what has changed since the last call. Returns whether the tier is connected now. */
  observe(): boolean {
    const connected = this.#tier.connected !== false
    if (connected !== this.#wasConnected || (!connected && this.#tier.refusal !== this.#wasRefused))
      this.#changed(connected)
    // While none is there, that is what has been said.
    const missing = connected ? this.#tier.missing : this.#wasMissing
    if (missing !== this.#wasMissing) this.#lacks(missing)
    return connected
  }

  #changed(connected: boolean): void {
    const { name: tier, refusal, trouble = 'not connected' } = this.#tier
    if (connected) this.#log.info('tier.connected', { tier })
    else if (refusal !== undefined) this.#log.warn('tier.refused', { tier, reason: refusal })
    else if (this.#wasConnected) this.#log.warn('tier.disconnected', { tier, reason: trouble })
    this.#wasConnected = connected
    this.#wasRefused = refusal
  }

  #lacks(missing: string | undefined): void {
    const { name: tier } = this.#tier
    if (missing === undefined) this.#log.info('tier.whole', { tier })
    else this.#log.warn('tier.partial', { tier, missing })
    this.#wasMissing = missing
  }
}
