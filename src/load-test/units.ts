/** Durations, rates and shares as people write them on a command line, and as they are told. */

const DURATION = /^(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)$/
const MS: Readonly<Record<string, number>> = { us: 0.001, µs: 0.001, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `200ms`, `1.5s`, `5m`; undefined: it is no duration. */
export function durationMs(text: string): number | undefined {
  const [, number, unit = ''] = DURATION.exec(text) ?? []
  return number === undefined ? undefined : Number(number) * (MS[unit] ?? 0)
}

/** A number that is not negative, such as `12.5`; undefined: it is none. */
export function positive(text: string): number | undefined {
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined
}

/** `0.5` and `50%`, as a share of one; undefined: it is none. */
export function share(text: string): number | undefined {
  const isPercent = text.endsWith('%')
  const number = positive(isPercent ? text.slice(0, -1) : text)
  const part = number === undefined ? undefined : number / (isPercent ? 100 : 1)
  return part !== undefined && part <= 1 ? part : undefined
}

/** `312 µs`, `4.56 ms`, `1.20 s` */
export function formatUs(us: number): string {
  if (us < 1000) return `${Math.round(us)} µs`
  return us < 1_000_000 ? `${(us / 1000).toPrecision(3)} ms` : `${(us / 1_000_000).toFixed(2)} s`
}

/** `0.05 %`, `12.3 %` */
export function formatShare(share: number): string {
  return `${Number((100 * share).toPrecision(4))} %`
}

/** `0.25`, `12.5`, `1234` */
export function formatNumber(value: number): string {
  return value >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)))
}
