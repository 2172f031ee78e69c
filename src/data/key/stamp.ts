/**
 * Stamps, the values of shared facts: unique and ordered. A process that replaces a value makes a later one, whatever its
 * clock says, so of two values of one fact the later holds. A store that shows an earlier value than before has gone back
 * in time (a restart from a snapshot, a failover that lost writes), or has taken two writes at once; that earlier value is
 * never adopted again. This is a hybrid logical clock (Kulkarni et al., 2014).
 */
import { randomBytes } from 'node:crypto'

/** Wall time in base 36, a dot, 64 random bits. */
export type Stamp = string

const FORM = /^[0-9a-z]{1,9}\.[A-Za-z0-9_-]{11}$/

/** A new stamp, later than each of those given. */
export function stampAfter(wall: number, ...earlier: readonly (Stamp | undefined)[]): Stamp {
  const time = earlier.reduce((at, stamp) => Math.max(at, stamp === undefined ? 0 : timeOf(stamp) + 1), wall)
  return `${Math.floor(time).toString(36)}.${randomBytes(8).toString('base64url')}`
}

/** False for text that another program has written there. */
export function isStamp(text: string | undefined): text is Stamp {
  return text !== undefined && FORM.test(text)
}

export function isLater(a: Stamp, b: Stamp | undefined): boolean {
  if (b === undefined) return true
  const [at, bt] = [timeOf(a), timeOf(b)]
  return at === bt ? a > b : at > bt
}

function timeOf(stamp: Stamp): number {
  return Number.parseInt(stamp, 36)
}
