/** Days and months of the UTC calendar. */

export type CalendarUnit = 'day' | 'month'

/** One day or month. */
export interface Period {
  /** `2026-11-30` or `2026-11`. */
  readonly name: string
  /** Days or months since 1970. */
  readonly number: number
  /** Unix milliseconds; `until` is the first that is no part of it. */
  readonly from: number
  readonly until: number
}

const DAY_MS = 86_400_000

export function periodOf(unit: CalendarUnit, wall: number): Period {
  const iso = new Date(wall).toISOString()
  if (unit === 'day') {
    const number = Math.floor(wall / DAY_MS)
    return { name: iso.slice(0, 10), number, from: number * DAY_MS, until: (number + 1) * DAY_MS }
  }
  const [year, month] = [Number(iso.slice(0, 4)), Number(iso.slice(5, 7)) - 1]
  return {
    name: iso.slice(0, 7),
    number: (year - 1970) * 12 + month,
    from: Date.UTC(year, month),
    until: Date.UTC(year, month + 1),
  }
}
