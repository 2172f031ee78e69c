/**
 * What an answer says that it has cost (`usage`), shared out among its rows, and added up again. An answer of one row says it of
 * that row; an answer of several says it of all together, and each has a share by the length of its input. The shares of whole
 * numbers are whole, and add up to what was said: what is asked for again as it was is told the same.
 */

import type { Stretch } from '../json/span.ts'
import { latin1 } from './members.ts'

/** A `usage` without its numbers: the text before, between and behind them. */
export type UsagePattern = readonly string[]

export interface StatedUsage {
  readonly pattern: UsagePattern
  readonly numbers: readonly number[]
}

const NUMBER = /"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/gs

/** `place`: where it is written in an answer; undefined: it says nothing of it. */
export function readUsage(body: Uint8Array, place: Stretch | undefined): StatedUsage {
  if (!place) return { pattern: [], numbers: [] }
  const text = latin1(body, place.start, place.end)
  const pattern: string[] = []
  const numbers: number[] = []
  let at = 0
  for (const match of text.matchAll(NUMBER)) {
    const [, number] = match
    if (number === undefined) continue
    pattern.push(text.slice(at, match.index))
    numbers.push(Number(number))
    at = match.index + number.length
  }
  pattern.push(text.slice(at))
  return { pattern, numbers }
}

/** The shares of a number, one for each weight. Weights that are all zero are equal. */
export function shared(number: number, weights: readonly number[]): readonly number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const even = total === 0
  const whole = even ? weights.length : total
  if (!Number.isSafeInteger(number)) return weights.map((weight) => (number * (even ? 1 : weight)) / whole)
  let seen = 0
  let given = 0
  return weights.map((weight) => {
    seen += even ? 1 : weight
    // Cumulated shares are rounded, so that no remainder is left.
    const until = Math.round((number * seen) / whole)
    const share = until - given
    given = until
    return share
  })
}

/** The member of an answer, behind a comma; the empty string where the server says nothing of it. */
export function usageText(pattern: UsagePattern, rows: readonly { usage(i: number): number }[]): string {
  if (pattern.length === 0) return ''
  let text = ',"usage":'
  for (const [i, before] of pattern.entries()) {
    text += before
    if (i === pattern.length - 1) break
    let sum = 0
    for (const row of rows) sum += row.usage(i)
    text += String(sum)
  }
  return text
}
