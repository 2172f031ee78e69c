/**
 * One of the several servers of a tier: its connection, and a circuit breaker of its own. A server that is away, slow or
 * silent costs its own keys and nothing else: what it fails at counts neither against the other servers nor the tier.
 */
import { systemClock } from '../../../lib/clock.ts'
import { Breaker } from './breaker.ts'
import type { ReconnectingConnection } from './reconnecting-connection.ts'
import { isLate } from './remote.ts'
import { Away } from './tier.ts'

/** Of the tier's time, what one of its servers has: the others' values must be out before the time is up. */
const NODE_SHARE = 0.75
/** As the guard of a tier counts slowness. */
const SLOW = 0.8

export class TierNode<C> {
  readonly link: ReconnectingConnection<C>
  readonly #breaker = new Breaker({ clock: systemClock, random: Math.random, onChange: () => {} })

  constructor(link: ReconnectingConnection<C>) {
    this.link = link
  }

  /** Whether the server would be asked now. */
  get isUp(): boolean {
    return this.link.isUp && !this.#breaker.isHeld
  }

  /** As `ReconnectingConnection.run`; rejects with Away where the server fails to answer in time, or is not asked. */
  async run<T>(operation: Parameters<typeof this.link.run<T>>[0]): Promise<T> {
    const ticket = this.link.isUp ? this.#breaker.admit() : undefined
    if (ticket === undefined) throw new Away(this.link.isUp ? 'it is too slow' : this.link.trouble)
    const began = performance.now()
    const ms = operation.ms * NODE_SHARE
    try {
      const value = await this.link.run({ ...operation, ms })
      this.#breaker.record(ticket, performance.now() - began > ms * SLOW ? 'slow' : 'ok')
      return value
    } catch (error) {
      const isSilent = isLate(error)
      // A connection that ended tells nothing of the next one, and an error that the server reports is an answer.
      if (isSilent) this.#breaker.record(ticket, 'error')
      else this.#breaker.record(ticket, this.link.isUp ? 'ok' : 'cut')
      if (isSilent || !this.link.isUp) throw new Away((error as Error).message)
      throw error
    }
  }
}
