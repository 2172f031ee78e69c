/**
 * What a miss costs on a route, bounded by what is usual there: a backend that is slow for a minute must not make the answers
 * of that minute look dear for as long as they are kept.
 */
import type { Clock } from '../../lib/clock.ts'

/** The usual cost follows what is measured within some minutes. */
const MEMORY_MS = 600_000
/** The first misses count alike, up to so many; then none moves the usual cost by more than a part. */
const FIRST = 16
/** A cost is at most so many times the usual one, and at least that part of it. */
const SPAN = 16

interface Usual {
  /** The logarithm of milliseconds. */
  log: number
  count: number
  at: number
}

export class TypicalCosts {
  readonly #clock: Pick<Clock, 'now'>
  /** By the settings of a route's cache: a reload makes new ones, and the old are collected. */
  readonly #usual = new WeakMap<object, Usual>()

  constructor(clock: Pick<Clock, 'now'>) {
    this.#clock = clock
  }

  /** Takes what a miss has cost, in milliseconds, and returns what it is to count as. */
  bounded(route: object, ms: number): number {
    const log = Math.log(Math.max(0.001, ms))
    const now = this.#clock.now()
    const usual = this.#usual.get(route)
    if (!usual) {
      this.#usual.set(route, { log, count: 1, at: now })
      return ms
    }
    if (usual.count < FIRST) usual.count++
    const recent = 1 - Math.exp((usual.at - now) / MEMORY_MS)
    const weight = usual.count < FIRST ? 1 / usual.count : Math.min(1 / FIRST, recent)
    usual.log += weight * (log - usual.log)
    usual.at = now
    const middle = Math.exp(usual.log)
    return Math.max(middle / SPAN, Math.min(middle * SPAN, ms))
  }
}
