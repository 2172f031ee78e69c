/** Numbers as people read them: three digits that count, and a unit. */

const LARGE = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e4, 'k'],
] as const

/** `9,876`, `12.3k`, `0.42`. */
export function count(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–'
  const found = LARGE.find(([from]) => Math.abs(value) >= from)
  if (found) {
    const [from, unit] = found
    return `${digits(value / (unit === 'k' ? 1000 : from))}${unit}`
  }
  return digits(value)
}

function digits(value: number): string {
  const size = Math.abs(value)
  if (Number.isInteger(value) || size >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(size >= 10 ? 1 : 2)
}

/** A rate: nothing is `0`, and what is less than a hundredth is not. */
export function rate(value: number | undefined): string {
  if (value !== undefined && value > 0 && value < 0.01) return '<0.01'
  return count(value)
}

/** Milliseconds: `0.42 ms`, `38 ms`, `1.2 s`. */
export function duration(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return '–'
  if (ms === 0) return '0 ms'
  if (ms >= 60_000) return age(ms)
  if (ms >= 1000) return `${digits(ms / 1000)} s`
  if (ms < 1) return `${ms.toFixed(2)} ms`
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

/** A length of time in its largest unit: `3 s`, `5 min`, `2 h`, `4 d`. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

/** `12.4 MiB`. */
export function bytes(value: number | undefined): string {
  if (value === undefined) return '–'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10))
  return `${digits(power === 0 ? value : value / 1024 ** power)} ${units[power]}`
}

/** `97.3 %`; a share that is all is `100 %`, and one that is not quite is not. */
export function percent(share: number | undefined): string {
  if (share === undefined || !Number.isFinite(share)) return '–'
  if (share >= 1) return '100 %'
  if (share === 0) return '0 %'
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`
}

/** The time of day of an instant that is given as text or in milliseconds. */
export function clock(at: string | number): string {
  const date = new Date(at)
  return Number.isNaN(date.getTime()) ? String(at) : date.toLocaleTimeString('en-GB')
}

/** Whatever stands in a line of the log, as text; undefined is nothing. */
export function plain(value: unknown): string {
  if (value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** `hold_recent_peak` as words. */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}
