/**
 * Rates and quotas as people write them: `100/s`, `60000/m`, `5k/h`; `10M/d`, `1G/mo`. `k`, `M` and `G` are decimal; behind the
 * stroke stands the time.
 */
import type { CalendarUnit } from './calendar.ts'

/** So many units in so many milliseconds. */
export interface RateLimit {
  readonly count: number
  readonly perMs: number
}

/** So many units in a day or month of the calendar. */
export interface Quota {
  readonly count: number
  readonly per: CalendarUnit
}

const PER_MS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3_600e3, d: 86_400e3 }
const FACTORS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 }
const RATE = /^(\d+(?:\.\d+)?)([kMG]?)\/([smhd])$/

/** @throws SyntaxError that names the forms. The text itself is not repeated: it may be a misplaced secret. */
export function parseRate(text: string): RateLimit {
  const [, number, factor = '', unit = ''] = RATE.exec(text.trim()) ?? []
  const count = Number(number) * (FACTORS[factor] ?? 1)
  if (!(count > 0))
    throw new SyntaxError('expected a rate above zero with its unit of time, such as 100/s, 60k/m or 1/h')
  return { count: Number(count.toPrecision(15)), perMs: PER_MS[unit] as number }
}

/** The shortest exact form, such as `60k/m`. */
export function formatRate({ count, perMs }: RateLimit): string {
  const unit = Object.keys(PER_MS).find((name) => PER_MS[name] === perMs)
  const factor = ['G', 'M', 'k'].find((name) => Number.isInteger(count / (FACTORS[name] as number))) ?? ''
  return `${count / (FACTORS[factor] as number)}${factor}/${unit}`
}

const QUOTA = /^(\d+(?:\.\d+)?)([kMG]?)\/(d|mo)$/
const MOST = 1e15

/** @throws SyntaxError that names the forms; as in `parseRate`. */
export function parseQuota(text: string): Quota {
  const [, number, factor = '', unit = ''] = QUOTA.exec(text.trim()) ?? []
  const count = Number((Number(number) * (FACTORS[factor] ?? 1)).toPrecision(15))
  if (!(Number.isSafeInteger(count) && count > 0 && count <= MOST))
    throw new SyntaxError('expected a whole number above zero for each day or month, such as 10M/d or 1G/mo')
  return { count, per: unit === 'd' ? 'day' : 'month' }
}

/** The shortest exact form, such as `10M/d`. */
export function formatQuota({ count, per }: Quota): string {
  const factor = ['G', 'M', 'k'].find((name) => Number.isInteger(count / (FACTORS[name] as number))) ?? ''
  return `${count / (FACTORS[factor] as number)}${factor}/${per === 'day' ? 'd' : 'mo'}`
}
